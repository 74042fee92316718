/** The command as people run it, on checkpoints that jobs have written. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import {
  collectSink,
  environment,
  rangeSource,
  t,
  valueState,
  WatermarkStrategy,
} from '../index.ts';

const MAIN = `${import.meta.dirname}/main.ts`;
const KEYS = 20;

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function millrace(...args: readonly string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

/** What the output says of the state, as far as tests look. */
interface Report {
  readonly record: string;
  readonly operators: readonly {
    readonly uid: string | null;
    readonly backends: readonly string[];
    readonly states: readonly {
      readonly name: string;
      readonly keys: number | null;
      readonly entries: number | null;
      readonly largestKeys: readonly unknown[];
    }[];
  }[];
}

async function run(name: string, dir: string, backend: string): Promise<void> {
  const env = environment({
    'execution.checkpointing.dir': dir,
    'execution.checkpointing.interval': 10_000,
    'execution.checkpointing.data-inline-threshold': 0,
    'state.backend.type': backend,
  });
  env
    .fromSource(
      rangeSource({ count: 1000, valueAt: (i) => i, schema: t.int32() }),
      WatermarkStrategy.noWatermarks<number>(),
      'numbers',
    )
    .keyBy((n) => n % KEYS, t.int32())
    .process(
      {
        state: { sum: valueState(t.struct({ total: t.int64() }), { default: { total: 0 } }) },
        processElement(n: number, { state }) {
          state.sum.value = { total: state.sum.value.total + n };
        },
      },
      t.string(),
    )
    .uid('summer')
    .sinkTo(collectSink([]));
  await env.execute(name);
}

describe('millrace state', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(`${tmpdir()}/millrace-state-`);
    await run('on the heap', `${dir}/one`, 'hashmap');
    await run('on the heap', `${dir}/two`, 'hashmap');
    await run('on the store', `${dir}/two`, 'forst');
  });
  after(() => rm(dir, { recursive: true }));

  test('inspect tells operators, states, keys and files without the code of the job', async () => {
    const { code, out, err } = await millrace(
      'state',
      'inspect',
      `${dir}/one`,
      '--json',
      '--keys',
      '3',
    );
    assert.equal(code, 0, err);
    const report = JSON.parse(out) as Report;
    const summer = report.operators.find(({ uid }) => uid === 'summer')!;
    assert.deepEqual(summer.backends, ['hashmap']);
    const [sum] = summer.states;
    assert.deepEqual([sum?.name, sum?.keys, sum?.entries], ['sum', KEYS, KEYS]);
    assert.equal(sum?.largestKeys.length, 3);
    const record = await millrace('state', 'inspect', `${dir}/one/${report.record}`);
    assert.match(record.out, /exactly-once, .* written for it/);
    assert.match(record.out, /value "sum" of struct\{total: int64\}\n\s+20 entries, 20 keys/);
  });

  test('where there are several jobs, each is found by its id, on either backend', async () => {
    const refused = await millrace('state', 'inspect', `${dir}/two`);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /several jobs/);
    const { jobs } = JSON.parse((await millrace('state', 'list', `${dir}/two`, '--json')).out) as {
      jobs: readonly { jobId: string }[];
    };
    const outputs = await Promise.all(
      jobs.map(({ jobId }) => millrace('state', 'inspect', `${dir}/two/${jobId}`, '--json')),
    );
    const reports = outputs.map(({ out }) => JSON.parse(out) as Report);
    const summers = reports.map(({ operators }) => operators.find(({ uid }) => uid === 'summer')!);
    assert.deepEqual(summers.map(({ backends }) => backends[0]).toSorted(), ['forst', 'hashmap']);
    assert.deepEqual(
      summers.map(({ states }) => states[0]?.keys),
      [KEYS, KEYS],
    );
  });

  test('what is no checkpoint is refused with what is expected', async () => {
    const places = [
      [`${dir}/nothing-here`, /holds none: expected/],
      [`${dir}/one/job/chk-7-g1`, /no checkpoint record/],
      ['s3:/typo', /expected/],
    ] as const;
    await Promise.all(
      places.map(async ([place, message]) => {
        const { code, err } = await millrace('state', 'inspect', place);
        assert.equal(code, 1, place);
        assert.match(err, message);
      }),
    );
  });

  test('a corrupt record is named', async () => {
    const known = await millrace('state', 'inspect', `${dir}/one`, '--json', '--no-count');
    const { record } = JSON.parse(known.out) as Report;
    const path = `${dir}/one/${record}`;
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length / 2));
    const { code, err } = await millrace('state', 'inspect', `${dir}/one`);
    await writeFile(path, bytes);
    assert.equal(code, 1);
    assert.match(err, /_metadata is corrupt/);
  });
});
