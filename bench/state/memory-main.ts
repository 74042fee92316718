/** The process that `memory.ts` measures: read-modify-writes of Zipf keys over a restored state, with checkpoints. Prints its figures. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { realDisk } from '../../src/base/real-disk.ts';
import { realWorld } from '../../src/base/real-world.ts';
import { openCompactionThread } from '../../src/cli/open-compaction-thread.ts';
import { stateBackendOf } from '../../src/state/backends.ts';
import { StoreSnapshotReader } from '../../src/state/checkpoint-storage.ts';
import type { KeyedStateBackend } from '../../src/state/keyed-state-backend.ts';
import type { KeyedStateHandle } from '../../src/state/snapshot.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { keyGroupRangeOf } from '../../src/types/key-group.ts';
import { t } from '../../src/types/t.ts';
import { checkpoint, MAX_PARALLELISM, PAYLOAD, recordState } from './backend.ts';
import { Zipf } from './keys.ts';
import type { MemoryFigures, MemoryRun } from './memory.ts';
import { localStore, yieldToLoop } from './stores.ts';

const BATCH = 64;
const CHECKPOINT_EVERY = 50_000;
const DISK_CACHE_SHARE = 0.25;
const SIGNAL = new AbortController().signal;

/** Looks at the clocks whenever the event loop turns. */
class Turns {
  pauseWallMs = 0;
  pauseCpuMs = 0;
  peakBytes = 0;
  #wall = performance.now();
  #cpu = cpuMs();
  #turns = 0;
  #running = true;

  start(): void {
    this.#wall = performance.now();
    this.#cpu = cpuMs();
    const turn = (): void => {
      const wall = performance.now();
      const cpu = cpuMs();
      this.pauseWallMs = Math.max(this.pauseWallMs, wall - this.#wall);
      this.pauseCpuMs = Math.max(this.pauseCpuMs, cpu - this.#cpu);
      this.#wall = wall;
      this.#cpu = cpu;
      if ((this.#turns++ & 63) === 0)
        this.peakBytes = Math.max(this.peakBytes, process.memoryUsage.rss());
      if (this.#running) setImmediate(turn);
    };
    setImmediate(turn);
  }

  stop(): void {
    this.#running = false;
  }
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

async function main(): Promise<void> {
  const run = JSON.parse(process.argv[2]!) as MemoryRun; // memory.ts gives this
  const handles = JSON.parse(
    await readFile(`${run.folder}/handles.json`, 'utf8'),
  ) as KeyedStateHandle[]; // and writes this
  await delay(200);
  const idleBytes = process.memoryUsage.rss();
  const store = localStore(`${run.folder}/store`);
  const { keyed, close } = await open(run, store, handles);
  const turns = new Turns();
  turns.start();
  const started = performance.now();
  await update(keyed, store, run);
  const recordsPerSecond = run.records / ((performance.now() - started) / 1000);
  turns.stop();
  const { peakBytes, pauseWallMs, pauseCpuMs } = turns;
  await close();
  const figures: MemoryFigures = {
    ...{ idleBytes, peakBytes, pauseWallMs, pauseCpuMs, recordsPerSecond },
  };
  console.log(JSON.stringify(figures));
}

async function open(
  { folder, budgetBytes, stateBytes }: MemoryRun,
  store: ObjectStore,
  restore: readonly KeyedStateHandle[],
): Promise<{ keyed: KeyedStateBackend; close(): Promise<void> }> {
  const world = realWorld();
  const config = {
    'taskmanager.memory.managed.size': budgetBytes,
    'state.backend.forst.cache.dir': `${folder}/cache`,
    'state.backend.forst.cache.size-based-limit': Math.floor(stateBytes * DISK_CACHE_SHARE),
    'state.backend.forst.compaction.mode': 'thread',
  };
  const backend = stateBackendOf('forst', {
    ...{ jobId: 'bench', world, store, config, localDisk: realDisk },
    compactionThread: () => openCompactionThread(`${folder}/store`, config),
  });
  const keyed = await backend.createKeyed({
    ...{ operatorId: 'operator', attemptId: 'memory-0', keySchema: t.int32() },
    keyGroupRange: keyGroupRangeOf(0, 1, MAX_PARALLELISM),
    maxParallelism: MAX_PARALLELISM,
    restore,
    reader: new StoreSnapshotReader(store),
    wallMs: () => world.clock.wallMs(),
    yieldToLoop,
    allowGenericTypes: false,
  });
  return {
    keyed,
    close: async () => {
      await keyed.close();
      await backend.close?.();
    },
  };
}

async function update(
  keyed: KeyedStateBackend,
  store: ObjectStore,
  { keys, records }: MemoryRun,
): Promise<void> {
  const state = recordState(keyed);
  const residency = keyed.residency!;
  const zipf = new Zipf(keys, 5);
  let pending: Promise<unknown> | undefined;
  for (let done = 0; done < records; done += BATCH) {
    const batch = Array.from({ length: BATCH }, () => zipf.next() % keys);
    for (const key of batch) {
      keyed.setCurrentKey(key);
      state.prepare();
    }
    if (residency.missing > 0 || residency.overloaded) await residency.load(SIGNAL);
    for (const key of batch) {
      keyed.setCurrentKey(key);
      while (!state.prepare()) {
        await residency.load(SIGNAL);
        keyed.setCurrentKey(key);
      }
      state.value = { count: state.value!.count + 1, payload: PAYLOAD };
    }
    residency.trim();
    if (done % CHECKPOINT_EVERY < BATCH && done > 0) {
      await pending;
      pending = checkpoint(keyed, store, done);
    }
    await yieldToLoop();
  }
  await pending;
}

await main();
process.exit(0); // whatever threads there are
