/**
 * The README's promise on real processes: kill -9 at random moments, start again, and the committed output is that of an undisturbed
 * run, byte for byte after sorting.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, test } from 'node:test';

const JOB = `${import.meta.dirname}/../../examples/flights/job.ts`;
const KILLS = 10;
const RUN_MS_MAX = 1200;
const STARTS_MAX = 60;

interface Run {
  readonly code: number | null;
  readonly output: string;
}

/** Runs the job; with `killAfterMs` it is killed then, unless it has ended before. */
function run(dir: string, rate: number, killAfterMs?: number, parallelism = 2): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [JOB, '--dir', dir, '--rate', String(rate), '--parallelism', String(parallelism)],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let output = '';
    child.stdout.on('data', (data: Buffer) => (output += data.toString()));
    child.stderr.on('data', (data: Buffer) => (output += data.toString()));
    const timer =
      killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    child.on('error', reject);
    child.on('exit', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}

/** Every committed line of a sink's folder, sorted. */
async function committed(folder: string): Promise<readonly string[]> {
  const parts = (await readdir(folder)).filter((name) => name.startsWith('part-'));
  const texts = await Promise.all(parts.map((part) => readFile(`${folder}/${part}`, 'utf8')));
  return texts
    .flatMap((text) => text.split('\n'))
    .filter((line) => line !== '')
    .sort();
}

describe('the flights job under kill -9', () => {
  test(
    'ten kills at random moments change nothing in the committed output',
    { timeout: 300_000 },
    async () => {
      const dir = await mkdtemp(`${tmpdir()}/millrace-kill-`);
      try {
        const undisturbed = await run(`${dir}/plain`, 100_000);
        assert.equal(undisturbed.code, 0, undisturbed.output);
        const moments: number[] = [];
        let kills = 0;
        let last: Run = { code: null, output: '' };
        for (let start = 0; start < STARTS_MAX && last.code !== 0; start++) {
          const moment = kills < KILLS ? Math.round(Math.random() * RUN_MS_MAX) : undefined;
          last = await run(`${dir}/killed`, 1500, moment);
          if (last.code === null) {
            kills++;
            moments.push(moment!);
          }
          assert.ok(last.code === null || last.code === 0, last.output);
        }
        assert.equal(last.code, 0, `the job did not end; killed after ${moments.join(', ')} ms`);
        assert.ok(kills >= KILLS, `only ${kills} kills happened`);
        for (const sink of ['airport-days', 'worst-of-day']) {
          assert.deepEqual(
            await committed(`${dir}/killed/${sink}`),
            await committed(`${dir}/plain/${sink}`),
            `${sink} differs; killed after ${moments.join(', ')} ms`,
          );
        }
      } finally {
        await rm(dir, { recursive: true });
      }
    },
  );

  test('the job goes on at another parallelism, up and down', { timeout: 120_000 }, async () => {
    const dir = await mkdtemp(`${tmpdir()}/millrace-rescale-`);
    try {
      const undisturbed = await run(`${dir}/plain`, 100_000, undefined, 1);
      assert.equal(undisturbed.code, 0, undisturbed.output);
      for (const parallelism of [2, 3, 1, 4]) await run(`${dir}/rescaled`, 1500, 1500, parallelism);
      const last = await run(`${dir}/rescaled`, 20_000, undefined, 3);
      assert.equal(last.code, 0, last.output);
      for (const sink of ['airport-days', 'worst-of-day']) {
        assert.deepEqual(
          await committed(`${dir}/rescaled/${sink}`),
          await committed(`${dir}/plain/${sink}`),
        );
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
