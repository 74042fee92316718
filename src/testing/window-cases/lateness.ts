/** Late records: dropped, put aside, or firing a window again; and when a window is forgotten. */
import {
  SlidingEventTimeWindows,
  TumblingEventTimeWindows,
  TumblingProcessingTimeWindows,
} from '../../operators/window/assigner.ts';
import { CountTrigger, EventTimeTrigger, PurgingTrigger } from '../../operators/window/trigger.ts';
import { t } from '../../types/t.ts';
import { at, now, watermark, type WindowCase } from '../window-contract.ts';

/** Text lengths summed: an incremental aggregate. */
const LENGTHS = {
  kind: 'aggregate',
  schema: t.struct({ sum: t.int64() }),
  aggregate: {
    createAccumulator: () => ({ sum: 0 }),
    // Both change an accumulator they are given, as they may.
    add: (value: unknown, total: unknown) => {
      const held = total as { sum: number };
      held.sum += String(value).length;
      return held;
    },
    merge: (a: unknown, b: unknown) => {
      const [into, from] = [a as { sum: number }, b as { sum: number }];
      if (into.sum === 0) return from;
      into.sum += from.sum;
      return into;
    },
    getResult: (total: unknown) => (total as { sum: number }).sum,
  },
} as const;

const JOINED = {
  kind: 'reduce',
  schema: t.string(),
  reduce: (a: unknown, b: unknown) =>
    Array.from(`${String(a)}${String(b)}`)
      .toSorted()
      .join(''),
} as const;

export const LATENESS_CASES: readonly WindowCase[] = [
  {
    name: 'a record is late when the watermark is at its window’s last millisecond',
    assigner: () => TumblingEventTimeWindows.of(10),
    steps: [
      [watermark(8)],
      [at('a1', 1)],
      [watermark(9), 'a [0,10) a1'],
      [at('a9', 9), 'dropped'],
      [at('a10', 10)],
    ],
  },
  {
    name: 'late records go to the side output when there is one',
    assigner: () => TumblingEventTimeWindows.of(10),
    side: true,
    steps: [
      [at('a1', 1)],
      [watermark(9), 'a [0,10) a1'],
      [at('a2', 2), 'late a2'],
      [at('b2', 2), 'late b2'],
    ],
    leavesNothing: true,
  },
  {
    name: 'a record behind the watermark whose window is open is not late',
    assigner: () => TumblingEventTimeWindows.of(10),
    steps: [[at('a5', 5)], [watermark(7)], [at('a3', 3)], [watermark(9), 'a [0,10) a5+a3']],
    leavesNothing: true,
  },
  {
    name: 'within the lateness every late record fires its window again; after it they are dropped',
    assigner: () => TumblingEventTimeWindows.of(10),
    lateness: 5,
    steps: [
      [at('a1', 1)],
      [watermark(9), 'a [0,10) a1'],
      [at('a2', 2), 'a [0,10) a1+a2'],
      [watermark(13)],
      [at('a3', 3), 'a [0,10) a1+a2+a3'],
      [watermark(14)],
      [at('a4', 4), 'dropped'],
    ],
    leavesNothing: true,
  },
  {
    name: 'a window whose first record is late fires at once, and is cleaned up',
    assigner: () => TumblingEventTimeWindows.of(10),
    lateness: 5,
    steps: [
      [watermark(12)],
      [at('a2', 2), 'a [0,10) a2'],
      [at('b3', 3), 'b [0,10) b3'],
      [at('a4', 4), 'a [0,10) a2+a4'],
      [watermark(14)],
      [at('a5', 5), 'dropped'],
    ],
    leavesNothing: true,
  },
  {
    name: 'one watermark past end and lateness fires once',
    assigner: () => TumblingEventTimeWindows.of(10),
    lateness: 5,
    steps: [[at('a1', 1)], [watermark(100), 'a [0,10) a1'], [at('a2', 2), 'dropped']],
    leavesNothing: true,
  },
  {
    name: 'sliding windows, lateness: those that have fired fire again, latest first; the others later',
    assigner: () => SlidingEventTimeWindows.of(10, 5),
    lateness: 4,
    steps: [
      [at('a7', 7)],
      [watermark(9), 'a [0,10) a7'],
      [at('a8', 8), 'a [0,10) a7+a8'],
      [watermark(13)],
      [at('a9', 9)],
      [watermark(14), 'a [5,15) a7+a8+a9'],
      [at('a6', 6), 'a [5,15) a7+a8+a9+a6'],
      [at('a3', 3), 'dropped'],
      [watermark(18)],
      [at('a6', 6), 'dropped'],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding windows, long lateness: several windows fire again for one record',
    assigner: () => SlidingEventTimeWindows.of(10, 5),
    lateness: 100,
    steps: [
      [at('a7', 7)],
      [watermark(20), 'a [0,10) a7', 'a [5,15) a7'],
      [at('a9', 9), 'a [5,15) a7+a9', 'a [0,10) a7+a9'],
      [at('a12', 12), 'a [10,20) a12', 'a [5,15) a7+a9+a12'],
      [watermark(1000)],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding windows whose slide does not divide the size, with lateness',
    assigner: () => SlidingEventTimeWindows.of(10, 4),
    lateness: 3,
    steps: [
      [at('a9', 9)],
      [watermark(10), 'a [0,10) a9'],
      [at('a8', 8), 'a [0,10) a9+a8'],
      [watermark(12)],
      [at('a7', 7)],
      [watermark(13), 'a [4,14) a9+a8+a7'],
      [watermark(1000), 'a [8,18) a9+a8'],
    ],
    leavesNothing: true,
  },
  {
    name: 'an aggregate whose merge changes or returns what it is given counts right in every window',
    assigner: () => SlidingEventTimeWindows.of(15, 5),
    content: LENGTHS,
    lateness: 3,
    steps: [
      [at('abc', 2)],
      [at('ab', 7)],
      [at('a', 11)],
      [watermark(4), 'a [-10,5) 3'],
      [watermark(9), 'a [-5,10) 5'],
      [watermark(14), 'a [0,15) 6'],
      [at('axxxxxxxxx', 12), 'a [0,15) 16'],
      [watermark(19), 'a [5,20) 13'],
      [watermark(24), 'a [10,25) 11'],
      [watermark(28)],
    ],
    leavesNothing: true,
  },
  {
    name: 'a reduce over sliding windows with lateness',
    assigner: () => SlidingEventTimeWindows.of(10, 5),
    content: JOINED,
    lateness: 5,
    steps: [
      [at('ab', 2)],
      [at('ac', 7)],
      [watermark(9), 'a [-5,5) ab', 'a [0,10) aabc'],
      [at('ad', 8), 'a [0,10) aaabcd'],
      [watermark(100), 'a [5,15) aacd'],
    ],
    leavesNothing: true,
  },
  {
    name: 'lateness of forever keeps windows for good',
    assigner: () => TumblingEventTimeWindows.of(10),
    lateness: Number.MAX_SAFE_INTEGER,
    steps: [[at('a1', 1)], [watermark(1e15), 'a [0,10) a1'], [at('a2', 2), 'a [0,10) a1+a2']],
  },
  {
    name: 'processing-time windows have neither late records nor lateness',
    assigner: () => TumblingProcessingTimeWindows.of(10),
    lateness: 50,
    steps: [
      [watermark(1000)],
      [now(3)],
      [at('a', 1)],
      [now(9), 'a [0,10) a'],
      [now(10)],
      [at('ab', 1)],
      [now(19), 'a [10,20) ab'],
    ],
    leavesNothing: true,
  },
  {
    name: 'a purging event-time trigger: late records fire alone',
    assigner: () => TumblingEventTimeWindows.of(10),
    trigger: PurgingTrigger.of(EventTimeTrigger.create()),
    lateness: 5,
    steps: [
      [at('a1', 1)],
      [watermark(9), 'a [0,10) a1'],
      [at('a2', 2), 'a [0,10) a2'],
      [at('a3', 3), 'a [0,10) a3'],
      [watermark(14)],
    ],
    leavesNothing: true,
  },
  {
    name: 'a window is cleaned up at its end whatever its trigger',
    assigner: () => TumblingEventTimeWindows.of(10),
    trigger: CountTrigger.of(2),
    steps: [
      [at('a1', 1)],
      [at('a2', 2), 'a [0,10) a1+a2'],
      [at('a3', 3)],
      [watermark(9)],
      [at('a4', 4), 'dropped'],
    ],
    leavesNothing: true,
  },
];
