/** State whose schema changes: each change is restored, or refused before anything is processed, and `check` says beforehand which. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  collectSink,
  environment,
  listState,
  mapState,
  rangeSource,
  type Schema,
  type StateDescriptor,
  t,
  valueState,
} from '../../src/index.ts';
import { realWorld } from '../../src/base/real-world.ts';
import { findCheckpoint } from '../../src/cli/checkpoint-location.ts';
import { checkState, type StateFate } from '../../src/cluster/check-state.ts';
import { StoreSnapshotReader } from '../../src/state/checkpoint-storage.ts';

const MAIN = `${import.meta.dirname}/../../src/cli/main.ts`;

type Struct = Record<string, unknown>;

interface Change {
  readonly from: Schema<unknown>;
  readonly to: Schema<unknown>;
  readonly stored: unknown;
  /** What is read; absent: it is refused. */
  readonly read?: unknown;
  readonly fate: StateFate;
}

const old = t.struct({ n: t.int32(), s: t.string() });
const stored: Struct = { n: 7, s: 'x' };

const CHANGES: Readonly<Record<string, Change>> = {
  nothing: { from: old, to: old, stored, read: stored, fate: 'kept' },
  reordered: {
    ...{ from: old, to: t.struct({ s: t.string(), n: t.int32() }), stored },
    ...{ read: { s: 'x', n: 7 }, fate: 'migrated' },
  },
  addedOptional: {
    ...{
      from: old,
      to: t.struct({ n: t.int32(), s: t.string(), o: t.optional(t.int8()) }),
      stored,
    },
    ...{ read: { n: 7, s: 'x', o: undefined }, fate: 'migrated' },
  },
  addedWithDefault: {
    from: old,
    to: t.struct({ n: t.int32(), s: t.string(), d: t.field(t.int8(), { default: 5 }) }),
    ...{ stored, read: { n: 7, s: 'x', d: 5 }, fate: 'migrated' },
  },
  addedBare: {
    ...{ from: old, to: t.struct({ n: t.int32(), s: t.string(), b: t.int8() }), stored },
    fate: 'impossible',
  },
  removed: {
    ...{ from: old, to: t.struct({ n: t.int32() }), stored, read: { n: 7 }, fate: 'migrated' },
  },
  renamed: {
    from: old,
    to: t.struct({ m: t.field(t.int32(), { aliases: ['n'] }), s: t.string() }),
    ...{ stored, read: { m: 7, s: 'x' }, fate: 'migrated' },
  },
  renamedBare: {
    ...{ from: old, to: t.struct({ m: t.int32(), s: t.string() }), stored, fate: 'impossible' },
  },
  widened: {
    ...{ from: old, to: t.struct({ n: t.int64(), s: t.string() }), stored, read: stored },
    fate: 'migrated',
  },
  widenedToDouble: {
    ...{ from: t.int32(), to: t.double(), stored: 7, read: 7, fate: 'migrated' },
  },
  narrowed: {
    ...{ from: old, to: t.struct({ n: t.int16(), s: t.string() }), stored, fate: 'impossible' },
  },
  otherType: {
    ...{ from: old, to: t.struct({ n: t.string(), s: t.string() }), stored, fate: 'impossible' },
  },
  enumGrown: {
    ...{ from: t.enum('a', 'b'), to: t.enum('a', 'b', 'c'), stored: 'b', read: 'b' },
    fate: 'migrated',
  },
  enumShrunk: { ...{ from: t.enum('a', 'b'), to: t.enum('b'), stored: 'b', fate: 'impossible' } },
  madeOptional: {
    ...{ from: t.int32(), to: t.optional(t.int32()), stored: 7, read: 7, fate: 'migrated' },
  },
};

const NAMES = Object.keys(CHANGES);
const kindOf = (name: string, schema: Schema<unknown>): StateDescriptor => {
  const at = NAMES.indexOf(name) % 3;
  if (at === 0) return valueState(schema);
  return at === 1 ? listState(schema) : mapState(t.string(), schema);
};

type AnyState = { value: unknown } & {
  add(value: unknown): void;
  get(key?: string): unknown;
  put(key: string, value: unknown): void;
};

function write(name: string, state: AnyState, value: unknown): void {
  const at = NAMES.indexOf(name) % 3;
  if (at === 0) state.value = value;
  else if (at === 1) state.add(value);
  else state.put('key', value);
}

function read(name: string, state: AnyState): unknown {
  const at = NAMES.indexOf(name) % 3;
  if (at === 0) return state.value;
  return at === 1 ? [...(state.get() as Iterable<unknown>)][0] : state.get('key');
}

const envOf = (dir: string, backend: string, more: Record<string, string | boolean> = {}) =>
  environment({
    'execution.checkpointing.dir': dir,
    'execution.checkpointing.interval': 60_000,
    'state.backend.type': backend,
    ...more,
  });

const once = rangeSource({ count: 1, valueAt: () => 1, schema: t.int32() });

/** A job whose operator declares these states and does this with the only record. */
function jobOf(
  env: ReturnType<typeof envOf>,
  declared: Readonly<Record<string, StateDescriptor>>,
  visit: (states: Readonly<Record<string, AnyState>>) => void,
  source = 'once',
) {
  env
    .fromSource(once, {}, source)
    .uid(source)
    .keyBy((n) => n, t.int32())
    .process<string, typeof declared>(
      {
        state: declared,
        processElement(_n, { state }) {
          visit(state as unknown as Readonly<Record<string, AnyState>>); // each case reads its own kind
        },
      },
      t.string(),
    )
    .uid('states')
    .sinkTo(collectSink([]));
  return env;
}

for (const backend of ['hashmap', 'forst'])
  describe(`state of ${backend}`, () => {
    let dir: string;
    before(async () => {
      dir = await mkdtemp(`${tmpdir()}/millrace-evolution-`);
      const declared = Object.fromEntries(
        NAMES.map((name) => [name, kindOf(name, CHANGES[name]!.from)]),
      );
      const env = jobOf(envOf(`${dir}/filled`, backend), declared, (states) => {
        for (const name of NAMES) write(name, states[name]!, CHANGES[name]!.stored);
      });
      const job = await env.executeAsync('states');
      await job.result();
      const { store, record } = await findCheckpoint(`${dir}/filled`, {});
      assert.equal(record.jobName, 'states');
      await store.close();
      await promisify(execFile)(process.execPath, [
        ...[MAIN, 'savepoint', 'create', `${dir}/filled`, `${dir}/savepoint`],
      ]);
    });
    after(() => rm(dir, { recursive: true }));

    for (const [name, { to, read: expected, fate }] of Object.entries(CHANGES)) {
      const isRestored = fate !== 'impossible';
      test(`${name}: ${isRestored ? 'restored' : 'refused before the start'}, as check says`, async () => {
        const { store, record } = await findCheckpoint(`${dir}/filled`, {});
        const env = jobOf(envOf(`${dir}/filled`, backend), { [name]: kindOf(name, to) }, () => {});
        const program = env.toProgram('states');
        const source = {
          ...{ store, reader: new StoreSnapshotReader(store) },
          yieldToLoop: async () => {},
        };
        const verdicts = await checkState({ program, record, source, world: realWorld() });
        const states = verdicts.find(({ uid }) => uid === 'states')!.states;
        const told = states.find(({ state }) => state === name);
        assert.equal(told?.fate, fate, told?.because.join('; '));
        assert.equal(told.because.length > 0, fate !== 'kept');
        await store.close();
        await restored(dir, backend, { name, to, expected, isRestored });
      });
    }
  });

/** Starts another job from a savepoint of the state, with one state in its new layout. */
async function restored(
  dir: string,
  backend: string,
  {
    name,
    to,
    expected,
    isRestored,
  }: { name: string; to: Schema<unknown>; expected: unknown; isRestored: boolean },
): Promise<void> {
  const path = `${dir}/savepoint`;
  const got: unknown[] = [];
  const env = jobOf(
    envOf(`${dir}/${name}`, backend, {
      'execution.state-recovery.ignore-unclaimed-state': true,
      'execution.state-recovery.path': path,
    }),
    { [name]: kindOf(name, to) },
    (states) => got.push(read(name, states[name]!)),
    'again',
  );
  if (isRestored) {
    await env.execute('again');
    assert.deepEqual(got, [expected]);
  } else {
    await assert.rejects(env.execute('again'), { code: 'STATE_SCHEMA_INCOMPATIBLE' });
    assert.deepEqual(got, []);
  }
}

describe('millrace check', () => {
  const index = `${import.meta.dirname}/../../src/index.ts`;
  const run = (...args: readonly string[]) =>
    promisify(execFile)(process.execPath, [MAIN, ...args]);

  /** A program whose operator declares this state, under that uid. */
  const programText = (declared: string, uid: string): string => `
    import { collectSink, environment, rangeSource, t, valueState } from ${JSON.stringify(index)};
    const env = environment({ 'execution.checkpointing.dir': import.meta.dirname + '/checkpoints', 'execution.checkpointing.interval': 60000 });
    env.fromSource(rangeSource({ count: 1, valueAt: () => 1, schema: t.int32() }), {}, 'once').uid('once')
      .keyBy((n) => n, t.int32())
      .process({ state: { ${declared} }, processElement(n, { state }) { state.count.value = n; } }, t.int32()).uid('${uid}')
      .sinkTo(collectSink([]));
    await env.execute('counts');
  `;

  test('exits with 1 when state would be lost, and runs nothing', async () => {
    const dir = await mkdtemp(`${tmpdir()}/millrace-check-`);
    const cases: readonly (readonly [string, string, boolean, RegExp])[] = [
      ['count: valueState(t.int32())', 'counts', true, /kept +value "count"/],
      ['count: valueState(t.int64())', 'counts', true, /migrated +value "count": from int32 to/],
      ['count: valueState(t.string())', 'counts', false, /impossible value "count"/],
      ['other: valueState(t.int32())', 'counts', false, /dropped +value "count"/],
      ['count: valueState(t.int32())', 'moved', false, /the program has no operator with this id/],
    ];
    await writeFile(
      `${dir}/job.ts`,
      programText(...(['count: valueState(t.int32())', 'counts'] as const)),
    );
    await run('run', `${dir}/job.ts`);
    for (const [declared, uid, fits, told] of cases) {
      await writeFile(`${dir}/job.ts`, programText(declared, uid));
      const { stdout, code } = await run(
        'check',
        '--against',
        `${dir}/checkpoints`,
        `${dir}/job.ts`,
      )
        .then(({ stdout: out }) => ({ stdout: out, code: 0 }))
        .catch((error: { stdout: string; code: number }) => error);
      assert.match(stdout, told);
      assert.equal(code, fits ? 0 : 1, stdout);
    }
    const { stdout } = await run(
      ...['check', '-n', '--against', `${dir}/checkpoints`, `${dir}/job.ts`],
    );
    assert.match(stdout, /new +value "count"/);
    await rm(dir, { recursive: true });
  });
});
