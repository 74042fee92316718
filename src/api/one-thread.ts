/** Whether a whole job runs where it is started: in one slot, on the main thread. */
import { invalid } from '../base/errors.ts';
import type { LogicalGraph } from '../graph/logical-graph.ts';

/** @throws `invalid` COLLECT_NEEDS_ONE_THREAD: an array of this thread cannot be filled from others. */
export function requireOneThread({ nodes }: LogicalGraph): void {
  const wide = nodes.find(({ parallelism }) => parallelism > 1);
  const groups = new Set(nodes.map(({ slotSharingGroup }) => slotSharingGroup));
  if (wide === undefined && groups.size === 1) return;
  const why =
    wide === undefined
      ? `it has ${groups.size} slot sharing groups`
      : `"${wide.name}" has parallelism ${wide.parallelism}`;
  throw invalid(
    'COLLECT_NEEDS_ONE_THREAD',
    `executeAndCollect runs on one thread, but ${why}; set parallelism.default to 1, or write to a sink`,
  );
}
