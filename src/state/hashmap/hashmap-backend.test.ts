import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../storage/memory-store.ts';
import { t } from '../../types/t.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../checkpoint-storage.ts';
import { listState, mapState, valueState } from '../descriptor.ts';
import { stateBackendContract } from '../../testing/state-backend-contract.ts';
import { HashMapStateBackend } from './hashmap-backend.ts';

stateBackendContract('hashmap', () => new HashMapStateBackend());

test('a snapshot leaves out what has expired as a whole', async () => {
  let now = 0;
  const store = new MemoryStore();
  const backend = await new HashMapStateBackend().createKeyed({
    operatorId: 'operator',
    attemptId: 'attempt',
    keySchema: t.string(),
    keyGroupRange: { start: 0, end: 7 },
    maxParallelism: 8,
    restore: [],
    reader: new StoreSnapshotReader(store),
    wallMs: () => now,
    yieldToLoop: async () => {},
    allowGenericTypes: false,
  });
  const ttl = { ttlMs: 100 };
  const value = backend.getState('value', valueState(t.int32(), { ttl }));
  const list = backend.getState('list', listState(t.int32(), { ttl }));
  const map = backend.getState('map', mapState(t.int32(), t.int32(), { ttl }));
  const kept = backend.getState('kept', valueState(t.int32()));
  const write = (key: string): void => {
    backend.setCurrentKey(key);
    value.value = 1;
    list.add(1);
    map.put(1, 1);
    kept.value = 1;
  };
  write('a');
  write('b');
  now = 60;
  backend.setCurrentKey('b');
  list.add(2);
  map.put(2, 2);
  now = 100;
  write('c');
  const handle = await backend
    .snapshot(1)
    .write(new StoreSnapshotWriter(store, { jobId: 'job', checkpointId: 1, attemptId: 'a' }));
  const entries = Object.fromEntries(handle.states!.map((state) => [state.name, state.entries]));
  assert.deepEqual(entries, { value: 1, list: 2, map: 2, kept: 3 });
});
