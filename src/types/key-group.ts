/**
 * Key groups: the unit of keyed-state redistribution. keyGroup = murmur(hash(key)) mod maxParallelism; each subtask owns a
 * contiguous range (Flink's KeyGroupRangeAssignment).
 */

/** Inclusive at both ends; empty ranges do not exist. */
export interface KeyGroupRange {
  readonly start: number;
  readonly end: number;
}

/** maxParallelism is not a trap: the default is the upper bound, and costs nothing. */
export const MAX_PARALLELISM_DEFAULT = 32768;
export const MAX_PARALLELISM_LIMIT = 32768;

/** The range of subtask `index` of `parallelism`. */
export function keyGroupRangeOf(
  index: number,
  parallelism: number,
  maxParallelism: number,
): KeyGroupRange {
  return {
    start: Math.floor((index * maxParallelism + parallelism - 1) / parallelism),
    end: Math.floor(((index + 1) * maxParallelism - 1) / parallelism),
  };
}

/** The subtask that owns a key group. */
export function subtaskOfKeyGroup(
  keyGroup: number,
  parallelism: number,
  maxParallelism: number,
): number {
  return Math.floor((keyGroup * parallelism) / maxParallelism);
}

export function intersectRanges(a: KeyGroupRange, b: KeyGroupRange): KeyGroupRange | undefined {
  const start = Math.max(a.start, b.start);
  const end = Math.min(a.end, b.end);
  return start <= end ? { start, end } : undefined;
}
