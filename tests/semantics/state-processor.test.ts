/** Savepoints read, transformed and bootstrapped in TypeScript, and started from. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { createSavepoint, openSavepoint } from '../../src/cli/state-processor/index.ts';
import {
  collectSink,
  environment,
  listState,
  mapState,
  rangeSource,
  reducingState,
  t,
  valueState,
} from '../../src/index.ts';

const KEYS = 10;
const NUMBERS = 100;
const key = t.int32();
const states = {
  total: valueState(t.struct({ sum: t.int64() }), { default: { sum: 0 } }),
  last: listState(t.int32()),
  seen: mapState(t.int32(), t.string()),
  most: reducingState(t.int32(), (a: number, b: number) => Math.max(a, b)),
};

const envOf = (dir: string, backend: string, savepoint?: string) =>
  environment({
    'execution.checkpointing.dir': dir,
    'execution.checkpointing.interval': 60_000,
    'state.backend.type': backend,
    'execution.state-recovery.ignore-unclaimed-state': true,
    ...(savepoint === undefined ? {} : { 'execution.state-recovery.path': savepoint }),
  });

async function fill(dir: string, backend: string): Promise<void> {
  const env = envOf(dir, backend);
  env
    .fromSource(
      rangeSource({ count: NUMBERS, valueAt: (i) => i, schema: t.int32() }),
      {},
      'numbers',
    )
    .uid('numbers')
    .keyBy((n) => n % KEYS, key)
    .process<string, typeof states>(
      {
        state: states,
        processElement(n, { state }) {
          state.total.value = { sum: state.total.value.sum + n };
          state.last.add(n);
          state.seen.put(n, `number ${n}`);
          state.most.add(n);
        },
      },
      t.string(),
    )
    .uid('states')
    .sinkTo(collectSink([]));
  await env.execute('fills');
}

/** One line for each key, as an operator of that uid finds its state. */
async function readBack(dir: string, savepoint: string, uid: string): Promise<readonly string[]> {
  const lines: string[] = [];
  const env = envOf(dir, 'forst', savepoint);
  env
    .fromSource(rangeSource({ count: KEYS, valueAt: (i) => i, schema: t.int32() }), {}, 'keys')
    .uid('keys')
    .keyBy((n) => n, key)
    .process<string, typeof states>(
      {
        state: states,
        processElement(n, { state }, out) {
          const map = [...state.seen.entries()].map(([m, text]) => `${m}=${text}`).join();
          out.collect(
            [n, state.total.value.sum, [...state.last.get()].join(), map, state.most.get()].join(
              ' | ',
            ),
          );
        },
      },
      t.string(),
    )
    .uid(uid)
    .sinkTo(collectSink(lines));
  await env.execute('reads');
  return lines.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

const numbersOf = (n: number): readonly number[] =>
  Array.from({ length: NUMBERS / KEYS }, (_, i) => n + i * KEYS);

for (const backend of ['hashmap', 'forst'])
  describe(`the state of a checkpoint on ${backend}`, () => {
    let dir: string;
    before(async () => {
      dir = await mkdtemp(`${tmpdir()}/millrace-processor-`);
      await fill(`${dir}/filled`, backend);
    });
    after(() => rm(dir, { recursive: true }));

    test('is read entry by entry, with the types of its descriptors, evolved', async () => {
      const savepoint = await openSavepoint(`${dir}/filled`);
      const [operator] = await savepoint.operators();
      assert.equal(operator?.uid, 'states');
      const total = valueState(
        t.struct({ added: t.field(t.int64(), { aliases: ['sum'] }), note: t.optional(t.string()) }),
      );
      const sums = new Map<number, number>();
      for await (const { key: n, value } of savepoint.read('states', 'total', {
        key,
        state: total,
      }))
        sums.set(n, value.added);
      const most = new Map<number, number>();
      for await (const entry of savepoint.read('states', 'most', { key, state: states.most }))
        most.set(entry.key, entry.value);
      const seen: string[] = [];
      for await (const entry of savepoint.read('states', 'seen', { key, state: states.seen }))
        seen.push(`${entry.mapKey}=${entry.value.toUpperCase()}`);
      for (let n = 0; n < KEYS; n++) {
        assert.equal(
          sums.get(n),
          numbersOf(n).reduce((a, b) => a + b),
        );
        assert.equal(most.get(n), numbersOf(n).at(-1));
      }
      assert.equal(seen.length, NUMBERS);
      assert.ok(seen.includes('42=NUMBER 42'));
      const wrong = savepoint.read('states', 'total', { key: t.string(), state: total });
      await assert.rejects(wrong.next(), { code: 'SCHEMA_DIFFERS' });
      const none = savepoint.read('states', 'nothing', { key, state: total });
      await assert.rejects(none.next(), { code: 'NO_SUCH_STATE' });
      await savepoint.close();
    });

    test('is transformed: an operator moved to another uid, one state doubled, the rest copied', async () => {
      const from = await openSavepoint(`${dir}/filled`);
      const into = await createSavepoint(`${dir}/moved`);
      await into.copyFrom(from, { rename: { states: 'moved' }, except: ['numbers'] });
      const doubled = into.operator('doubled');
      const spec = { key, state: states.total };
      await doubled.write('total', spec, double(from.read('states', 'total', spec)));
      await into.finish();
      await from.close();
      const moved = await readBack(`${dir}/reads-moved`, `${dir}/moved`, 'moved');
      assert.equal(moved.length, KEYS);
      const sum3 = numbersOf(3).reduce((a, b) => a + b);
      assert.match(moved[3]!, new RegExp(`^3 \\| ${sum3} \\| 3,13,.* \\| 3=number 3,.* \\| 93$`));
      const twice = await readBack(`${dir}/reads-doubled`, `${dir}/moved`, 'doubled');
      assert.match(twice[3]!, new RegExp(`^3 \\| ${2 * sum3} \\|`));
    });
  });

async function* double(
  entries: AsyncIterable<{ key: number; value: { sum: number }; namespace: undefined }>,
) {
  for await (const entry of entries) yield { ...entry, value: { sum: entry.value.sum * 2 } };
}

test('state is bootstrapped from nothing, a part at a time', async () => {
  const dir = await mkdtemp(`${tmpdir()}/millrace-bootstrap-`);
  const savepoint = await createSavepoint(`${dir}/savepoint`, { jobName: 'boot' });
  const operator = savepoint.operator('states');
  const namespace = undefined;
  const keys = Array.from({ length: KEYS }, (_, n) => n);
  await operator.write(
    'total',
    { key, state: states.total },
    keys.map((n) => ({ key: n, namespace, value: { sum: n * 100 } })),
  );
  await operator.write(
    'last',
    { key, state: states.last },
    keys.map((n) => ({ key: n, namespace, value: [n, n + 1] })),
  );
  await operator.write(
    'seen',
    { key, state: states.seen },
    keys.flatMap((n) => [1, 2].map((m) => ({ key: n, namespace, mapKey: m, value: `${n}.${m}` }))),
  );
  await savepoint.finish();
  const lines = await readBack(`${dir}/reads`, `${dir}/savepoint`, 'states');
  assert.equal(lines[7], '7 | 700 | 7,8 | 1=7.1,2=7.2 | ');
  await assert.rejects(createSavepoint(`${dir}/savepoint`), { code: 'SAVEPOINT_EXISTS' });
  await rm(dir, { recursive: true });
});
