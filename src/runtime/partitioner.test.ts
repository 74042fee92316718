import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Partitioning } from '../graph/logical-graph.ts';
import type { EdgeCode } from '../graph/program.ts';
import { keyGroupRangeOf } from '../types/key-group.ts';
import { keyGroupOf } from '../types/key-hash.ts';
import { t } from '../types/t.ts';
import { createPartitioner } from './partitioner.ts';

interface Given {
  readonly partitioning: Partitioning;
  readonly channels: number;
  readonly subtaskIndex?: number;
  readonly code?: Partial<EdgeCode>;
  readonly draws?: readonly number[];
}

/** The channels that the records take, in one call per inner list. */
function targetsOf(given: Given, ...calls: readonly (readonly unknown[])[]): readonly number[] {
  const draws = [...(given.draws ?? [])];
  const partition = createPartitioner({
    partitioning: given.partitioning,
    code: { schema: t.int32(), ...given.code },
    channels: given.channels,
    maxParallelism: 128,
    random: { next: () => draws.shift() ?? 0 },
    subtaskIndex: given.subtaskIndex ?? 0,
  });
  return calls.flatMap((values) => {
    const targets = new Int32Array(values.length);
    partition(values, 0, values.length, targets);
    return [...targets];
  });
}

const CASES: readonly (Given & { readonly name: string; readonly expected: readonly number[] })[] =
  [
    { name: 'round robin', partitioning: 'rebalance', channels: 3, expected: [0, 1, 2, 0, 1] },
    {
      name: 'round robin from the sender’s own index on',
      partitioning: 'rebalance',
      channels: 3,
      subtaskIndex: 5,
      expected: [2, 0, 1, 2, 0],
    },
    {
      name: 'rescale: round robin over its channels',
      partitioning: 'rescale',
      channels: 2,
      expected: [0, 1, 0, 1, 0],
    },
    {
      name: 'shuffle: as drawn',
      partitioning: 'shuffle',
      channels: 4,
      draws: [0.99, 0, 0.5, 0.25, 0.74],
      expected: [3, 0, 2, 1, 2],
    },
    {
      name: 'global: all to the first',
      partitioning: 'global',
      channels: 4,
      expected: [0, 0, 0, 0, 0],
    },
    {
      name: 'custom: as the function says, of the key and the number of subtasks',
      partitioning: 'custom',
      channels: 3,
      code: {
        keySelector: (value: number) => value * 10,
        partitioner: (key: number, count) => (key / 10 + 1) % count,
      },
      expected: [2, 0, 1, 2, 0],
    },
  ];

describe('partitioners', () => {
  for (const { name, expected, ...given } of CASES)
    test(name, () => {
      assert.deepEqual(targetsOf(given, [1, 2, 3], [4], [5]), expected);
    });

  test('hash: every record goes to the subtask whose key groups hold its key', () => {
    const keys = fc.oneof(fc.integer(), fc.string(), fc.boolean());
    fc.assert(
      fc.property(fc.array(keys, { maxLength: 50 }), fc.integer({ min: 1, max: 128 }), (of, p) => {
        const code = { keySelector: (value: unknown) => value };
        const targets = targetsOf({ partitioning: 'hash', channels: p, code }, of);
        of.forEach((key, i) => {
          const { start, end } = keyGroupRangeOf(targets[i]!, p, 128);
          const group = keyGroupOf(key, 128);
          assert.ok(start <= group && group <= end, `${String(key)} is in group ${group}`);
        });
      }),
    );
  });

  test('a custom partitioner that names no subtask is refused, with what it returned', () => {
    for (const wrong of [-1, 3, 1.5, Number.NaN]) {
      const code = { keySelector: (value: unknown) => value, partitioner: () => wrong };
      assert.throws(() => targetsOf({ partitioning: 'custom', channels: 3, code }, [1]), {
        code: 'BAD_PARTITION',
      });
    }
  });

  test('only the asked part of a batch is looked at', () => {
    const seen: unknown[] = [];
    const partition = createPartitioner({
      partitioning: 'custom',
      code: {
        schema: t.int32(),
        keySelector: (value: unknown) => value,
        partitioner: (key: never) => {
          seen.push(key);
          return 0;
        },
      },
      channels: 2,
      maxParallelism: 128,
      random: { next: () => 0 },
      subtaskIndex: 0,
    });
    partition([1, 2, 3, 4], 1, 3, new Int32Array(2));
    assert.deepEqual(seen, [2, 3]);
  });
});
