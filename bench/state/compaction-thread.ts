/** The module of the engine bench's compaction thread: what a job's thread runs, over trees whose keys have no prefixes. */
import { currentWorker, realThreads } from '../../src/base/real-threads.ts';
import type { CompactionExecutor } from '../../src/lsm/compaction/compaction-task.ts';
import { LinkedCompaction, serveCompaction } from '../../src/lsm/compaction/linked-compaction.ts';
import { localStore, yieldToLoop } from './stores.ts';

export const PLAIN_PREFIXES = 'plain';

export function openBenchThread(folder: string): CompactionExecutor {
  const handle = realThreads(import.meta.filename).start('compaction', { folder });
  return new LinkedCompaction(handle.control, () => handle.terminate());
}

const host = currentWorker();
if (host !== undefined) {
  const { folder } = host.data as { folder: string }; // openBenchThread gives this
  serveCompaction(host.control, {
    store: localStore(folder),
    prefixLengths: { [PLAIN_PREFIXES]: () => 0 },
    yieldToLoop,
  });
}
