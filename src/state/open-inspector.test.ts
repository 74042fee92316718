import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryStore } from '../storage/memory-store.ts';
import { forstInMemory } from '../testing/forst-testing.ts';
import { keyGroupRangeOf } from '../types/key-group.ts';
import { schemaFromJson } from '../types/schema-json.ts';
import { t } from '../types/t.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from './checkpoint-storage.ts';
import { listState, mapState, reducingState, valueState } from './descriptor.ts';
import { HashMapStateBackend } from './hashmap/hashmap-backend.ts';
import type { KeyedStateBackend, StateBackend } from './keyed-state-backend.ts';
import { openInspector } from './open-inspector.ts';
import type { KeyedStateHandle } from './snapshot.ts';
import type { SnapshotEntry } from './snapshot-inspector.ts';
import { writeSavepoint } from './savepoint/write-savepoint.ts';
import { CHECKPOINT_RECORD_VERSION } from './checkpoint-record.ts';

const KEYS = 50;

const BACKENDS: Readonly<Record<string, (store: MemoryStore) => StateBackend>> = {
  hashmap: () => new HashMapStateBackend(),
  forst: (store) => forstInMemory(store),
};

/** States of several kinds. */
function declare(backend: KeyedStateBackend) {
  const value = backend.getState('v', valueState(t.struct({ n: t.int32() })));
  const list = backend.getNamespacedState('l', listState(t.int32()), t.string());
  const map = backend.getState('m', mapState(t.int32(), t.string()));
  const sum = backend.getState(
    'r',
    reducingState(t.int64(), (a: number, b: number) => a + b),
  );
  const timers = backend.getTimerService('timers', t.string(), {
    onEventTime: () => {},
    onProcessingTime: () => {},
  });
  return { value, list, map, sum, timers };
}

/** A snapshot with entries in all of them. */
async function snapshotOf(create: (store: MemoryStore) => StateBackend, store: MemoryStore) {
  const reader = new StoreSnapshotReader(store);
  const backend = await create(store).createKeyed({
    operatorId: 'operator',
    attemptId: 'attempt',
    keySchema: t.string(),
    keyGroupRange: keyGroupRangeOf(0, 1, 64),
    maxParallelism: 64,
    restore: [],
    reader,
    wallMs: () => 0,
    yieldToLoop: async () => {},
    allowGenericTypes: false,
  });
  const { value, list, map, sum, timers } = declare(backend);
  for (let i = 0; i < KEYS; i++) {
    backend.setCurrentKey(`k${i}`);
    value.value = { n: i };
    list.setNamespace('w');
    list.add(i);
    list.add(-i);
    map.put(1, `one of ${i}`);
    map.put(2, `two of ${i}`);
    sum.add(i);
    sum.add(1000);
    timers.registerEventTimeTimer('w', i * 10);
  }
  const writer = new StoreSnapshotWriter(store, { jobId: 'job', checkpointId: 1, attemptId: 'a' });
  return backend.snapshot(1).write(writer);
}

async function read(
  store: MemoryStore,
  handle: KeyedStateHandle,
): Promise<readonly SnapshotEntry[]> {
  const inspector = await openInspector(handle, {
    store,
    reader: new StoreSnapshotReader(store),
    yieldToLoop: async () => {},
  });
  const entries: SnapshotEntry[] = [];
  for await (const entry of inspector.entries()) entries.push(entry);
  return entries;
}

for (const [name, create] of Object.entries(BACKENDS)) {
  describe(`inspecting a snapshot of ${name}`, () => {
    test('every entry is read by the schemas that are stored', async () => {
      const store = new MemoryStore();
      const entries = await read(store, await snapshotOf(create, store));
      const of = (state: string) => entries.filter((entry) => entry.state.name === state);
      assert.deepEqual(
        ['v', 'l', 'm', 'r', 'timers'].map((state) => of(state).length),
        [KEYS, KEYS, 2 * KEYS, KEYS, KEYS],
      );
      const k7 = (state: string) => of(state).filter(({ key }) => key === 'k7');
      assert.deepEqual(k7('v')[0]!.values, [{ n: 7 }]);
      assert.deepEqual(k7('l')[0]!.values.flat(), [7, -7]);
      assert.equal(k7('l')[0]!.namespace, 'w');
      assert.deepEqual(
        k7('m').map(({ userKey, values }) => [userKey, values]),
        [
          [1, ['one of 7']],
          [2, ['two of 7']],
        ],
      );
      assert.equal(
        (k7('r')[0]!.values as number[]).reduce((a, b) => a + b),
        1007,
      );
      const [timer] = k7('timers');
      assert.deepEqual(
        [timer?.state.kind, timer?.timestamp, timer?.namespace],
        ['event-timers', 70, 'w'],
      );
      assert.equal(schemaFromJson(of('v')[0]!.state.valueSchema).kind, 'struct');
      assert.ok(entries.every(({ bytes }) => bytes > 0));
    });

    test('only the key groups of the handle are read', async () => {
      const store = new MemoryStore();
      const handle = await snapshotOf(create, store);
      const halves = [0, 1].map((half) => ({ ...handle, keyGroups: keyGroupRangeOf(half, 2, 64) }));
      const [low, high] = await Promise.all(halves.map((half) => read(store, half)));
      const all = await read(store, handle);
      assert.equal(low!.length + high!.length, all.length);
      assert.ok(low!.length > 0 && low!.every(({ keyGroup }) => keyGroup < 32));
      assert.ok(high!.length > 0 && high!.every(({ keyGroup }) => keyGroup >= 32));
    });
  });
}

const FIELDS = {
  jobId: 'job',
  jobName: 'job',
  checkpointId: 1,
};
const TIMES = { generation: 1, triggeredAtMs: 0, completedAtMs: 0, fingerprint: '' };

/** The keyed handles of a savepoint of this snapshot, in a store of its own. */
async function savepointOf(store: MemoryStore, handle: KeyedStateHandle, target: MemoryStore) {
  const operators = [{ id: 'operator', name: 'operator', parallelism: 1, maxParallelism: 64 }];
  const subtasks = [{ operators: { operator: { keyed: [handle] } }, sizeBytes: 0 }];
  const vertices = [{ id: 'operator', operators, subtasks }];
  const record = { version: CHECKPOINT_RECORD_VERSION, ...FIELDS, ...TIMES, vertices } as const;
  const source = { store, reader: new StoreSnapshotReader(store), yieldToLoop: async () => {} };
  const savepoint = await writeSavepoint(record, source, target);
  return savepoint.vertices[0]!.subtasks[0]!.operators['operator']!.keyed;
}

/** An entry as text, so that sets of them can be compared whatever wrote them. */
const textOf = ({ state, key, namespace, userKey, timestamp, values }: SnapshotEntry): string => {
  const value =
    state.kind === 'reducing'
      ? (values as number[]).reduce((a, b) => a + b)
      : state.kind === 'list'
        ? values.flat()
        : values;
  return JSON.stringify([state.kind, state.name, key, namespace, userKey, timestamp, value]);
};

for (const [from, createFrom] of Object.entries(BACKENDS))
  for (const [to, createTo] of Object.entries(BACKENDS))
    test(`a savepoint of ${from} restored into ${to} by three subtasks holds the same`, async () => {
      const store = new MemoryStore();
      const handle = await snapshotOf(createFrom, store);
      const expected = (await read(store, handle)).map(textOf).toSorted();
      const target = new MemoryStore();
      const keyed = await savepointOf(store, handle, target);
      const found: string[] = [];
      for (let subtask = 0; subtask < 3; subtask++) {
        const backend = await createTo(target).createKeyed({
          operatorId: 'operator',
          attemptId: `restored${subtask}`,
          keySchema: t.string(),
          keyGroupRange: keyGroupRangeOf(subtask, 3, 64),
          maxParallelism: 64,
          restore: keyed,
          reader: new StoreSnapshotReader(target),
          wallMs: () => 0,
          yieldToLoop: async () => {},
          allowGenericTypes: false,
        });
        declare(backend);
        const writer = new StoreSnapshotWriter(target, {
          jobId: 'job',
          checkpointId: 2,
          attemptId: `again${subtask}`,
        });
        const again = await backend.snapshot(2).write(writer);
        found.push(...(await read(target, again)).map(textOf));
        await backend.close();
      }
      assert.deepEqual(found.toSorted(), expected);
    });

test('a snapshot of a backend that does not exist is refused by name', () => {
  const store = new MemoryStore();
  const handle = { backend: 'rocksdb', keyGroups: { start: 0, end: 1 } } as KeyedStateHandle;
  const source = { store, reader: new StoreSnapshotReader(store), yieldToLoop: async () => {} };
  assert.throws(() => void openInspector(handle, source), { code: 'UNKNOWN_SNAPSHOT_BACKEND' });
});
