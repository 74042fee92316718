/**
 * Which channel each record of a batch takes (Flink's stream partitioners).
 *
 *   hash       the subtask that owns the key's key group
 *   rebalance  round robin over all subtasks; rescale the same over the channels it was given, which are a part of them
 *   shuffle    uniformly at random
 *   global     the first subtask
 *   custom     what the user's function says
 *   forward, broadcast   need no choice: one channel, or every one
 *
 * A partitioner handles a whole batch, so that its loop is monomorphic. Cost per record: hash one key selector and one hash, else a few
 * nanoseconds. Guarded by `bench/exchange.ts`.
 */
import { assert, invalid } from '../base/errors.ts';
import type { Random } from '../base/world.ts';
import type { Partitioning } from '../graph/logical-graph.ts';
import type { EdgeCode } from '../graph/program.ts';
import { subtaskOfKeyGroup } from '../types/key-group.ts';
import { keyGroupFunction } from '../types/key-hash.ts';
import type { Schema } from '../types/schema.ts';

/** Writes the channel of `values[i]` to `targets[i - from]`, for `from <= i < to`. */
export type Partitioner = (
  values: readonly unknown[],
  from: number,
  to: number,
  targets: Int32Array,
) => void;

export interface PartitionerParams {
  readonly partitioning: Partitioning;
  readonly code: EdgeCode;
  /** How many channels there are. */
  readonly channels: number;
  /** Of the target vertex. */
  readonly maxParallelism: number;
  readonly random: Random;
  /** The subtask that sends: round robin starts there, so that subtasks do not march in step. */
  readonly subtaskIndex: number;
}

type AnyKeySelector = (value: unknown) => unknown;

const ANY_KEY: Schema<unknown> = { kind: 'key' };

export function createPartitioner(params: PartitionerParams): Partitioner {
  switch (params.partitioning) {
    case 'hash':
      return byKeyGroup(params);
    case 'rebalance':
    case 'rescale':
      return roundRobin(params);
    case 'shuffle':
      return atRandom(params);
    case 'custom':
      return byUserFunction(params);
    case 'forward':
    case 'global':
    case 'broadcast':
      return (_values, from, to, targets) => {
        targets.fill(0, 0, to - from);
      };
  }
}

function byKeyGroup({ code, channels, maxParallelism }: PartitionerParams): Partitioner {
  const keyOf = keySelectorOf(code);
  const groupOf = keyGroupFunction(code.keySchema ?? ANY_KEY, maxParallelism);
  return (values, from, to, targets) => {
    for (let i = from; i < to; i++)
      targets[i - from] = subtaskOfKeyGroup(groupOf(keyOf(values[i])), channels, maxParallelism);
  };
}

function roundRobin({ channels, subtaskIndex }: PartitionerParams): Partitioner {
  let next = subtaskIndex % channels;
  return (_values, from, to, targets) => {
    for (let i = from; i < to; i++) {
      targets[i - from] = next;
      next = next + 1 === channels ? 0 : next + 1;
    }
  };
}

function atRandom({ channels, random }: PartitionerParams): Partitioner {
  return (_values, from, to, targets) => {
    for (let i = from; i < to; i++) targets[i - from] = Math.floor(random.next() * channels);
  };
}

function byUserFunction({ code, channels }: PartitionerParams): Partitioner {
  const keyOf = keySelectorOf(code);
  const partition = code.partitioner as ((key: unknown, parallelism: number) => number) | undefined; // applied to this edge's keys only
  assert(partition !== undefined, 'a custom edge has a partitioner');
  return (values, from, to, targets) => {
    for (let i = from; i < to; i++) {
      const target = partition(keyOf(values[i]), channels);
      if (!Number.isInteger(target) || target < 0 || target >= channels) refuse(target, channels);
      targets[i - from] = target;
    }
  };
}

function refuse(target: unknown, channels: number): never {
  throw invalid(
    'BAD_PARTITION',
    `a custom partitioner returned ${String(target)}; it returns a subtask from 0 to ${channels - 1}`,
    { target, channels },
  );
}

function keySelectorOf({ keySelector }: EdgeCode): AnyKeySelector {
  assert(keySelector !== undefined, 'a keyed edge has a key selector');
  return keySelector as AnyKeySelector; // applied to records of this edge only
}
