/** Shared panes give what the general window operator gives, for any input. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  SlidingEventTimeWindows,
  t,
  TumblingEventTimeWindows,
  type WindowAggregate,
  type WindowAssigner,
} from '../../src/index.ts';
import { type Row, run, table } from './run.ts';

const sum: WindowAggregate<string, number, number> = {
  accumulatorSchema: t.int64(),
  createAccumulator: () => 0,
  add: (value, total) => total + Number(value.slice(1)),
  getResult: (total) => total,
  merge: (a, b) => a + b,
};

const rows: fc.Arbitrary<readonly Row<string>[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .tuple(
          fc.constantFrom('a', 'b'),
          fc.integer({ min: 0, max: 9 }),
          fc.integer({ min: -20, max: 60 }),
        )
        .map(([key, n, time]): Row<string> => [`${key}${n}`, time]),
    },
    {
      weight: 1,
      arbitrary: fc.integer({ min: -20, max: 60 }).map((watermark): Row<string> => ({ watermark })),
    },
  ),
  { maxLength: 30 },
);

const evaluate = (
  assigner: WindowAssigner<unknown, never>,
  input: readonly Row<string>[],
  mode: 'panes' | 'general',
) =>
  run((env) => {
    const windowed = table(env, input, t.string())
      .keyBy((value) => value[0]!, t.string())
      .window(assigner);
    const show = (key: string, window: unknown, total: number): string =>
      `${key} ${JSON.stringify(window)} ${total}`;
    // Keeping the elements takes the general operator.
    return mode === 'panes'
      ? windowed.aggregate(sum, show, t.string())
      : windowed.apply(
          (key, window, elements) =>
            show(
              key,
              window,
              elements.reduce((total, value) => sum.add(value, total), 0),
            ),
          t.string(),
        );
  });

describe('panes', () => {
  const assigners: readonly (readonly [string, WindowAssigner<unknown, never>])[] = (
    [
      ['tumbling 10', TumblingEventTimeWindows.of(10)],
      ['tumbling 7 offset 3', TumblingEventTimeWindows.of(7, 3)],
      ['sliding 10 by 5', SlidingEventTimeWindows.of(10, 5)],
      ['sliding 10 by 4', SlidingEventTimeWindows.of(10, 4)],
      ['sliding 9 by 3 offset 1', SlidingEventTimeWindows.of(9, 3, 1)],
      ['sliding 8 by 8', SlidingEventTimeWindows.of(8, 8)],
    ] as const
  ).map(([name, assigner]) => [name, assigner as unknown as WindowAssigner<unknown, never>]);
  for (const [name, assigner] of assigners) {
    test(`equal the general operator: ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(rows, async (input) => {
          const [panes, general] = [
            await evaluate(assigner, input, 'panes'),
            await evaluate(assigner, input, 'general'),
          ];
          assert.deepEqual(panes.toSorted(), general.toSorted());
        }),
        { numRuns: 60 },
      );
    });
  }
});
