/** Evictors and window functions: what they see, what they keep. */
import {
  EventTimeSessionWindows,
  GlobalWindows,
  SlidingEventTimeWindows,
  TumblingEventTimeWindows,
} from '../../operators/window/assigner.ts';
import { CountEvictor, DeltaEvictor, TimeEvictor } from '../../operators/window/evictor.ts';
import { CountTrigger } from '../../operators/window/trigger.ts';
import type {
  AnyProcessWindowFunction,
  ProcessWindowContext,
} from '../../operators/window/window-function.ts';
import type { Window } from '../../operators/window/window.ts';
import { type StateDescriptor, type ValueState, valueState } from '../../state/descriptor.ts';
import { t } from '../../types/t.ts';
import { at, bounds, now, watermark, type WindowCase } from '../window-contract.ts';

const END = Number.POSITIVE_INFINITY;
const ten = () => TumblingEventTimeWindows.of(10);
const numberIn = (value: string): number => Number(value.slice(1));

const EVICTORS: readonly WindowCase[] = [
  {
    name: 'count evictor: keeps the last elements',
    assigner: ten,
    evictor: CountEvictor.of(2),
    steps: [[at('a1', 1)], [at('a2', 2)], [at('a3', 3)], [watermark(9), 'a [0,10) a2+a3']],
    leavesNothing: true,
  },
  {
    name: 'count evictor: fewer elements all stay',
    assigner: ten,
    evictor: CountEvictor.of(2),
    steps: [[at('a1', 1)], [watermark(9), 'a [0,10) a1']],
  },
  {
    name: 'count evictor: what is evicted is gone for later firings',
    assigner: () => GlobalWindows.create(),
    trigger: CountTrigger.of(2),
    evictor: CountEvictor.of(3),
    steps: [
      [at('a1')],
      [at('a2'), 'a global a1+a2'],
      [at('a3')],
      [at('a4'), 'a global a2+a3+a4'],
      [at('a5')],
      [at('a6'), 'a global a4+a5+a6'],
    ],
  },
  {
    name: 'count evictor, after: the function sees everything once',
    assigner: ten,
    evictor: CountEvictor.of(1, true),
    lateness: 10,
    steps: [
      [at('a1', 1)],
      [at('a2', 2)],
      [watermark(9), 'a [0,10) a1+a2'],
      [at('a3', 3), 'a [0,10) a2+a3'],
      [watermark(19)],
    ],
    leavesNothing: true,
  },
  {
    name: 'count evictor of none, after: the window is empty again',
    assigner: () => GlobalWindows.create(),
    trigger: CountTrigger.of(2),
    evictor: CountEvictor.of(0, true),
    steps: [[at('a1')], [at('a2'), 'a global a1+a2'], [at('a3')], [at('a4'), 'a global a3+a4']],
    leavesNothing: true,
  },
  {
    name: 'an evictor that keeps nothing: the function runs over nothing',
    assigner: ten,
    evictor: CountEvictor.of(0),
    steps: [[at('a1', 1)], [watermark(9), 'a [0,10) ']],
    leavesNothing: true,
  },
  {
    name: 'time evictor: keeps what is newer than the newest minus the span',
    assigner: () => TumblingEventTimeWindows.of(100),
    evictor: TimeEvictor.of(10),
    steps: [
      [at('a40', 40)],
      [at('a50', 50)],
      [at('a41', 41)],
      [watermark(99), 'a [0,100) a50+a41'],
    ],
  },
  {
    name: 'delta evictor: keeps what is nearer to the last element than the threshold',
    assigner: ten,
    evictor: DeltaEvictor.of<string>(3, (element, last) =>
      Math.abs(numberIn(last) - numberIn(element)),
    ),
    steps: [
      [at('a1', 1)],
      [at('a7', 1)],
      [at('a5', 1)],
      [at('a4', 1)],
      [watermark(9), 'a [0,10) a5+a4'],
    ],
  },
  {
    name: 'evictors on sessions work on the merged elements',
    assigner: () => EventTimeSessionWindows.withGap(5),
    evictor: CountEvictor.of(2),
    steps: [[at('a1', 1)], [at('a9', 9)], [at('a5', 5)], [watermark(END), 'a [1,14) a9+a5']],
    leavesNothing: true,
  },
];

type Context = ProcessWindowContext<Window, unknown, unknown>;
const countState = (): StateDescriptor => valueState(t.int64(), { default: 0 });
const numbers = (state: unknown): Readonly<Record<string, ValueState<number>>> =>
  state as Readonly<Record<string, ValueState<number>>>; // declared as number values below

/** Counts its firings per window and per key, and says when a window is gone. */
const COUNTS_FIRINGS: AnyProcessWindowFunction = {
  windowState: { fired: countState() },
  globalState: { total: countState() },
  process(key, { window, windowState, globalState }, elements, out) {
    const [fired, total] = [numbers(windowState)['fired']!, numbers(globalState)['total']!];
    fired.value += 1;
    total.value += 1;
    out.collect(
      `${String(key)} ${bounds(window)} ${elements.length} ${fired.value}/${total.value}`,
    );
  },
  clear: ({ windowState }) => numbers(windowState)['fired']!.clear(),
};

/** Tells the time. */
const TELLS_TIME: AnyProcessWindowFunction = {
  process: (_key, { currentWatermark, currentProcessingTime }: Context, _elements, out) =>
    out.collect(`${currentWatermark} ${currentProcessingTime}`),
};

const FUNCTIONS: readonly WindowCase[] = [
  {
    name: 'per-window state lives as long as its window, per-key state longer',
    assigner: ten,
    process: COUNTS_FIRINGS,
    lateness: 5,
    steps: [
      [at('a1', 1)],
      [at('b1', 1)],
      [watermark(9), 'a [0,10) 1 1/1', 'b [0,10) 1 1/1'],
      [at('a2', 2), 'a [0,10) 2 2/2'],
      [at('a11', 11)],
      [watermark(14)],
      [watermark(19), 'a [10,20) 1 1/3'],
      [watermark(24)],
      [at('a25', 25)],
      [watermark(29), 'a [20,30) 1 1/4'],
    ],
  },
  {
    name: 'per-window state of sliding windows is cleared window by window',
    assigner: () => SlidingEventTimeWindows.of(10, 5),
    process: COUNTS_FIRINGS,
    lateness: 3,
    steps: [
      [at('a7', 7)],
      [watermark(9), 'a [0,10) 1 1/1'],
      [at('a8', 8), 'a [0,10) 2 2/2'],
      [watermark(12)],
      [watermark(14), 'a [5,15) 2 1/3'],
      [at('a9', 9), 'a [5,15) 3 2/4'],
      [watermark(17)],
      [at('a18', 18)],
      [watermark(END), 'a [10,20) 1 1/5', 'a [15,25) 1 1/6'],
    ],
  },
  {
    name: 'a firing window sees the watermark that fires it, and the clock',
    assigner: ten,
    process: TELLS_TIME,
    steps: [[now(77)], [at('a1', 1)], [watermark(12), '12 77']],
  },
  {
    name: 'a late firing sees the watermark as it is',
    assigner: ten,
    process: TELLS_TIME,
    lateness: 10,
    steps: [[watermark(12)], [at('a1', 1), '12 0']],
  },
];

export const FUNCTION_CASES: readonly WindowCase[] = [...EVICTORS, ...FUNCTIONS];
