/** Savepoints from one backend and parallelism into others, and read by others. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { DuckDBInstance } from '@duckdb/node-api';
import {
  collectSink,
  environment,
  listState,
  mapState,
  rangeSource,
  reducingState,
  t,
  valueState,
  WatermarkStrategy,
} from '../../src/index.ts';

const MAIN = `${import.meta.dirname}/../../src/cli/main.ts`;
const KEYS = 40;
const NUMBERS = 1000;
const run = promisify(execFile);

const millrace = (...args: readonly string[]) => run(process.execPath, [MAIN, ...args]);

/** What both programs share; the second program's value has a field more. */
const states = {
  last: listState(t.int32()),
  seen: mapState(t.int32(), t.string()),
  sum: reducingState(t.int64(), (a: number, b: number) => a + b),
};
const oldTotal = valueState(t.struct({ n: t.int32() }), { default: { n: 0 } });
const newTotal = valueState(t.struct({ n: t.int32(), note: t.optional(t.string()) }), {
  default: { n: 0 },
});

function numbers(dir: string, backend: string, savepoint?: string) {
  return environment({
    'execution.checkpointing.dir': dir,
    'execution.checkpointing.interval': 100_000,
    'execution.checkpointing.data-inline-threshold': 0,
    'state.backend.type': backend,
    'execution.state-recovery.ignore-unclaimed-state': true,
    ...(savepoint === undefined ? {} : { 'execution.state-recovery.path': savepoint }),
  });
}

const source = (count: number) => rangeSource({ count, valueAt: (i) => i, schema: t.int32() });

/** Fills the states: 25 numbers for each of 40 keys. */
async function fill(dir: string, backend: string): Promise<void> {
  const env = numbers(dir, backend);
  env
    .fromSource(source(NUMBERS), WatermarkStrategy.noWatermarks<number>(), 'first numbers')
    .keyBy((n) => n % KEYS, t.int32())
    .process<string, typeof states & { total: typeof oldTotal }>(
      {
        state: { ...states, total: oldTotal },
        processElement(n, { state }) {
          state.total.value = { n: state.total.value.n + 1 };
          state.last.add(n);
          state.seen.put(n, `number ${n}`);
          state.sum.add(n);
        },
      },
      t.string(),
    )
    .uid('states')
    .sinkTo(collectSink([]));
  await env.execute('fills');
}

/** Reads the states back, once for each key. */
async function readBack(
  dir: string,
  savepoint: string,
  backend = 'hashmap',
): Promise<readonly string[]> {
  const lines: string[] = [];
  const env = numbers(dir, backend, savepoint);
  env
    .fromSource(source(KEYS), WatermarkStrategy.noWatermarks<number>(), 'other numbers')
    .uid('other')
    .keyBy((n) => n % KEYS, t.int32())
    .process<string, typeof states & { total: typeof newTotal }>(
      {
        state: { ...states, total: newTotal },
        processElement(key, { state }, out) {
          const list = [...state.last.get()].join();
          const map = [...state.seen.entries()].map(([n, text]) => `${n}=${text}`).join();
          const { n, note } = state.total.value;
          out.collect([key, n, note ?? 'none', list, map, state.sum.get()].join(' | '));
        },
      },
      t.string(),
    )
    .uid('states')
    .sinkTo(collectSink(lines));
  await env.execute('reads back');
  return lines;
}

const EXPECTED = Array.from({ length: KEYS }, (_, key) => {
  const own = Array.from({ length: NUMBERS / KEYS }, (_unused, i) => key + i * KEYS);
  const sum = own.reduce((a, b) => a + b, 0);
  const map = own.map((n) => `${n}=number ${n}`).join();
  return [key, own.length, 'none', own.join(), map, sum].join(' | ');
});

for (const backend of ['hashmap', 'forst']) {
  describe(`a savepoint of ${backend}`, () => {
    let dir: string;
    before(async () => {
      dir = await mkdtemp(`${tmpdir()}/millrace-savepoint-`);
      await fill(`${dir}/checkpoints`, backend);
      await millrace('savepoint', 'create', `${dir}/checkpoints`, `${dir}/savepoint`);
    });
    after(() => rm(dir, { recursive: true }));

    test('starts another program, with a field more, on either backend', async () => {
      for (const other of ['hashmap', 'forst']) {
        const lines = await readBack(`${dir}/on-${other}`, `${dir}/savepoint`, other);
        assert.deepEqual(lines.toSorted(byKey), EXPECTED);
      }
    });

    test('is a folder of Parquet files whose rows DuckDB counts', async () => {
      const { stdout } = await millrace('state', 'inspect', `${dir}/savepoint`, '--json');
      const { operators } = JSON.parse(stdout) as {
        operators: readonly {
          uid: string | null;
          states: readonly { name: string; entries: number }[];
        }[];
      };
      const { states: inspected } = operators.find(({ uid }) => uid === 'states')!;
      assert.deepEqual(
        new Map(inspected.map(({ name, entries }) => [name, entries])).get('seen'),
        NUMBERS,
      );
      const instance = await DuckDBInstance.create(':memory:');
      const connection = await instance.connect();
      const rows = await connection.runAndReadAll(
        `SELECT value, count(*)::INT, max(map_key::INT)::INT FROM read_parquet('${dir}/savepoint/state/*.parquet') WHERE map_key IS NOT NULL AND key = '7' GROUP BY value ORDER BY 3 DESC LIMIT 1`,
      );
      assert.deepEqual(rows.getRows(), [['"number 967"', 1, 967]]);
      const counted = await connection.runAndReadAll(
        `SELECT count(*)::INT, count(DISTINCT key)::INT FROM read_parquet('${dir}/savepoint/state/*.parquet') WHERE map_key IS NOT NULL`,
      );
      assert.deepEqual(counted.getRows(), [[NUMBERS, KEYS]]);
      connection.closeSync();
      instance.closeSync();
    });

    test('is left as it is, and refused when a byte of it is wrong', async () => {
      const [file] = (await readdir(`${dir}/savepoint/state`)).filter((name) =>
        name.endsWith('.parquet'),
      );
      const path = `${dir}/savepoint/state/${file!}`;
      const bytes = await readFile(path);
      const broken = Buffer.from(bytes);
      broken[broken.length >> 1]! ^= 1;
      await writeFile(path, broken);
      await assert.rejects(readBack(`${dir}/broken`, `${dir}/savepoint`), {
        code: 'SNAPSHOT_CORRUPT',
      });
      await writeFile(path, bytes);
      assert.equal((await readBack(`${dir}/whole`, `${dir}/savepoint`)).length, KEYS);
    });

    test('is written into a new folder only', async () => {
      await assert.rejects(
        millrace('savepoint', 'create', `${dir}/checkpoints`, `${dir}/savepoint`),
        { stderr: /there is a savepoint in .* already/ },
      );
    });
  });
}

test('a place without a savepoint is refused by name', async () => {
  const dir = await mkdtemp(`${tmpdir()}/millrace-savepoint-`);
  await assert.rejects(readBack(`${dir}/checkpoints`, `${dir}/nothing`), {
    code: 'NO_SUCH_SAVEPOINT',
  });
  await rm(dir, { recursive: true });
});

function byKey(a: string, b: string): number {
  return Number.parseInt(a, 10) - Number.parseInt(b, 10);
}
