/** What is refused and why, which operator is picked, and what windows leave behind. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HashMapStateBackend } from '../../state/hashmap/hashmap-backend.ts';
import { valueState } from '../../state/descriptor.ts';
import { ELEMENTS, show } from '../../testing/window-contract.ts';
import { KeyedOperatorHarness } from '../../testing/window-harness.ts';
import { t } from '../../types/t.ts';
import {
  type AnyWindowAssigner,
  EventTimeSessionWindows,
  GlobalWindows,
  ProcessingTimeSessionWindows,
  SlidingEventTimeWindows,
  SlidingProcessingTimeWindows,
  TumblingEventTimeWindows,
  TumblingProcessingTimeWindows,
} from './assigner.ts';
import { createWindowOperator } from './create-window-operator.ts';
import { CumulateWindows } from './cumulate-windows.ts';
import { CountEvictor } from './evictor.ts';
import { PaneWindowOperator } from './pane-window-operator.ts';
import { ProcessingTimeoutTrigger } from './processing-timeout-trigger.ts';
import {
  ContinuousEventTimeTrigger,
  ContinuousProcessingTimeTrigger,
  CountTrigger,
  DeltaTrigger,
  EventTimeTrigger,
  NeverTrigger,
} from './trigger.ts';
import type { WindowContent } from './window-function.ts';
import { WindowOperator, type WindowOperatorParams } from './window-operator.ts';

const erase = (assigner: unknown): AnyWindowAssigner => assigner as AnyWindowAssigner; // fed strings
const params = (
  assigner: unknown,
  rest: Partial<WindowOperatorParams> = {},
): WindowOperatorParams => ({
  assigner: erase(assigner),
  trigger: erase(assigner).defaultTrigger,
  content: ELEMENTS,
  window: show,
  keyOf: (value) => (value as string)[0]!,
  allowedLatenessMs: 0,
  ...rest,
});
const open = (
  given: WindowOperatorParams,
  create: (
    params: WindowOperatorParams,
  ) => WindowOperator | ReturnType<typeof createWindowOperator>,
) =>
  KeyedOperatorHarness.open({
    backend: () => new HashMapStateBackend(),
    operator: () => create(given),
  });

const count = (withMerge: boolean): WindowContent => ({
  kind: 'aggregate',
  schema: t.int64(),
  aggregate: {
    createAccumulator: () => 0,
    add: (_value, n) => (n as number) + 1,
    getResult: (n) => n,
    ...(withMerge ? { merge: (a: unknown, b: unknown) => (a as number) + (b as number) } : {}),
  },
});

describe('refused', () => {
  const cases: readonly (readonly [string, string, () => unknown])[] = [
    ['a size of none', 'BAD_WINDOW', () => TumblingEventTimeWindows.of(0)],
    ['a negative size', 'BAD_WINDOW', () => TumblingProcessingTimeWindows.of('-1 s')],
    ['an offset as large as the size', 'BAD_WINDOW', () => TumblingEventTimeWindows.of(10, 10)],
    ['a negative one', 'BAD_WINDOW', () => TumblingEventTimeWindows.of(10, -10)],
    ['a slide of none', 'BAD_WINDOW', () => SlidingEventTimeWindows.of(10, 0)],
    ['an offset as large as the slide', 'BAD_WINDOW', () => SlidingEventTimeWindows.of(10, 5, 5)],
    ['a sliding size of none', 'BAD_WINDOW', () => SlidingProcessingTimeWindows.of(0, 5)],
    ['a gap of none', 'BAD_WINDOW', () => EventTimeSessionWindows.withGap(0)],
    ['a negative gap', 'BAD_WINDOW', () => ProcessingTimeSessionWindows.withGap(-5)],
    ['a size that steps do not fill', 'BAD_WINDOW', () => CumulateWindows.of(10, 3)],
    ['steps of a millisecond in a day', 'BAD_WINDOW', () => CumulateWindows.of('1 d', 1)],
    ['no duration', 'BAD_DURATION', () => TumblingEventTimeWindows.of('5 parsecs')],
    ['half a millisecond', 'BAD_DURATION', () => TumblingEventTimeWindows.of(0.5)],
    ['a count of none', 'BAD_TRIGGER', () => CountTrigger.of(0)],
    ['an interval of none', 'BAD_TRIGGER', () => ContinuousEventTimeTrigger.of(0)],
    ['a negative interval', 'BAD_TRIGGER', () => ContinuousProcessingTimeTrigger.of(-1)],
    ['a timeout of none', 'BAD_TRIGGER', () => ProcessingTimeoutTrigger.of(CountTrigger.of(1), 0)],
    [
      'a timeout in a timeout',
      'BAD_TRIGGER',
      () => ProcessingTimeoutTrigger.of(ProcessingTimeoutTrigger.of(CountTrigger.of(1), 5), 5),
    ],
    [
      'sessions under a trigger that cannot merge',
      'TRIGGER_CANNOT_MERGE',
      () =>
        createWindowOperator(
          params(EventTimeSessionWindows.withGap(5), {
            trigger: DeltaTrigger.of<unknown>(1, () => 2, t.string()) as never,
          }),
        ),
    ],
    [
      'sessions with per-window state',
      'MERGING_WINDOW_STATE',
      () =>
        createWindowOperator(
          params(EventTimeSessionWindows.withGap(5), {
            window: { ...show, windowState: { n: valueState(t.int64()) } },
          }),
        ),
    ],
    [
      'sessions with an aggregate that cannot merge',
      'AGGREGATE_CANNOT_MERGE',
      () =>
        createWindowOperator(params(EventTimeSessionWindows.withGap(5), { content: count(false) })),
    ],
  ];
  for (const [what, code, make] of cases) {
    test(what, () => assert.throws(make, { kind: 'invalid', code }));
  }

  const nonFinite: readonly (readonly [string, number | undefined, RegExp])[] = [
    ['without an event time', undefined, /WatermarkStrategy/],
    ['at the end of time', Number.POSITIVE_INFINITY, /global windows/],
  ];
  for (const [what, timestamp, message] of nonFinite) {
    test(`records ${what}, saying what to do`, async () => {
      for (const create of [createWindowOperator, general]) {
        const harness = await open(params(TumblingEventTimeWindows.of(10)), create);
        assert.throws(() => harness.element('a', timestamp), {
          code: 'RECORD_WITHOUT_TIMESTAMP',
          message,
        });
      }
    });
  }

  test('a dynamic gap that is none names the gap', async () => {
    const assigner = EventTimeSessionWindows.withDynamicGap(() => Number.NaN);
    const harness = await open(params(assigner), general);
    assert.throws(() => harness.element('a', 1), { code: 'BAD_WINDOW', message: /NaN/ });
  });
});

const general = (given: WindowOperatorParams): WindowOperator => new WindowOperator(given);

describe('panes are shared', () => {
  const tumbling = TumblingEventTimeWindows.of(10);
  const sliding = SlidingEventTimeWindows.of(10, 4);
  const cases: readonly (readonly [string, WindowOperatorParams, boolean])[] = [
    ['tumbling, an aggregate without merge', params(tumbling, { content: count(false) }), true],
    ['tumbling elements, lateness', params(tumbling, { allowedLatenessMs: 5 }), true],
    ['sliding, an aggregate with merge', params(sliding, { content: count(true) }), true],
    ['sliding, an aggregate without', params(sliding, { content: count(false) }), false],
    ['sliding elements', params(sliding), true],
    ['gaps between windows', params(SlidingEventTimeWindows.of(4, 10)), false],
    ['another trigger', params(tumbling, { trigger: NeverTrigger.create() }), false],
    ['an evictor', params(tumbling, { evictor: CountEvictor.of(1) }), false],
    ['tumbling by processing time', params(TumblingProcessingTimeWindows.of(10)), true],
    ['sliding by processing time', params(SlidingProcessingTimeWindows.of(10, 5)), false],
    [
      'processing time with a trigger by event time',
      params(TumblingProcessingTimeWindows.of(10), { trigger: EventTimeTrigger.create() }),
      false,
    ],
    ['stagger', params(TumblingEventTimeWindows.of(10, 0, 'random')), false],
    ['sessions', params(EventTimeSessionWindows.withGap(5)), false],
    ['global windows', params(GlobalWindows.create()), false],
  ];
  for (const [what, given, shared] of cases) {
    test(`${what}: ${shared ? 'yes' : 'no'}`, () => {
      assert.equal(createWindowOperator(given) instanceof PaneWindowOperator, shared);
    });
  }

  test('an element is stored once, however many windows it has', async () => {
    const bytes = async (slide: number, size: number): Promise<number> => {
      const harness = await open(
        params(SlidingEventTimeWindows.of(size, slide)),
        createWindowOperator,
      );
      for (let i = 0; i < 20; i++) harness.element('a'.repeat(100), i);
      return (await harness.snapshot()).keyedBytes;
    };
    assert.ok((await bytes(1000, 100_000)) < (await bytes(1000, 1000)) + 400);
  });
});

describe('what windows leave behind', () => {
  for (const create of [createWindowOperator, general]) {
    test(`elements given to a function never change: ${create.name}`, async () => {
      const given: (readonly unknown[])[] = [];
      const harness = await open(
        params(TumblingEventTimeWindows.of(10), {
          window: { process: (_key, _context, elements) => void given.push(elements) },
          allowedLatenessMs: 10,
        }),
        create,
      );
      harness.element('a1', 1);
      harness.watermark(9);
      harness.element('a2', 2);
      harness.element('a3', 3);
      assert.deepEqual(given, [['a1'], ['a1', 'a2'], ['a1', 'a2', 'a3']]);
    });

    test(`results carry the last millisecond of their window: ${create.name}`, async () => {
      const harness = await open(params(SlidingEventTimeWindows.of(10, 5)), create);
      harness.batch(['a1', 'a7'], [1, 7]);
      harness.watermark(100);
      const stamped = harness.drain().map(({ value, timestamp }) => [value, timestamp]);
      assert.deepEqual(stamped, [
        ['a [-5,5) a1', 4],
        ['a [0,10) a1+a7', 9],
        ['a [5,15) a7', 14],
      ]);
      assert.deepEqual(harness.out.watermarks, [100]);
    });
  }

  test('a session that grows leaves neither timers nor state under its earlier bounds', async () => {
    const grown = async (records: number): Promise<number> => {
      const harness = await open(
        params(EventTimeSessionWindows.withGap(5), {
          content: count(true),
          // Its timers are not those that clean up.
          allowedLatenessMs: 10,
        }),
        createWindowOperator,
      );
      for (let i = 0; i < records; i++) harness.element('a', 1000 + i);
      return (await harness.snapshot()).keyedBytes;
    };
    assert.ok((await grown(60)) <= (await grown(2)) + 8);
  });

  test('a failing window function names the operator and the timer', async () => {
    const harness = await open(
      params(TumblingEventTimeWindows.of(10), {
        window: {
          process() {
            throw new SyntaxError('boom');
          },
        },
      }),
      createWindowOperator,
    );
    harness.element('a', 1);
    assert.throws(() => harness.watermark(9), {
      code: 'USER_CODE_FAILED',
      message: /timer at 9: boom/,
    });
  });
});
