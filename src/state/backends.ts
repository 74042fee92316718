/** State backends by the name of `state.backend.type`. */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { OpenLocalDisk } from '../base/local-disk.ts';
import type { World } from '../base/world.ts';
import type { CompactionExecutor } from '../lsm/compaction/compaction-task.ts';
import { RemoteCompaction } from '../lsm/compaction/job-board.ts';
import { CachingBlockSource } from '../lsm/cache/caching-block-source.ts';
import { DiskCache } from '../lsm/cache/disk-cache.ts';
import { MeteringStore } from '../storage/metering-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { ForstStateBackend } from './forst/forst-state-backend.ts';
import { LocalPrimary } from './forst/local-primary.ts';
import { localGauges, workerGauges } from './forst/forst-metrics.ts';
import { ForstWorker } from './forst/forst-worker.ts';
import { PackedFiles } from './forst/packed-files.ts';
import { HashMapStateBackend } from './hashmap/hashmap-backend.ts';
import { UnnamedFiles } from './forst/unnamed-files.ts';
import type { StateBackend } from './keyed-state-backend.ts';

/** What a backend may use of the worker that it serves. */
export interface BackendWorker {
  readonly jobId: string;
  readonly world: World;
  /** Where checkpoints go. */
  readonly store: ObjectStore;
  /** Job options, by Flink's keys. */
  readonly config: Readonly<Record<string, JsonValue>>;
  /** Undefined: nothing is cached on local disk. */
  readonly localDisk: OpenLocalDisk | undefined;
  /** A thread for compactions; undefined: there are none. */
  readonly compactionThread: (() => CompactionExecutor) | undefined;
}

const BACKENDS: Readonly<Record<string, (worker: BackendWorker) => StateBackend>> = {
  hashmap: () => new HashMapStateBackend(),
  forst: openForst,
};

/** @throws `invalid` UNKNOWN_STATE_BACKEND */
export function stateBackendOf(name: string, worker: BackendWorker): StateBackend {
  if (!Object.hasOwn(BACKENDS, name)) {
    throw invalid(
      'UNKNOWN_STATE_BACKEND',
      `state.backend.type is ${JSON.stringify(name)}; known are ${Object.keys(BACKENDS).join(', ')}`,
    );
  }
  return BACKENDS[name]!(worker);
}

const PACK_BELOW_BYTES_DEFAULT = 256 * 1024;
/** Ending the file of a larger one would hold the thread for tens of milliseconds. */
const MEMTABLE_BYTES_MAX = 16 * 1024 * 1024;
const MANAGED_BYTES_DEFAULT = 256 * 1024 * 1024;
/** A read of this worker, such as an iterator over a map, takes no longer. */
const UNNAMED_GRACE_MS_LEAST = 10 * 60 * 1000;
/** Of the budget; the rest is for what nobody counts: garbage, requests on their way, the compaction thread (`bench -- state`). */
const COUNTED_SHARE = 3 / 4;

function openForst(worker: BackendWorker): StateBackend {
  const { jobId, world, config } = worker;
  const metered = new MeteringStore(worker.store, world);
  const primary = openPrimary(worker, metered);
  const store = primary ?? metered;
  // Files that lie on local disk need no cache there.
  const disk = primary === undefined ? openDiskCache(worker) : undefined;
  const managed =
    COUNTED_SHARE * Number(config['taskmanager.memory.managed.size'] ?? MANAGED_BYTES_DEFAULT);
  const blocks = new CachingBlockSource({
    store,
    memoryBytes: managed / 2,
    blocksMax: (3 * managed) / 8,
    disk,
  });
  const files = new PackedFiles({
    store,
    timers: world.timers,
    jobId,
    incarnation: world.ids.next(),
    packBelowBytes: Number(config['state.backend.forst.pack-below'] ?? PACK_BELOW_BYTES_DEFAULT),
  });
  return new ForstStateBackend(
    new ForstWorker({
      store,
      blocks,
      files,
      cacheBytes: (3 * managed) / 8,
      spareBytes: () => Math.min(managed / 8, blocks.spareBytes),
      gauges: { ...workerGauges(blocks, disk, metered), ...localGauges(primary) },
      primary,
      // Local files leave the machine when a checkpoint names them, unless there is a changelog.
      unnamed:
        primary === undefined || hasChangelog(config)
          ? new UnnamedFiles({
              store: metered,
              timers: world.timers,
              graceMs: Math.max(
                UNNAMED_GRACE_MS_LEAST,
                Number(config['execution.checkpointing.garbage-grace-period']),
              ),
            })
          : undefined,
      // Nobody else reads this worker's disk.
      executor: primary === undefined ? openExecutor(worker) : undefined,
      nowMs: () => world.clock.wallMs(),
      log: (message, error) => world.logger.log('warn', message, { reason: String(error) }),
      tailBytesMax: hasChangelog(config)
        ? Number(config['dstl.dfs.preemptive-persist-threshold'])
        : undefined,
      timersMost: optionalNumber(config['state.backend.forst.timer-service.cache-size']),
      memtableBytes: Math.min(MEMTABLE_BYTES_MAX, Math.max(64 * 1024, managed / 32)),
    }),
  );
}

/** @throws `invalid` NO_LOCAL_DISK */
function openPrimary(
  { localDisk, config, world }: BackendWorker,
  remote: ObjectStore,
): LocalPrimary | undefined {
  if (config['state.backend.forst.primary-dir'] !== 'local') return undefined;
  const folder = config['state.backend.forst.local-dir'];
  if (localDisk === undefined || typeof folder !== 'string')
    throw invalid(
      'NO_LOCAL_DISK',
      'state.backend.forst.primary-dir is local, but there is no local disk here; name a folder with state.backend.forst.local-dir, or leave primary-dir at checkpoint-dir',
      { permanent: true },
    );
  return new LocalPrimary({
    disk: localDisk(folder),
    remote,
    uploadsAtOnce: hasChangelog(config),
    log: (message, error) => world.logger.log('warn', message, { reason: String(error) }),
  });
}

const hasChangelog = (config: BackendWorker['config']): boolean =>
  config['state.changelog.enabled'] === true;

const optionalNumber = (value: JsonValue | undefined): number | undefined =>
  typeof value === 'number' ? value : undefined;

function openExecutor({
  config,
  store,
  world,
  compactionThread,
}: BackendWorker): CompactionExecutor | undefined {
  switch (config['state.backend.forst.compaction.mode']) {
    case 'thread':
      return compactionThread?.();
    case 'remote':
      return new RemoteCompaction({
        store,
        world,
        name: world.ids.next(),
        timeoutMs: Number(config['state.backend.forst.compaction.remote-timeout']),
      });
    default:
      return undefined;
  }
}

/** A cache that cannot be opened is done without. */
function openDiskCache({ localDisk, config, world }: BackendWorker): DiskCache | undefined {
  const folder = config['state.backend.forst.cache.dir'];
  const budgetBytes = Number(config['state.backend.forst.cache.size-based-limit'] ?? 0);
  if (localDisk === undefined || typeof folder !== 'string' || budgetBytes === 0) return undefined;
  const failed = (error: unknown): void =>
    world.logger.log('warn', `the cache of forst in ${folder} is off: local disk failed`, {
      reason: String(error),
    });
  try {
    return new DiskCache({ disk: localDisk(folder), budgetBytes, failed });
  } catch (error) {
    failed(error);
    return undefined;
  }
}
