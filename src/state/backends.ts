/** State backends by the name of `state.backend.type`. */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { World } from '../base/world.ts';
import { MemoryBlockSource } from '../lsm/memory-block-source.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { ForstStateBackend } from './forst/forst-state-backend.ts';
import { ForstWorker } from './forst/forst-worker.ts';
import { PackedFiles } from './forst/packed-files.ts';
import { HashMapStateBackend } from './hashmap/hashmap-backend.ts';
import type { StateBackend } from './keyed-state-backend.ts';

/** What a backend may use of the worker that it serves. */
export interface BackendWorker {
  readonly jobId: string;
  readonly world: World;
  /** Where checkpoints go. */
  readonly store: ObjectStore;
  /** Job options, by Flink's keys. */
  readonly config: Readonly<Record<string, JsonValue>>;
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

const MANAGED_BYTES_DEFAULT = 256 * 1024 * 1024;

function openForst({ jobId, world, store, config }: BackendWorker): StateBackend {
  const managed = Number(config['taskmanager.memory.managed.size'] ?? MANAGED_BYTES_DEFAULT);
  const blocks = new MemoryBlockSource(store, (3 * managed) / 8);
  const files = new PackedFiles({
    store,
    timers: world.timers,
    jobId,
    incarnation: world.ids.next(),
  });
  return new ForstStateBackend(
    new ForstWorker({
      store,
      blocks,
      files,
      cacheBytes: managed / 2,
      nowMs: () => world.clock.wallMs(),
      log: (message, error) => world.logger.log('warn', message, { reason: String(error) }),
      memtableBytes: Math.min(8 * 1024 * 1024, Math.max(64 * 1024, managed / 32)),
    }),
  );
}
