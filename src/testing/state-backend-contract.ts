/** What every state backend must do; run against each implementation. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../state/checkpoint-storage.ts';
import {
  aggregatingState,
  listState,
  mapState,
  reducingState,
  valueState,
} from '../state/descriptor.ts';
import type {
  KeyedBackendParams,
  KeyedStateBackend,
  StateBackend,
  TimerTarget,
} from '../state/keyed-state-backend.ts';
import type { KeyedStateHandle } from '../state/snapshot.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { keyGroupRangeOf } from '../types/key-group.ts';
import { hashKey, murmurHash } from '../types/key-hash.ts';
import { t } from '../types/t.ts';
import { timerModelTests } from './timer-model.ts';

const MAX_PARALLELISM = 64;
const text = t.string();

/** Files of different attempts have different names. */
let attempts = 0;

interface Opened {
  readonly index?: number;
  readonly parallelism?: number;
  readonly restore?: readonly KeyedStateHandle[];
  readonly store?: MemoryStore;
  readonly wallMs?: () => number;
}

const groupOf = (key: string): number => murmurHash(hashKey(key)) % MAX_PARALLELISM;
const subtaskOf = (key: string, parallelism: number): number =>
  Math.floor((groupOf(key) * parallelism) / MAX_PARALLELISM);

/** Registers the suite. */
export function stateBackendContract(
  name: string,
  create: (store: MemoryStore) => StateBackend,
): void {
  const open = ({
    index = 0,
    parallelism = 1,
    restore = [],
    store = new MemoryStore(),
    wallMs = () => 0,
  }: Opened = {}): Promise<KeyedStateBackend> => {
    const params: KeyedBackendParams = {
      operatorId: 'operator',
      attemptId: `attempt${++attempts}`,
      keySchema: text,
      keyGroupRange: keyGroupRangeOf(index, parallelism, MAX_PARALLELISM),
      maxParallelism: MAX_PARALLELISM,
      restore,
      reader: new StoreSnapshotReader(store),
      wallMs,
      yieldToLoop: async () => {},
      allowGenericTypes: false,
    };
    return create(store).createKeyed(params);
  };
  const snapshot = (
    backend: KeyedStateBackend,
    store: MemoryStore,
    id = 1,
  ): Promise<KeyedStateHandle> =>
    backend.snapshot(id).write(
      new StoreSnapshotWriter(store, {
        jobId: 'job',
        checkpointId: id,
        attemptId: `attempt-${id}`,
      }),
    );

  describe(`state backend contract: ${name}`, () => {
    kindTests(open);
    ttlTests(open);
    timerTests(open, snapshot);
    timerModelTests({ open, snapshot, subtaskOf });
    snapshotTests(open, snapshot);
  });
}

type Open = (opened?: Opened) => Promise<KeyedStateBackend>;
type Snapshot = (
  backend: KeyedStateBackend,
  store: MemoryStore,
  id?: number,
) => Promise<KeyedStateHandle>;

function kindTests(open: Open): void {
  test('state is by key, and absent until it is written', async () => {
    const backend = await open();
    const state = backend.getState('s', valueState(t.int64(), { default: 7 }));
    backend.setCurrentKey('a');
    assert.equal(state.value, 7);
    assert.equal(state.exists, false);
    state.value += 1;
    backend.setCurrentKey('b');
    assert.equal(state.value, 7);
    backend.setCurrentKey('a');
    assert.equal(state.value, 8);
    state.clear();
    assert.equal(state.exists, false);
  });

  test('lists, maps, reducing and aggregating states', async () => {
    const backend = await open();
    const list = backend.getState('l', listState(t.int32()));
    const map = backend.getState('m', mapState(t.tuple(text, t.int32()), text));
    const sum = backend.getState(
      'r',
      reducingState(t.int64(), (a: number, b: number) => a + b),
    );
    const mean = backend.getState(
      'g',
      aggregatingState(t.tuple(t.int32(), t.int64()), {
        createAccumulator: () => [0, 0] as const,
        add: (value: number, [n, total]) => [n + 1, total + value] as const,
        getResult: ([n, total]) => total / n,
      }),
    );
    backend.setCurrentKey('a');
    assert.deepEqual(list.get(), []);
    assert.equal(map.isEmpty(), true);
    assert.equal(sum.get(), undefined);
    assert.equal(mean.get(), undefined);
    for (const n of [1, 2, 6]) {
      list.add(n);
      sum.add(n);
      mean.add(n);
    }
    map.put(['x', 1], 'one');
    map.put(['x', 1], 'uno');
    map.put(['x', 2], 'two');
    map.remove(['x', 2]);
    assert.deepEqual(
      [list.get(), sum.get(), mean.get(), [...map.entries()]],
      [[1, 2, 6], 9, 3, [[['x', 1], 'uno']]],
    );
    assert.equal(map.contains(['x', 1]), true);
    list.update([5]);
    assert.deepEqual(list.get(), [5]);
    map.remove(['x', 1]);
    assert.equal(map.isEmpty(), true);
  });

  test('namespaces are apart, and merge', async () => {
    const backend = await open();
    const list = backend.getNamespacedState('w', listState(t.int32()), t.int64());
    backend.setCurrentKey('a');
    for (const window of [10, 20, 30]) {
      list.setNamespace(window);
      list.add(window);
    }
    list.mergeNamespaces(10, [20]);
    assert.deepEqual(list.get(), [10, 20]);
    list.setNamespace(20);
    assert.deepEqual(list.get(), []);
    list.setNamespace(30);
    assert.deepEqual(list.get(), [30]);
  });

  test('a name is registered once and missing keys are refused', async () => {
    const backend = await open();
    backend.getState('s', valueState(text));
    assert.throws(() => backend.getState('s', valueState(text)), { code: 'DUPLICATE_STATE' });
    assert.throws(() => backend.setCurrentKey(null), { code: 'NULL_KEY' });
    assert.throws(() => backend.getState('g', valueState(t.generic())), {
      code: 'GENERIC_STATE_TYPE',
    });
  });

  test('every key with state can be visited', async () => {
    const backend = await open();
    const state = backend.getState('s', valueState(t.int32(), { default: 0 }));
    for (const key of ['a', 'b', 'c']) {
      backend.setCurrentKey(key);
      state.value = 1;
    }
    await backend.applyToAllKeys('s', undefined, (key) => (state.value = key === 'b' ? 20 : 10));
    backend.setCurrentKey('b');
    assert.equal(state.value, 20);
  });
}

function ttlTests(open: Open): void {
  const cases = [
    { update: 'on-create-and-write', readAt: 60, at: 100, expected: undefined },
    { update: 'on-read-and-write', readAt: 60, at: 100, expected: 'v' },
    { update: 'on-create-and-write', readAt: 60, at: 99, expected: 'v' },
    { update: 'disabled', readAt: 60, at: 1000, expected: 'v' },
  ] as const;
  for (const { update, readAt, at, expected } of cases) {
    test(`TTL ${update}: written at 0, read at ${readAt}, ${expected === undefined ? 'gone' : 'there'} at ${at} of 100 ms`, async () => {
      let now = 0;
      const backend = await open({ wallMs: () => now });
      const state = backend.getState('s', valueState(text, { ttl: { ttlMs: 100, update } }));
      backend.setCurrentKey('a');
      state.value = 'v';
      now = readAt;
      assert.equal(state.value, 'v');
      now = at;
      assert.equal(state.value, expected);
    });
  }

  test('TTL is per entry in lists and maps', async () => {
    let now = 0;
    const backend = await open({ wallMs: () => now });
    const ttl = { ttlMs: 100 };
    const list = backend.getState('l', listState(text, { ttl }));
    const map = backend.getState('m', mapState(text, text, { ttl }));
    backend.setCurrentKey('a');
    for (const [at, name] of [
      [0, 'old'],
      [60, 'new'],
    ] as const) {
      now = at;
      list.add(name);
      map.put(name, name);
    }
    now = 120;
    assert.deepEqual([list.get(), [...map.keys()]], [['new'], ['new']]);
  });

  test('an expired value can be shown until it is cleaned up', async () => {
    let now = 0;
    const backend = await open({ wallMs: () => now });
    const state = backend.getState(
      's',
      valueState(text, { ttl: { ttlMs: 10, visibility: 'return-expired-if-not-cleaned-up' } }),
    );
    backend.setCurrentKey('a');
    state.value = 'v';
    now = 50;
    assert.equal(state.value, 'v');
    assert.equal(state.value, undefined);
  });
}

function timerTests(open: Open, snapshot: Snapshot): void {
  const recorder = (): {
    fired: string[];
    target: (backend: () => KeyedStateBackend) => TimerTarget<number>;
  } => {
    const fired: string[] = [];
    return {
      fired,
      target: (backend) => ({
        onEventTime: (timestamp, namespace) =>
          fired.push(`${String(backend().currentKey)}/${namespace}@${timestamp}`),
        onProcessingTime: (timestamp, namespace) =>
          fired.push(`p ${String(backend().currentKey)}/${namespace}@${timestamp}`),
      }),
    };
  };

  test('timers fire in order, once, and in slices', async () => {
    const { fired, target } = recorder();
    const backend: KeyedStateBackend = await open();
    const timers = backend.getTimerService(
      't',
      t.int32(),
      target(() => backend),
    );
    for (const [key, at] of [
      ['a', 5],
      ['b', 3],
      ['a', 5],
      ['c', 9],
      ['a', 4],
    ] as const) {
      backend.setCurrentKey(key);
      timers.registerEventTimeTimer(1, at);
    }
    backend.setCurrentKey('a');
    timers.deleteEventTimeTimer(1, 4);
    timers.registerProcessingTimeTimer(2, 100);
    assert.equal(backend.nextProcessingTime(), 100);
    assert.equal(backend.advanceWatermark(5, 1), 'more');
    assert.deepEqual(fired, ['b/1@3']);
    assert.equal(backend.advanceWatermark(5, 10), 'done');
    assert.deepEqual(fired, ['b/1@3', 'a/1@5']);
    assert.equal(backend.advanceWatermark(Number.POSITIVE_INFINITY, 10), 'done');
    assert.equal(backend.advanceProcessingTime(100, 10), 'done');
    assert.deepEqual(fired, ['b/1@3', 'a/1@5', 'c/1@9', 'p a/2@100']);
    assert.equal(backend.nextProcessingTime(), Number.POSITIVE_INFINITY);
  });

  test('timers survive a snapshot, at any parallelism', async () => {
    const store = new MemoryStore();
    const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`);
    const before = recorder();
    const backend: KeyedStateBackend = await open({ store });
    const timers = backend.getTimerService(
      't',
      t.int32(),
      before.target(() => backend),
    );
    for (const key of keys) {
      backend.setCurrentKey(key);
      timers.registerEventTimeTimer(0, key.length);
    }
    const handle = await snapshot(backend, store);
    const all: string[] = [];
    for (let index = 0; index < 3; index++) {
      const { fired, target } = recorder();
      const restored: KeyedStateBackend = await open({
        store,
        restore: [handle],
        index,
        parallelism: 3,
      });
      restored.getTimerService(
        't',
        t.int32(),
        target(() => restored),
      );
      while (restored.advanceWatermark(100, 1000) !== 'done')
        await restored.residency?.load(new AbortController().signal);
      assert.ok(fired.every((line) => subtaskOf(line.split('/')[0]!, 3) === index));
      all.push(...fired);
    }
    assert.deepEqual(all.toSorted(), keys.map((key) => `${key}/0@${key.length}`).toSorted());
  });
}

function snapshotTests(open: Open, snapshot: Snapshot): void {
  test('a snapshot holds the state at its call, however it changes before it is written', async () => {
    const store = new MemoryStore();
    const backend = await open({ store });
    const state = backend.getState('s', listState(t.int32()));
    const set = (key: string, value: number): void => {
      backend.setCurrentKey(key);
      state.add(value);
    };
    for (let i = 0; i < 200; i++) set(`k${i}`, i);
    const pending = backend.snapshot(1);
    for (let i = 100; i < 300; i++) set(`k${i}`, -i);
    backend.setCurrentKey('k5');
    state.clear();
    const handle = await pending.write(
      new StoreSnapshotWriter(store, { jobId: 'job', checkpointId: 1, attemptId: 'a' }),
    );
    const restored = await open({ store, restore: [handle] });
    const read = restored.getState('s', listState(t.int32()));
    for (let i = 0; i < 300; i++) {
      restored.setCurrentKey(`k${i}`);
      assert.deepEqual(read.get(), i < 200 ? [i] : []);
    }
  });

  test('schemas evolve by field name, and what cannot is refused by state and field', async () => {
    const store = new MemoryStore();
    const backend = await open({ store });
    const old = backend.getState('s', valueState(t.struct({ id: t.int32(), gone: text })));
    backend.setCurrentKey('a');
    old.value = { id: 1, gone: 'x' };
    const handle = await snapshot(backend, store);
    const evolved = await open({ store, restore: [handle] });
    const added = evolved.getState(
      's',
      valueState(
        t.struct({
          number: { field: t.int64(), aliases: ['id'] },
          note: { field: text, default: 'new' },
        }),
      ),
    );
    evolved.setCurrentKey('a');
    assert.deepEqual(added.value, { number: 1, note: 'new' });
    const refused = await open({ store, restore: [handle] });
    assert.throws(() => refused.getState('s', valueState(t.struct({ id: text }))), {
      code: 'STATE_SCHEMA_INCOMPATIBLE',
      message: /"s".*id/s,
    });
    const other = await open({ store, restore: [handle] });
    assert.throws(() => other.getState('s', listState(text)), {
      code: 'STATE_SCHEMA_INCOMPATIBLE',
      message: /value state/,
    });
    assert.deepEqual((await open({ store, restore: [handle] })).unclaimedStates(), ['s']);
  });

  test('a corrupt or missing snapshot is named', async () => {
    const store = new MemoryStore();
    const backend = await open({ store });
    const state = backend.getState('s', valueState(text));
    for (let i = 0; i < 2000; i++) {
      backend.setCurrentKey(`key-${i}`);
      state.value = 'some text that makes the snapshot large enough for an object of its own';
    }
    const handle = await backend.snapshot(1).write(
      new StoreSnapshotWriter(store, {
        jobId: 'job',
        checkpointId: 1,
        attemptId: 'attempt-1',
        inlineThresholdBytes: 0,
      }),
    );
    assert.equal(handle.data.kind, 'object');
    const { key } = handle.data as { key: string };
    const bytes = await store.get(key);
    bytes[100]! ^= 1;
    await store.put(key, bytes);
    await assert.rejects(open({ store, restore: [handle] }), {
      kind: 'data',
      code: 'SNAPSHOT_CORRUPT',
      message: new RegExp(key),
    });
    await store.delete(key);
    await assert.rejects(open({ store, restore: [handle] }), {
      kind: 'data',
      code: 'SNAPSHOT_MISSING',
      message: new RegExp(key),
    });
  });

  test('any history of writes, snapshots and rescales equals a plain map', async () => {
    const key = fc.integer({ min: 0, max: 40 }).map((n) => `k${n}`);
    const operation = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          type: fc.constant('add' as const),
          key,
          value: fc.integer({ min: 0, max: 99 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('clear' as const), key }) },
      {
        weight: 1,
        arbitrary: fc.record({
          type: fc.constant('restore' as const),
          parallelism: fc.integer({ min: 1, max: 4 }),
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
        const store = new MemoryStore();
        const model = new Map<string, number[]>();
        let parallelism = 1;
        let id = 0;
        const openAll = async (restore: readonly KeyedStateHandle[]) =>
          Promise.all(
            Array.from({ length: parallelism }, async (_, index) => {
              const backend = await open({ store, index, parallelism, restore });
              return { backend, state: backend.getState('s', listState(t.int32())) };
            }),
          );
        let subtasks = await openAll([]);
        const at = (name: string) => {
          const subtask = subtasks[subtaskOf(name, parallelism)]!;
          subtask.backend.setCurrentKey(name);
          return subtask.state;
        };
        for (const step of operations) {
          if (step.type === 'add') {
            at(step.key).add(step.value);
            model.set(step.key, [...(model.get(step.key) ?? []), step.value]);
          } else if (step.type === 'clear') {
            at(step.key).clear();
            model.delete(step.key);
          } else {
            const handles = await Promise.all(
              subtasks.map(({ backend }) => snapshot(backend, store, ++id)),
            );
            parallelism = step.parallelism;
            subtasks = await openAll(handles);
          }
        }
        for (let n = 0; n <= 40; n++) assert.deepEqual(at(`k${n}`).get(), model.get(`k${n}`) ?? []);
      }),
      { numRuns: 80 },
    );
  });
}
