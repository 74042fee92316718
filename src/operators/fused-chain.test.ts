import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BATCH_SIZE_MAX } from '../types/record-batch.ts';
import type { StatelessStep } from './contract.ts';
import { fuseSteps } from './fused-chain.ts';

const fail = (cause: unknown): never => {
  throw cause;
};

const step: fc.Arbitrary<StatelessStep> = fc.oneof(
  fc
    .integer({ min: -3, max: 3 })
    .map((n): StatelessStep => ({ kind: 'map', apply: (value: number) => value + n })),
  fc
    .integer({ min: 2, max: 4 })
    .map((n): StatelessStep => ({ kind: 'filter', apply: (value: number) => value % n !== 0 })),
  fc
    .integer({ min: 2, max: 12 })
    .map((n): StatelessStep => ({ kind: 'filter', apply: (value: number) => value % n === 0 })),
  fc.integer({ min: 0, max: 3 }).map((n): StatelessStep => ({
    kind: 'flatMap',
    apply: (value: number) => Array.from({ length: n }, (_, i) => value * 10 + i),
  })),
);

/** The same chain, record by record. */
function reference(
  steps: readonly StatelessStep[],
  values: readonly number[],
  times: readonly number[],
): readonly (readonly [number, number])[] {
  let current = values.map((value, i): readonly [number, number] => [value, times[i]!]);
  for (const { kind, apply } of steps) {
    const call = apply as (value: number) => unknown; // each kind returns what it is used for below
    if (kind === 'map') current = current.map(([value, time]) => [call(value) as number, time]);
    else if (kind === 'filter') current = current.filter(([value]) => call(value) === true);
    else
      current = current.flatMap(([value, time]) =>
        [...(call(value) as Iterable<number>)].map((result): readonly [number, number] => [
          result,
          time,
        ]),
      );
  }
  return current;
}

describe('a fused chain', () => {
  test('gives what the steps give one after another, with and without timestamps', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.array(fc.array(fc.nat(100), { minLength: 1, maxLength: 40 }), { minLength: 1 }),
        (steps, batches) => {
          const timesOf = (values: readonly number[]): readonly number[] => values.map((_, i) => i);
          const expected = batches.flatMap((values) => reference(steps, values, timesOf(values)));
          const emitted: (readonly [readonly unknown[], Float64Array | null])[] = [];
          const chain = fuseSteps(
            steps,
            (results, stamps) => emitted.push([results, stamps]),
            fail,
          );
          for (const values of batches)
            chain({ values, timestamps: Float64Array.from(timesOf(values)) });
          // What was handed over stays as it is while later batches are processed.
          assert.deepEqual(
            emitted.flatMap(([results, stamps]) =>
              results.map((result, i) => [result, stamps![i]]),
            ),
            expected,
          );
          const bare: (readonly unknown[])[] = [];
          const plain = fuseSteps(steps, (results) => bare.push(results), fail);
          for (const values of batches) plain({ values, timestamps: null });
          assert.deepEqual(
            bare.flat(),
            expected.map(([value]) => value),
          );
        },
      ),
    );
  });

  test('emits batches of at most the largest size', () => {
    const sizes: number[] = [];
    const many: StatelessStep = {
      kind: 'flatMap',
      apply: () => Array.from({ length: 1000 }, () => 1),
    };
    fuseSteps(
      [many],
      (values) => sizes.push(values.length),
      fail,
    )({ values: [1, 2, 3], timestamps: null });
    assert.ok(sizes.every((size) => size <= BATCH_SIZE_MAX));
    assert.equal(
      sizes.reduce((a, b) => a + b),
      3000,
    );
  });

  test('says which record and which step failed', () => {
    const steps: StatelessStep[] = [
      { kind: 'map', apply: (value: number) => value },
      { kind: 'filter', apply: (value: number) => value > 0 },
      {
        kind: 'map',
        apply: (value: number) => (value === 3 ? fail(new RangeError('three')) : value),
      },
    ];
    const failures: unknown[] = [];
    const chain = fuseSteps(
      steps,
      () => {},
      (cause, record, at) => {
        failures.push([(cause as Error).message, record, at]);
        throw cause;
      },
    );
    assert.throws(() => chain({ values: [1, 0, 3, 4], timestamps: null }));
    assert.deepEqual(failures, [['three', 2, 2]]);
  });
});
