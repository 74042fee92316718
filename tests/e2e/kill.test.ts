/**
 * The README's promise on real processes, with state on the heap and with state on S3: kill -9 at random moments, start again, and the committed output is that of an undisturbed
 * run, byte for byte after sorting.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { type S3Service, startS3 } from '../../scripts/services/s3.ts';

const JOB = `${import.meta.dirname}/../../examples/flights/job.ts`;
const KILLS = 10;
const RUN_MS_MAX = 1200;
const STARTS_MAX = 60;

interface Run {
  readonly code: number | null;
  readonly output: string;
}

/** How the job keeps its state. */
interface Mode {
  readonly name: string;
  readonly args: (dir: string) => readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const service = await startS3();
if (isMissing(service)) reportMissing('S3 (kill -9 of the flights job)', service);
else after(() => service.stop());

const HASHMAP: Mode = { name: 'hashmap, checkpoints in a folder', args: () => [], env: {} };
const MODES: readonly Mode[] = isMissing(service) ? [HASHMAP] : [HASHMAP, onS3(service)];

/** Nothing is on local disk but the input and the output. */
function onS3({ endpoint, region, credentials }: S3Service): Mode {
  return {
    name: 'forst, state on S3',
    // Each folder's job has a place of its own.
    args: (dir) => ['--backend', 'forst', '--checkpoints', `s3://flights${dir}`],
    env: {
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
  };
}

/** Runs the job; with `killAfterMs` it is killed then, unless it has ended before. */
function run(
  { args, env }: Mode,
  dir: string,
  rate: number,
  killAfterMs?: number,
  parallelism = 2,
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [
        ...[JOB, '--dir', dir, '--rate', String(rate), '--parallelism', String(parallelism)],
        ...args(dir),
      ],
      {
        env: { ...process.env, ...env },
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

async function folder(what: string): Promise<string> {
  if (!isMissing(service)) await service.bucket('flights');
  return mkdtemp(`${tmpdir()}/millrace-${what}-`);
}

for (const mode of MODES) {
  describe(`the flights job under kill -9: ${mode.name}`, () => {
    test(
      'ten kills at random moments change nothing in the committed output',
      { timeout: 300_000 },
      async () => {
        const dir = await folder('kill');
        try {
          const undisturbed = await run(mode, `${dir}/plain`, 100_000);
          assert.equal(undisturbed.code, 0, undisturbed.output);
          const moments: number[] = [];
          let kills = 0;
          let last: Run = { code: null, output: '' };
          for (let start = 0; start < STARTS_MAX && last.code !== 0; start++) {
            const moment = kills < KILLS ? Math.round(Math.random() * RUN_MS_MAX) : undefined;
            last = await run(mode, `${dir}/killed`, 1500, moment);
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
      const dir = await folder('rescale');
      try {
        const undisturbed = await run(mode, `${dir}/plain`, 100_000, undefined, 1);
        assert.equal(undisturbed.code, 0, undisturbed.output);
        for (const parallelism of [2, 3, 1, 4])
          await run(mode, `${dir}/rescaled`, 1500, 1500, parallelism);
        const last = await run(mode, `${dir}/rescaled`, 20_000, undefined, 3);
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
}
