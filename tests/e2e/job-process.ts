/** The job of savepoint-job.ts as a process, and the `millrace` command beside it. */
import { execFile, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const MAIN = `${import.meta.dirname}/../../src/cli/main.ts`;
const JOB = `${import.meta.dirname}/savepoint-job.ts`;
const run = promisify(execFile);

/** So slow that the job does not come to its end before it is stopped. */
export const SLOW = ['--rate', '400'];

/** What it printed. */
export const millrace = async (...args: readonly string[]): Promise<string> =>
  (await run(process.execPath, [MAIN, ...args])).stdout.trim();

/** Starts the job and settles when it runs. `ended` is how it ended. */
export async function start(
  options: readonly string[],
  args: readonly string[],
): Promise<{ readonly ended: Promise<string> }> {
  const child = spawn(process.execPath, [MAIN, 'run', ...options, JOB, ...args]);
  let output = '';
  const running = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += String(chunk);
      if (output.includes('running')) running.resolve();
    });
  const ended = new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => {
      const error = new Error(`the job ended with ${code}: ${output}`);
      running.reject(error);
      if (code === 0) resolve(output.trim().split('\n').at(-1)!);
      else reject(error);
    });
  });
  ended.catch(() => {}); // it is waited for later
  await running.promise;
  return { ended };
}

/** The place that a command printed last. */
export const placeIn = (line: string): string => line.split(' ').at(-1)!;

export async function linesOf(out: string): Promise<readonly string[]> {
  const parts = (await readdir(out)).filter((name) => name.startsWith('part-'));
  const texts = await Promise.all(parts.map((part) => readFile(`${out}/${part}`, 'utf8')));
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== '')).sort();
}
