/**
 * The same operator over `forst` on a real S3 server on this machine: records a second, requests, and the CPU that one costs.
 *
 * Keys are stored, and the backend is opened anew, so that it has nothing in memory; a hot set is read in, and then a given share of the
 * records goes to keys that nobody has read, each once, in random order. Keys that lie near each other share a block, which is then in
 * memory: how many requests a miss takes is part of the result. CPU is that of this process, the server's is its own; on the same cores
 * both are slower than with a network between them.
 */
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { startS3 } from '../../scripts/services/s3.ts';
import { realWorld } from '../../src/base/real-world.ts';
import { CachingBlockSource } from '../../src/lsm/cache/caching-block-source.ts';
import type { OperatorContext } from '../../src/operators/contract.ts';
import { KeyedProcessOperator } from '../../src/operators/keyed-process-operator.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../../src/state/checkpoint-storage.ts';
import { valueState } from '../../src/state/descriptor.ts';
import { ForstStateBackend } from '../../src/state/forst/forst-state-backend.ts';
import { ForstWorker } from '../../src/state/forst/forst-worker.ts';
import { PackedFiles } from '../../src/state/forst/packed-files.ts';
import type { KeyedStateBackend } from '../../src/state/keyed-state-backend.ts';
import type { KeyedStateHandle } from '../../src/state/snapshot.ts';
import { MeteringStore } from '../../src/storage/metering-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { S3Store } from '../../src/storage/s3/s3-store.ts';
import { t } from '../../src/types/t.ts';
import { batchesOf, openState, shuffler, turn } from './driver.ts';

const HOT = 1000;
const BLOCK_MEMORY_BYTES = 64 << 20;
const VALUE_MEMORY_BYTES = 256 << 20;
const PAYLOAD = 'x'.repeat(100);
const RECORD = t.struct({ count: t.int32(), payload: t.string() });
const KEY_GROUPS = { start: 0, end: 127 };
const SHARES = [0.01, 0.1, 1] as const;

export async function objectStore(quick: boolean): Promise<Readonly<Record<string, number>>> {
  const service = await startS3();
  if (isMissing(service)) {
    reportMissing('S3', service);
    return {};
  }
  try {
    const store = new S3Store(await service.bucket('aec'));
    const keys = quick ? 100_000 : 400_000;
    const handle = await fill(store, keys);
    const figures: Record<string, number> = {};
    for (const share of SHARES) {
      const records = Math.min(quick ? 200_000 : 500_000, (keys - HOT) / share / 2);
      Object.assign(figures, await read({ store, handle, keys, share, records }));
    }
    await store.close();
    return figures;
  } finally {
    await service.stop();
  }
}

async function fill(store: ObjectStore, keys: number): Promise<KeyedStateHandle> {
  const { keyed, close } = await open(store, []);
  const state = keyed.getState('record', valueState(RECORD));
  for (let key = 0; key < keys; key++) {
    keyed.setCurrentKey(key);
    state.value = { count: 0, payload: PAYLOAD };
    if (key % 10_000 === 0) await turn();
  }
  const writer = new StoreSnapshotWriter(store, {
    jobId: 'bench',
    checkpointId: 1,
    attemptId: 'fill',
  });
  const handle = await keyed.snapshot(1).write(writer);
  await close();
  return handle;
}

interface Reading {
  readonly store: ObjectStore;
  readonly handle: KeyedStateHandle;
  readonly keys: number;
  readonly share: number;
  readonly records: number;
}

async function read(reading: Reading): Promise<Readonly<Record<string, number>>> {
  const { handle, keys, share, records } = reading;
  const metered = new MeteringStore(reading.store);
  const { keyed, close } = await open(metered, [handle]);
  const operator = counting(keyed);
  const residency = keyed.residency!; // forst has one
  const state = openState({ operator, residency });
  const play = async (values: (i: number) => number, count: number): Promise<number> => {
    const cpu = process.cpuUsage();
    const batches = batchesOf(count, values);
    let next = 0;
    while (next < batches.length || !state.controller.idle) {
      const stepped = state.controller.step();
      const takes = next < batches.length && state.controller.wantsInput;
      if (takes) state.offer(1, batches[next++]!);
      state.settle(!stepped && !takes);
      await turn();
    }
    const { user, system } = process.cpuUsage(cpu);
    return user + system;
  };
  const hot = (i: number): number => i % HOT;
  await play(hot, HOT);
  // What a record costs with everything resident.
  const residentMicros = (await play(hot, records)) / records;
  const before = metered.usage;
  const cold = shuffler()(HOT, keys);
  let misses = 0;
  const startedMs = performance.now();
  const cpuMicros = await play((i) => {
    if (i * share < misses) return i % HOT;
    return cold[misses++ % cold.length]!;
  }, records);
  const seconds = (performance.now() - startedMs) / 1000;
  const gets = metered.usage.requests.get - before.requests.get;
  await close();
  const name = `s3_miss_${share * 100}_percent`;
  return {
    [`${name}_per_s`]: records / seconds,
    [`${name}_cpu_us_per_record`]: cpuMicros / records,
    [`${name}_gets_per_1000_misses`]: (1000 * gets) / misses,
    [`${name}_cpu_us_per_get`]: (cpuMicros - residentMicros * records) / Math.max(1, gets),
  };
}

function counting(keyed: KeyedStateBackend): KeyedProcessOperator {
  const operator = new KeyedProcessOperator(
    {
      state: { record: valueState(RECORD) },
      processElement: (value, { state }, out) => {
        const record = state['record'] as { value: { count: number } | undefined };
        record.value = { count: record.value!.count + 1, payload: PAYLOAD } as { count: number };
        out.collect(value);
      },
    },
    (value) => value,
  );
  operator.open({
    keyed,
    output: { emitBatch: () => {}, emitWatermark: () => {}, emitWatermarkStatus: () => {} },
    sideOutput: () => undefined,
    operatorName: 'count',
    operatorId: 'count',
    subtaskIndex: 0,
    // What this operator asks its context for.
  } as unknown as OperatorContext);
  return operator;
}

let incarnations = 0;

async function open(
  store: ObjectStore,
  restore: readonly KeyedStateHandle[],
): Promise<{ keyed: KeyedStateBackend; close(): Promise<void> }> {
  const world = realWorld();
  const incarnation = `aec${incarnations++}`;
  const backend = new ForstStateBackend(
    new ForstWorker({
      store,
      blocks: new CachingBlockSource({ store, memoryBytes: BLOCK_MEMORY_BYTES }),
      files: new PackedFiles({
        store,
        timers: world.timers,
        jobId: 'bench',
        incarnation,
        packBelowBytes: 256 * 1024,
      }),
      cacheBytes: VALUE_MEMORY_BYTES,
      nowMs: () => world.clock.wallMs(),
      log: (message, error) => console.error(message, error),
    }),
  );
  const keyed = await backend.createKeyed({
    operatorId: 'count',
    attemptId: incarnation,
    keySchema: t.int32(),
    keyGroupRange: KEY_GROUPS,
    maxParallelism: KEY_GROUPS.end + 1,
    restore,
    reader: new StoreSnapshotReader(store),
    wallMs: () => world.clock.wallMs(),
    yieldToLoop: turn,
    allowGenericTypes: false,
  });
  return {
    keyed,
    close: async () => {
      await keyed.close();
      await backend.close();
    },
  };
}
