/**
 * Which exchanges a barrier may overtake, and where records in flight go when the parallelism has changed.
 *
 *   by-key    to the subtask that the edge's partitioner names now
 *   spread    to any subtask: those of old subtask t to subtask t mod parallelism, in order
 *   never     barriers align: neighbours are fixed, and so is the order of their records (forward, rescale), or each subtask has its own
 *             copy and they would not agree (broadcast)
 */
import type { Partitioning } from './logical-graph.ts';

export function redistributionOf(partitioning: Partitioning): 'by-key' | 'spread' | 'never' {
  switch (partitioning) {
    case 'hash':
    case 'custom':
    case 'global':
      return 'by-key';
    case 'rebalance':
    case 'shuffle':
      return 'spread';
    case 'forward':
    case 'rescale':
    case 'broadcast':
      return 'never';
  }
}

export const overtakes = (partitioning: Partitioning): boolean =>
  redistributionOf(partitioning) !== 'never';
