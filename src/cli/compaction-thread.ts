/**
 * The module of compaction threads: opens the store that it is told and serves tasks until it is terminated.
 */
import { realEnvironment, realWorld } from '../base/real-world.ts';
import { currentWorker } from '../base/real-threads.ts';
import type { JsonValue } from '../base/json.ts';
import { serveCompaction } from '../lsm/compaction/linked-compaction.ts';
import { STATE_PREFIX_LENGTHS } from '../state/forst/state-key.ts';
import { openObjectStore } from '../storage/open-store.ts';

/** What `openCompactionThread` gives the thread. */
export interface CompactionThreadData {
  readonly location: string;
  readonly config: Readonly<Record<string, JsonValue>>;
}

const host = currentWorker();
if (host !== undefined) {
  const { location, config } = host.data as CompactionThreadData; // openCompactionThread gives this
  const world = realWorld();
  serveCompaction(host.control, {
    store: openObjectStore(location, { config, environment: realEnvironment(), world }),
    prefixLengths: STATE_PREFIX_LENGTHS,
    yieldToLoop: () => new Promise((resolve) => world.timers.soon(resolve)),
  });
}
