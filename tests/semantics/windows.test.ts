/** Windows, triggers, evictors and lateness: tables of input and output, from Flink's documented behaviour. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ContinuousEventTimeTrigger,
  CountEvictor,
  CountTrigger,
  type DataStream,
  EventTimeSessionWindows,
  EventTimeTrigger,
  GlobalWindows,
  outputTag,
  PurgingTrigger,
  SlidingEventTimeWindows,
  type StreamExecutionEnvironment,
  t,
  TimeEvictor,
  TimeWindow,
  TumblingEventTimeWindows,
  type Window,
  type WindowAssigner,
  type WindowedStream,
  valueState,
} from '../../src/index.ts';
import { type Row, run, table } from './run.ts';

type Windowed = WindowedStream<string, string, Window>;

const bounds = (window: Window): string =>
  window instanceof TimeWindow ? `[${window.start},${window.end})` : 'global';

/** Every record's key is its first letter; a result shows key, window and content. */
const show = (key: string, window: Window, elements: readonly string[]): string =>
  `${key} ${bounds(window)} ${elements.join('+')}`;

interface Case {
  readonly name: string;
  readonly assigner: WindowAssigner<unknown, Window>;
  readonly rows: readonly Row<string>[];
  readonly expected: readonly string[];
  readonly with?: (windowed: Windowed) => Windowed;
}

const keyed = (env: StreamExecutionEnvironment, rows: readonly Row<string>[]) =>
  table(env, rows, t.string()).keyBy((value) => value[0]!, t.string());

const build =
  ({ assigner, rows, with: adjust }: Case) =>
  (env: StreamExecutionEnvironment): DataStream<string> => {
    const windowed = keyed(env, rows).window(assigner);
    return (adjust?.(windowed) ?? windowed).apply(show, t.string());
  };

const CASES: readonly Case[] = [
  {
    name: 'a tumbling window holds its start and not its end',
    assigner: TumblingEventTimeWindows.of(10),
    rows: [
      ['a0', 0],
      ['a9', 9],
      ['a10', 10],
    ],
    expected: ['a [0,10) a0+a9', 'a [10,20) a10'],
  },
  {
    name: 'windows before the epoch are cut at the same places',
    assigner: TumblingEventTimeWindows.of(10),
    rows: [
      ['a-1', -1],
      ['a-10', -10],
      ['a-11', -11],
    ],
    expected: ['a [-20,-10) a-11', 'a [-10,0) a-1+a-10'],
  },
  {
    name: 'an offset shifts windows',
    assigner: TumblingEventTimeWindows.of(10, 3),
    rows: [
      ['a2', 2],
      ['a3', 3],
      ['a12', 12],
      ['a13', 13],
    ],
    expected: ['a [-7,3) a2', 'a [3,13) a3+a12', 'a [13,23) a13'],
  },
  {
    name: 'a negative offset shifts windows back',
    assigner: TumblingEventTimeWindows.of(10, -3),
    rows: [
      ['a6', 6],
      ['a7', 7],
    ],
    expected: ['a [-3,7) a6', 'a [7,17) a7'],
  },
  {
    name: 'a window fires when the watermark reaches its last millisecond, not before',
    assigner: TumblingEventTimeWindows.of(10),
    rows: [['a1', 1], { watermark: 8 }, ['a2', 2], { watermark: 9 }, ['b11', 11]],
    expected: ['a [0,10) a1+a2', 'b [10,20) b11'],
  },
  {
    name: 'a record whose window has fired is late and dropped',
    assigner: TumblingEventTimeWindows.of(10),
    rows: [['a1', 1], { watermark: 9 }, ['a2', 2], ['a12', 12]],
    expected: ['a [0,10) a1', 'a [10,20) a12'],
  },
  {
    name: 'a record behind the watermark whose window is open is not late',
    assigner: TumblingEventTimeWindows.of(10),
    rows: [['a5', 5], { watermark: 7 }, ['a3', 3]],
    expected: ['a [0,10) a5+a3'],
  },
  {
    name: 'within the allowed lateness each late record fires its window again',
    assigner: TumblingEventTimeWindows.of(10),
    with: (windowed) => windowed.allowedLateness(5),
    rows: [
      ['a1', 1],
      { watermark: 9 },
      ['a2', 2],
      { watermark: 13 },
      ['a3', 3],
      { watermark: 14 },
      ['a4', 4],
    ],
    expected: ['a [0,10) a1', 'a [0,10) a1+a2', 'a [0,10) a1+a2+a3'],
  },
  {
    name: 'a record belongs to size/slide sliding windows',
    assigner: SlidingEventTimeWindows.of(10, 5),
    rows: [['a7', 7]],
    expected: ['a [0,10) a7', 'a [5,15) a7'],
  },
  {
    name: 'slides that do not divide the size',
    assigner: SlidingEventTimeWindows.of(10, 4),
    rows: [['a9', 9]],
    expected: ['a [0,10) a9', 'a [4,14) a9', 'a [8,18) a9'],
  },
  {
    name: 'sliding windows with gaps leave records out',
    assigner: SlidingEventTimeWindows.of(2, 5),
    rows: [
      ['a1', 1],
      ['a3', 3],
      ['a6', 6],
    ],
    expected: ['a [0,2) a1', 'a [5,7) a6'],
  },
  {
    name: 'a session ends a gap after its last record',
    assigner: EventTimeSessionWindows.withGap(5),
    rows: [
      ['a1', 1],
      ['a4', 4],
      ['a20', 20],
    ],
    expected: ['a [1,9) a1+a4', 'a [20,25) a20'],
  },
  {
    name: 'sessions that touch merge',
    assigner: EventTimeSessionWindows.withGap(5),
    rows: [
      ['a1', 1],
      ['a6', 6],
    ],
    expected: ['a [1,11) a1+a6'],
  },
  {
    name: 'a record between two sessions makes them one',
    assigner: EventTimeSessionWindows.withGap(5),
    rows: [
      ['a1', 1],
      ['a9', 9],
      ['a5', 5],
    ],
    expected: ['a [1,14) a1+a9+a5'],
  },
  {
    name: 'sessions of different keys do not merge',
    assigner: EventTimeSessionWindows.withGap(5),
    rows: [
      ['a1', 1],
      ['b2', 2],
      ['a3', 3],
    ],
    expected: ['b [2,7) b2', 'a [1,8) a1+a3'],
  },
  {
    name: 'a session may have its own gap per record',
    assigner: EventTimeSessionWindows.withDynamicGap((value: unknown) =>
      String(value).startsWith('aa') ? 10 : 3,
    ) as WindowAssigner<unknown, Window>,
    rows: [
      ['aa1', 1],
      ['a9', 9],
      ['a20', 20],
    ],
    expected: ['a [1,12) aa1+a9', 'a [20,23) a20'],
  },
  {
    name: 'global windows fire by their trigger only',
    assigner: GlobalWindows.create(),
    with: (windowed) => windowed.trigger(CountTrigger.of(2)),
    rows: [
      ['a1', 1],
      ['b1', 1],
      ['a2', 2],
      ['a3', 3],
    ],
    expected: ['a global a1+a2'],
  },
  {
    name: 'a count trigger fires again and keeps the elements',
    assigner: GlobalWindows.create(),
    with: (windowed) => windowed.trigger(CountTrigger.of(2)),
    rows: [
      ['a1', 1],
      ['a2', 2],
      ['a3', 3],
      ['a4', 4],
    ],
    expected: ['a global a1+a2', 'a global a1+a2+a3+a4'],
  },
  {
    name: 'a purging trigger drops them',
    assigner: GlobalWindows.create(),
    with: (windowed) => windowed.trigger(PurgingTrigger.of(CountTrigger.of(2))),
    rows: [
      ['a1', 1],
      ['a2', 2],
      ['a3', 3],
      ['a4', 4],
    ],
    expected: ['a global a1+a2', 'a global a3+a4'],
  },
  {
    name: 'merged sessions add their counts',
    assigner: EventTimeSessionWindows.withGap(5),
    with: (windowed) => windowed.trigger(PurgingTrigger.of(CountTrigger.of(3))),
    rows: [
      ['a1', 1],
      ['a9', 9],
      ['a5', 5],
    ],
    expected: ['a [1,14) a1+a9+a5'],
  },
  {
    name: 'a continuous trigger fires at each interval and at the end',
    assigner: TumblingEventTimeWindows.of(10),
    with: (windowed) => windowed.trigger(ContinuousEventTimeTrigger.of(4)),
    rows: [['a1', 1], { watermark: 4 }, ['a5', 5], { watermark: 8 }, ['a9', 9], { watermark: 20 }],
    expected: ['a [0,10) a1', 'a [0,10) a1+a5', 'a [0,10) a1+a5+a9'],
  },
  {
    name: 'a count evictor keeps the last elements',
    assigner: TumblingEventTimeWindows.of(10),
    with: (windowed) => windowed.evictor(CountEvictor.of(2)),
    rows: [
      ['a1', 1],
      ['a2', 2],
      ['a3', 3],
    ],
    expected: ['a [0,10) a2+a3'],
  },
  {
    name: 'a time evictor keeps what is near the newest',
    assigner: TumblingEventTimeWindows.of(100),
    with: (windowed) => windowed.evictor(TimeEvictor.of(10)),
    rows: [
      ['a1', 1],
      ['a50', 50],
      ['a45', 45],
    ],
    expected: ['a [0,100) a50+a45'],
  },
  {
    name: 'an evictor after the function lets it see everything once',
    assigner: TumblingEventTimeWindows.of(10),
    with: (windowed) => windowed.evictor(CountEvictor.of(1, true)).allowedLateness(10),
    rows: [['a1', 1], ['a2', 2], { watermark: 9 }, ['a3', 3]],
    expected: ['a [0,10) a1+a2', 'a [0,10) a2+a3'],
  },
];

describe('windows', () => {
  for (const example of CASES) {
    test(example.name, async () => {
      assert.deepEqual(await run(build(example)), example.expected);
    });
  }

  test('late records go to the late side output', async () => {
    const late = outputTag('late', t.string());
    const rows: readonly Row<string>[] = [['a1', 1], { watermark: 20 }, ['a2', 2], ['a30', 30]];
    const out = await run((env) => {
      const main = keyed(env, rows)
        .window(TumblingEventTimeWindows.of(10))
        .sideOutputLateData(late)
        .apply(show, t.string());
      return main.union(main.getSideOutput(late));
    });
    assert.deepEqual(out.toSorted(), ['a [0,10) a1', 'a [30,40) a30', 'a2']);
  });

  test('results carry the last millisecond of their window as event time', async () => {
    const out = await run((env) =>
      keyed(env, [
        ['a1', 1],
        ['a12', 12],
      ])
        .window(TumblingEventTimeWindows.of(10))
        .apply((_key, _window, elements) => elements.join('+'), t.string())
        .process<string>({
          processElement: (value, context, collector) =>
            collector.collect(`${value}@${context.timestamp}`),
        }),
    );
    assert.deepEqual(out, ['a1@9', 'a12@19']);
  });

  test('per-window state is cleared with its window, per-key state is not', async () => {
    const out = await run((env) =>
      keyed(env, [['a1', 1], { watermark: 9 }, ['a2', 2], ['a11', 11]])
        .window(TumblingEventTimeWindows.of(10))
        .allowedLateness(5)
        .process<string, { fired: ReturnType<typeof count> }, { total: ReturnType<typeof count> }>({
          windowState: { fired: count() },
          globalState: { total: count() },
          process(_key, { window, windowState, globalState }, _elements, collector) {
            windowState.fired.value += 1;
            globalState.total.value += 1;
            collector.collect(
              `${bounds(window)} ${windowState.fired.value}/${globalState.total.value}`,
            );
          },
          clear: ({ windowState }) => windowState.fired.clear(),
        }),
    );
    assert.deepEqual(out, ['[0,10) 1/1', '[0,10) 2/2', '[10,20) 1/3']);
  });

  test('an event-time window refuses records without a timestamp and says what to do', async () => {
    const failing = run((env) =>
      env
        .fromElements('a')
        .keyBy((value) => value, t.string())
        .window(TumblingEventTimeWindows.of(10))
        .apply(show, t.string()),
    );
    await assert.rejects(failing, {
      code: 'RECORD_WITHOUT_TIMESTAMP',
      message: /WatermarkStrategy/,
    });
  });

  test('a default trigger can be given by hand', async () => {
    const out = await run(
      build({
        name: '',
        assigner: TumblingEventTimeWindows.of(10),
        with: (windowed) => windowed.trigger(EventTimeTrigger.create()),
        rows: [['a1', 1]],
        expected: [],
      }),
    );
    assert.deepEqual(out, ['a [0,10) a1']);
  });
});

const count = () => valueState(t.int64(), { default: 0 });
