/** Starts a thread for compactions when the first of them comes. */
import { fileURLToPath } from 'node:url';
import type { JsonValue } from '../base/json.ts';
import { realThreads } from '../base/real-threads.ts';
import type { CompactionExecutor } from '../lsm/compaction/compaction-task.ts';
import { LinkedCompaction } from '../lsm/compaction/linked-compaction.ts';
import type { CompactionThreadData } from './compaction-thread.ts';

// Sources run as they are, or built.
const ENTRY = fileURLToPath(
  new URL(`compaction-thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

/** `location`: where the worker's store is. */
export function openCompactionThread(
  location: string,
  config: Readonly<Record<string, JsonValue>>,
): CompactionExecutor {
  let thread: LinkedCompaction | undefined;
  const start = (): LinkedCompaction => {
    const data: CompactionThreadData = { location, config };
    const handle = realThreads(ENTRY).start('compaction', data);
    return new LinkedCompaction(handle.control, () => handle.terminate());
  };
  return {
    run: (task, signal) => (thread ??= start()).run(task, signal),
    close: async () => thread?.close(),
  };
}
