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
import { SeededRandom } from '../testing/seeded-random.ts';

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
    readonly hottestKeys: readonly { readonly key: unknown; readonly share: number }[];
    readonly states: readonly {
      readonly name: string;
      readonly keys: number | null;
      readonly entries: number | null;
      readonly largestKeys: readonly unknown[];
    }[];
  }[];
}

interface Numbers {
  readonly count: number;
  readonly keyOf: (n: number) => number;
}

const EVEN: Numbers = { count: 1000, keyOf: (n) => n % KEYS };

async function run(
  name: string,
  dir: string,
  backend: string,
  { count, keyOf } = EVEN,
): Promise<void> {
  const env = environment({
    'execution.checkpointing.dir': dir,
    'execution.checkpointing.interval': 10_000,
    'execution.checkpointing.data-inline-threshold': 0,
    'state.backend.type': backend,
  });
  env
    .fromSource(
      rangeSource({ count, valueAt: (i) => i, schema: t.int32() }),
      WatermarkStrategy.noWatermarks<number>(),
      'numbers',
    )
    .keyBy(keyOf, t.int32())
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

  test('keys that are processed most are told, from samples that a checkpoint on the store carries', async () => {
    const random = new SeededRandom(3);
    const draws = Array.from({ length: 200_000 }, () => random.next());
    const keyOf = (n: number): number => (draws[n]! < 0.4 ? 7 : Math.floor(draws[n]! * 1e6));
    await run('skewed', `${dir}/skewed`, 'forst', { count: draws.length, keyOf });
    const args = ['state', 'inspect', `${dir}/skewed`, '--no-count', '--keys', '1'];
    const { operators } = JSON.parse((await millrace(...args, '--json')).out) as Report;
    const [hottest] = operators.find(({ uid }) => uid === 'summer')!.hottestKeys;
    assert.equal(hottest?.key, 7);
    assert.ok(hottest.share > 0.25 && hottest.share < 0.55, `${hottest.share}`);
    assert.match((await millrace(...args)).out, /hottest keys, by samples:\n\s+7: \d/);
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
