/** The forst backend as jobs use it: hot updates, checkpoints, restores and rescaling over states of different sizes. */
import { performance } from 'node:perf_hooks';
import { realWorld } from '../../src/base/real-world.ts';
import { CachingBlockSource } from '../../src/lsm/cache/caching-block-source.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../../src/state/checkpoint-storage.ts';
import { valueState } from '../../src/state/descriptor.ts';
import { ForstStateBackend } from '../../src/state/forst/forst-state-backend.ts';
import { ForstWorker } from '../../src/state/forst/forst-worker.ts';
import { PackedFiles } from '../../src/state/forst/packed-files.ts';
import type { KeyedStateBackend } from '../../src/state/keyed-state-backend.ts';
import type { KeyedStateHandle } from '../../src/state/snapshot.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { keyGroupRangeOf } from '../../src/types/key-group.ts';
import { hashKey, murmurHash } from '../../src/types/key-hash.ts';
import { t } from '../../src/types/t.ts';
import { Zipf } from './keys.ts';
import { openRocksDb } from './rocksdb.ts';
import { keyAt } from './keys.ts';
import { yieldToLoop } from './stores.ts';

export const MAX_PARALLELISM = 32_768;
const SIGNAL = new AbortController().signal;
export const PAYLOAD = 'x'.repeat(48);
export const RECORD = t.struct({ count: t.int64(), payload: t.string() });
let incarnations = 0;

export interface Placed {
  readonly index: number;
  readonly parallelism: number;
  readonly restore?: readonly KeyedStateHandle[];
  readonly cacheBytes?: number;
  /** Timers in memory; absent: as many as it is enough for. */
  readonly timersMost?: number;
  /** Undefined: no changelog. */
  readonly tailBytesMax?: number | undefined;
}

export async function openBackend(
  store: ObjectStore,
  { index, parallelism, restore = [], cacheBytes = 512 << 20, timersMost, tailBytesMax }: Placed,
): Promise<{ keyed: KeyedStateBackend; close(): Promise<void> }> {
  const world = realWorld();
  const incarnation = `i${incarnations++}`;
  const files = new PackedFiles({
    store,
    timers: world.timers,
    jobId: 'bench',
    incarnation,
    packBelowBytes: 256 * 1024,
  });
  const backend = new ForstStateBackend(
    new ForstWorker({
      store,
      blocks: new CachingBlockSource({ store, memoryBytes: 256 << 20 }),
      files,
      cacheBytes,
      timersMost,
      tailBytesMax,
      nowMs: () => world.clock.wallMs(),
      log: (message, error) => console.error(message, error),
    }),
  );
  const keyed = await backend.createKeyed({
    operatorId: 'operator',
    attemptId: `${incarnation}-${index}`,
    keySchema: t.int32(),
    keyGroupRange: keyGroupRangeOf(index, parallelism, MAX_PARALLELISM),
    maxParallelism: MAX_PARALLELISM,
    restore,
    reader: new StoreSnapshotReader(store),
    wallMs: () => world.clock.wallMs(),
    yieldToLoop,
    allowGenericTypes: false,
  });
  const close = async (): Promise<void> => {
    await keyed.close();
    await backend.close();
  };
  return { keyed, close };
}

export function recordState(keyed: KeyedStateBackend) {
  return keyed.getState('record', valueState(RECORD));
}

/** Read-modify-write of Zipf keys that are all cached, per second. */
export async function hotUpdates(
  store: ObjectStore,
  keys: number,
  updates: number,
): Promise<number> {
  const { keyed, close } = await openBackend(store, {
    index: 0,
    parallelism: 1,
    cacheBytes: 4 << 30,
  });
  const state = recordState(keyed);
  const zipf = new Zipf(keys, 3);
  const step = (count: number): void => {
    for (let i = 0; i < count; i++) {
      keyed.setCurrentKey(zipf.next() % keys);
      state.prepare();
      const held = state.value;
      state.value = { count: (held?.count ?? 0) + 1, payload: PAYLOAD };
    }
  };
  step(updates);
  const started = performance.now();
  step(updates);
  const seconds = (performance.now() - started) / 1000;
  await close();
  return updates / seconds;
}

/** The same on RocksDB: a packed multi-get and a write batch for every 256. */
export async function hotUpdatesRocksDb(
  folder: string,
  keys: number,
  updates: number,
): Promise<number> {
  const db = await openRocksDb(folder, 1 << 30);
  const zipf = new Zipf(keys, 3);
  const step = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 256) {
      const batch = Array.from({ length: 256 }, () => keyAt(zipf.next() % keys));
      const values = db.getMany(batch);
      await db.put(
        batch.map((key, i) => {
          const value = Buffer.alloc(64, 0x78);
          value.writeDoubleLE((values[i]?.readDoubleLE(0) ?? 0) + 1, 0);
          return [key, value] as const;
        }),
      );
    }
  };
  await step(updates);
  const started = performance.now();
  await step(updates);
  const seconds = (performance.now() - started) / 1000;
  await db.close();
  return updates / seconds;
}

const subtaskOf = (key: number, parallelism: number): number =>
  Math.floor(((murmurHash(hashKey(key)) % MAX_PARALLELISM) * parallelism) / MAX_PARALLELISM);

export function checkpoint(
  keyed: KeyedStateBackend,
  store: ObjectStore,
  id: number,
): Promise<KeyedStateHandle> {
  const writer = new StoreSnapshotWriter(store, {
    jobId: 'bench',
    checkpointId: id,
    attemptId: `w${incarnations++}`,
  });
  return keyed.snapshot(id).write(writer);
}

export interface CheckpointFigures {
  readonly durationMs: number;
  readonly pauseMs: number;
}

/** Median duration and worst synchronous part of checkpoints after `changes` changed keys each. */
export async function checkpoints(
  store: ObjectStore,
  params: { restore: readonly KeyedStateHandle[]; keys: number; changes: number; rounds: number },
): Promise<CheckpointFigures> {
  const { keyed, close } = await openBackend(store, {
    index: 0,
    parallelism: 1,
    restore: params.restore,
  });
  const state = recordState(keyed);
  const durations: number[] = [];
  let pauseMs = 0;
  let key = 0;
  for (let round = 1; round <= params.rounds; round++) {
    for (let i = 0; i < params.changes; i++) {
      key = (key + 7919) % params.keys;
      keyed.setCurrentKey(key);
      state.value = { count: round, payload: PAYLOAD };
    }
    const writer = new StoreSnapshotWriter(store, {
      jobId: 'bench',
      checkpointId: round,
      attemptId: `w${incarnations++}`,
    });
    const started = performance.now();
    const pending = keyed.snapshot(round);
    pauseMs = Math.max(pauseMs, performance.now() - started);
    await pending.write(writer);
    durations.push(performance.now() - started);
  }
  await close();
  return { durationMs: median(durations), pauseMs };
}

/** From handles to the first record processed, on fresh workers with empty caches: `parallelism` backends at once. */
export async function firstRead(
  store: ObjectStore,
  params: { restore: readonly KeyedStateHandle[]; keys: number; parallelism: number },
): Promise<number> {
  const { restore, keys, parallelism } = params;
  const started = performance.now();
  const opened = await Promise.all(
    Array.from({ length: parallelism }, async (_, index) => {
      const one = await openBackend(store, { index, parallelism, restore });
      const state = recordState(one.keyed);
      let key = Math.floor(keys / 2);
      while (subtaskOf(key, parallelism) !== index) key++;
      one.keyed.setCurrentKey(key);
      while (!state.prepare()) {
        await one.keyed.residency!.load(SIGNAL);
        one.keyed.setCurrentKey(key);
      }
      if (state.value?.count !== key) throw new RangeError(`key ${key} was not restored`);
      state.value = { count: key + 1, payload: PAYLOAD };
      return one;
    }),
  );
  const ms = performance.now() - started;
  for (const one of opened) await one.close();
  return ms;
}

/** What a restore that copies would read before its first record. */
export async function fullCopy(
  store: ObjectStore,
  handles: readonly KeyedStateHandle[],
): Promise<{ readonly ms: number; readonly bytes: number }> {
  const started = performance.now();
  let bytes = 0;
  for (const { files } of handles)
    for (const { object, offset, length } of files ?? [])
      bytes += (await store.get(object, { offset, length })).length;
  return { ms: performance.now() - started, bytes };
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
