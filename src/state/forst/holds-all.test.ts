import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../storage/memory-store.ts';
import { forstInMemory, keyedParamsIn } from '../../testing/forst-testing.ts';
import { SeededRandom } from '../../testing/seeded-random.ts';
import { t } from '../../types/t.ts';
import { StoreSnapshotWriter } from '../checkpoint-storage.ts';
import { mapState, reducingState, valueState } from '../descriptor.ts';
import type { KeyedStateBackend, StateBackend } from '../keyed-state-backend.ts';
import type { KeyedStateHandle } from '../snapshot.ts';
import { CachingBlockSource } from '../../lsm/cache/caching-block-source.ts';
import { ForstStateBackend } from './forst-state-backend.ts';
import { ForstWorker } from './forst-worker.ts';
import { PackedFiles } from './packed-files.ts';

const SIGNAL = new AbortController().signal;
const KEYS = 300;

let attempts = 0;

const openIn = (
  backend: StateBackend,
  store: MemoryStore,
  restore: readonly KeyedStateHandle[] = [],
): Promise<KeyedStateBackend> =>
  backend.createKeyed(keyedParamsIn(store, { attemptId: `attempt${++attempts}`, restore }));

const open = (
  store: MemoryStore,
  cacheBytes: number,
  restore?: readonly KeyedStateHandle[],
): Promise<KeyedStateBackend> =>
  openIn(forstInMemory(store, { cacheBytes, memtableBytes: 2048 }), store, restore);

const written = (
  backend: KeyedStateBackend,
  store: MemoryStore,
  checkpointId: number,
): Promise<KeyedStateHandle> =>
  backend.snapshot(checkpointId).write(
    new StoreSnapshotWriter(store, {
      jobId: 'job',
      checkpointId,
      attemptId: `attempt${attempts}`,
    }),
  );

const statesOf = (backend: KeyedStateBackend) => ({
  last: backend.getState('last', valueState(t.string())),
  sum: backend.getState(
    'sum',
    reducingState(t.int32(), (a, b) => a + b),
  ),
  seen: backend.getState('seen', mapState(t.int32(), t.int8())),
});

interface Model {
  last?: string | undefined;
  sum?: number | undefined;
  readonly seen: Map<number, number>;
}

test('what is read is what was written, while all is in the cache and after it no longer is', async () => {
  for (const cacheBytes of [1 << 20, 60_000, 0]) {
    const random = new SeededRandom(cacheBytes + 1);
    const store = new MemoryStore();
    let backend = await open(store, cacheBytes);
    let states = statesOf(backend);
    const models = Array.from({ length: KEYS }, (): Model => ({ seen: new Map() }));
    let held = 0;
    for (let step = 0; step < 6000; step++) {
      const n = random.int(KEYS);
      const model = models[n]!;
      const holdsAll = backend.residency!.holdsAll === true;
      if (holdsAll) held++;
      backend.setCurrentKey(n);
      const userKey = random.int(20);
      // Nothing is prepared while all is there.
      if (!holdsAll)
        while (!states.last.prepare() || !states.sum.prepare() || !states.seen.prepare())
          await backend.residency!.load(SIGNAL);
      assert.equal(states.last.value, model.last);
      assert.equal(states.sum.get(), model.sum);
      assert.equal(states.seen.get(userKey), model.seen.get(userKey));
      assert.deepEqual(new Map(states.seen.entries()), model.seen);
      switch (random.int(8)) {
        case 0:
          states.last.value = model.last = undefined;
          break;
        case 1:
          states.sum.clear();
          model.sum = undefined;
          break;
        case 2:
          states.seen.clear();
          model.seen.clear();
          break;
        case 3:
          states.seen.remove(userKey);
          model.seen.delete(userKey);
          break;
        case 4:
          states.last.value = model.last = `value ${step}`;
          break;
        case 5:
          states.sum.add(step);
          model.sum = (model.sum ?? 0) + step;
          break;
        default:
          states.seen.put(userKey, step & 63);
          model.seen.set(userKey, step & 63);
      }
      if (step % 8 === 0) backend.residency!.trim();
      if (step % 1500 !== 1499) continue;
      const handle = await written(backend, store, step);
      if (step !== 4499) continue;
      await backend.close();
      backend = await open(store, cacheBytes, [handle]);
      states = statesOf(backend);
      assert.equal(backend.residency!.holdsAll, false);
    }
    assert.ok(cacheBytes === 0 ? held < 100 : held > 100, `${held} steps`);
    if (cacheBytes > 100_000) assert.equal(held, 4500);
    await backend.close();
  }
});

test('what was prepared while all was in the cache can be read by a function that was suspended meanwhile', async () => {
  const store = new MemoryStore();
  const files = new PackedFiles({
    store,
    timers: { after: () => ({ cancel: () => {} }) },
    jobId: 'job',
    incarnation: 'i',
    packBelowBytes: 0,
  });
  const worker = new ForstWorker({
    store,
    // Nothing stays: whatever is in a file has to be fetched.
    blocks: new CachingBlockSource({ store, memoryBytes: 0 }),
    files,
    cacheBytes: 2000,
    memtableBytes: 2048,
    nowMs: () => 0,
    log: (message, error) => assert.fail(`${message}: ${String(error)}`),
  });
  const backend = await openIn(new ForstStateBackend(worker), store);
  const { last, seen } = statesOf(backend);
  backend.setCurrentKey(-1);
  assert.equal(last.prepare() && seen.prepare(), true);
  for (let key = 0; key < KEYS; key++) {
    backend.setCurrentKey(key);
    last.value = 'value';
    seen.put(1, 1);
    backend.residency!.trim((keyId) => keyId === -1);
  }
  await written(backend, store, 1);
  assert.equal(backend.residency!.holdsAll, false);
  backend.setCurrentKey(-1);
  assert.equal(last.value, undefined);
  assert.equal(seen.isEmpty(), true);
  // What nobody prepared is elsewhere.
  backend.setCurrentKey(0);
  assert.throws(() => last.value, { code: 'STATE_NOT_RESIDENT' });
  await backend.close();
});
