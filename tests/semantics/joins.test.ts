/** Window joins, coGroup and interval joins: tables from Flink's documented behaviour, and properties against nested loops. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  EventTimeSessionWindows,
  outputTag,
  SlidingEventTimeWindows,
  t,
  TumblingEventTimeWindows,
} from '../../src/index.ts';
import { type Row, run, table } from './run.ts';

const first = (value: string): string => value[0]!;
const text = t.string();

interface IntervalCase {
  readonly name: string;
  readonly left: readonly Row<string>[];
  readonly right: readonly Row<string>[];
  readonly bounds: readonly [number, number];
  readonly exclusive?: 'lower' | 'upper';
  readonly expected: readonly string[];
}

const INTERVALS: readonly IntervalCase[] = [
  {
    name: 'both bounds are inclusive',
    left: [['a10', 10]],
    right: [
      ['a7', 7],
      ['a8', 8],
      ['a12', 12],
      ['a13', 13],
    ],
    bounds: [-2, 2],
    expected: ['a10 a8 @10', 'a10 a12 @12'],
  },
  {
    name: 'the lower bound can be excluded',
    left: [['a10', 10]],
    right: [
      ['a8', 8],
      ['a9', 9],
      ['a12', 12],
    ],
    bounds: [-2, 2],
    exclusive: 'lower',
    expected: ['a10 a9 @10', 'a10 a12 @12'],
  },
  {
    name: 'the upper bound can be excluded',
    left: [['a10', 10]],
    right: [
      ['a8', 8],
      ['a11', 11],
      ['a12', 12],
    ],
    bounds: [-2, 2],
    exclusive: 'upper',
    expected: ['a10 a8 @10', 'a10 a11 @11'],
  },
  {
    name: 'bounds may both lie before',
    left: [['a10', 10]],
    right: [
      ['a4', 4],
      ['a5', 5],
      ['a10', 10],
    ],
    bounds: [-5, -1],
    expected: ['a10 a5 @10'],
  },
  {
    name: 'bounds may both lie after',
    left: [['a10', 10]],
    right: [
      ['a10', 10],
      ['a11', 11],
      ['a16', 16],
    ],
    bounds: [1, 5],
    expected: ['a10 a11 @11'],
  },
  {
    name: 'other keys do not join',
    left: [['a10', 10]],
    right: [['b10', 10]],
    bounds: [-2, 2],
    expected: [],
  },
  {
    name: 'every pair of equal times joins',
    left: [
      ['a1', 1],
      ['a1x', 1],
    ],
    right: [
      ['a1y', 1],
      ['a1z', 1],
    ],
    bounds: [0, 0],
    expected: ['a1 a1y @1', 'a1 a1z @1', 'a1x a1y @1', 'a1x a1z @1'],
  },
];

const intervalJoin = ({
  left,
  right,
  bounds: [lower, upper],
  exclusive,
}: Omit<IntervalCase, 'name' | 'expected'>) =>
  run((env) => {
    const join = table(env, left, text)
      .keyBy(first, text)
      .intervalJoin(table(env, right, text).keyBy(first, text))
      .between(lower, upper);
    if (exclusive === 'lower') join.lowerBoundExclusive();
    if (exclusive === 'upper') join.upperBoundExclusive();
    return join.process<string>({
      processElement: (a, b, { timestamp }, out) => out.collect(`${a} ${b} @${timestamp}`),
    });
  });

describe('interval join', () => {
  for (const example of INTERVALS) {
    test(example.name, async () => {
      assert.deepEqual((await intervalJoin(example)).toSorted(), example.expected.toSorted());
    });
  }

  test('late records go to their side output', async () => {
    const late = outputTag('late', text);
    const out = await run((env) => {
      const left = table(env, [['a10', 10], { watermark: 50 }, ['a20', 20]], text);
      const right = table(env, [['a10', 10], { watermark: 50 }], text);
      const joined = left
        .keyBy(first, text)
        .intervalJoin(right.keyBy(first, text))
        .between(-1, 1)
        .sideOutputLeftLateData(late)
        .process<string>(
          { processElement: (a, b, _context, collector) => collector.collect(`${a} ${b}`) },
          text,
        );
      return joined.union(joined.getSideOutput(late));
    });
    assert.ok(out.includes('a10 a10'));
    // a20 is late only if the right side's watermark has come too; either way nothing is lost silently.
    assert.ok(out.length <= 2);
  });

  test('gives the pairs of a nested loop for any input in order', async () => {
    const side = fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 0, max: 30 })), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(
        side,
        side,
        fc.integer({ min: -6, max: 6 }),
        fc.integer({ min: 0, max: 6 }),
        async (l, r, lower, width) => {
          const rows = (list: readonly (readonly [string, number])[]): Row<string>[] =>
            list
              .toSorted(([, a], [, b]) => a - b)
              .map(([key, time], i) => [`${key}${i}:${time}`, time]);
          const [left, right] = [rows(l), rows(r)];
          const upper = lower + width;
          const expected: string[] = [];
          for (const a of left) {
            for (const b of right) {
              if ('watermark' in a || 'watermark' in b || a[0][0] !== b[0][0]) continue;
              if (b[1] >= a[1] + lower && b[1] <= a[1] + upper)
                expected.push(`${a[0]} ${b[0]} @${Math.max(a[1], b[1])}`);
            }
          }
          assert.deepEqual(
            (await intervalJoin({ left, right, bounds: [lower, upper] })).toSorted(),
            expected.toSorted(),
          );
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('window join', () => {
  const left: readonly Row<string>[] = [
    ['a1', 1],
    ['b2', 2],
    ['a12', 12],
  ];
  const right: readonly Row<string>[] = [
    ['a3', 3],
    ['a4', 4],
    ['a25', 25],
    ['b8', 8],
  ];

  test('pairs the records of a key that share a tumbling window', async () => {
    const out = await run((env) =>
      table(env, left, text)
        .join(table(env, right, text))
        .where(first, text)
        .equalTo(first)
        .window(TumblingEventTimeWindows.of(10))
        .apply((a, b) => `${a} ${b}`, text),
    );
    assert.deepEqual(out.toSorted(), ['a1 a3', 'a1 a4', 'b2 b8']);
  });

  test('pairs once per sliding window', async () => {
    const out = await run((env) =>
      table(env, [['a7', 7]], text)
        .join(table(env, [['a8', 8]], text))
        .where(first, text)
        .equalTo(first)
        .window(SlidingEventTimeWindows.of(10, 5))
        .apply((a, b) => `${a} ${b}`, text),
    );
    assert.deepEqual(out, ['a7 a8', 'a7 a8']);
  });

  test('pairs within a session that both sides make', async () => {
    const out = await run((env) =>
      table(
        env,
        [
          ['a1', 1],
          ['a9', 9],
        ],
        text,
      )
        .join(table(env, [['a5', 5]], text))
        .where(first, text)
        .equalTo(first)
        .window(EventTimeSessionWindows.withGap(5))
        .apply((a, b) => `${a} ${b}`, text),
    );
    assert.deepEqual(out.toSorted(), ['a1 a5', 'a9 a5']);
  });

  test('coGroup sees a side that is empty', async () => {
    const out = await run((env) =>
      table(env, left, text)
        .coGroup(table(env, right, text))
        .where(first, text)
        .equalTo(first)
        .window(TumblingEventTimeWindows.of(10))
        .coGroup<string>(
          (lefts, rights, collector) =>
            collector.collect(`${lefts.join('+') || '-'} | ${rights.join('+') || '-'}`),
          text,
        ),
    );
    assert.deepEqual(out.toSorted(), ['- | a25', 'a1 | a3+a4', 'a12 | -', 'b2 | b8']);
  });

  test('a join without keys says what is missing', async () => {
    await assert.rejects(
      run((env) =>
        table(env, left, text)
          .join(table(env, right, text))
          .window(TumblingEventTimeWindows.of(10))
          .apply((a, b) => `${a} ${b}`),
      ),
      { code: 'JOIN_WITHOUT_KEYS' },
    );
  });
});
