/** Sessions: windows that grow and merge. */
import {
  EventTimeSessionWindows,
  ProcessingTimeSessionWindows,
} from '../../operators/window/assigner.ts';
import { EventTimeTrigger, PurgingTrigger } from '../../operators/window/trigger.ts';
import { t } from '../../types/t.ts';
import { at, now, watermark, type WindowCase } from '../window-contract.ts';

const END = Number.POSITIVE_INFINITY;
const gap = (ms: number) => () => EventTimeSessionWindows.withGap(ms);

export const SESSION_CASES: readonly WindowCase[] = [
  {
    name: 'a session ends a gap after its last record',
    assigner: gap(5),
    steps: [
      [at('a1', 1)],
      [at('a4', 4)],
      [watermark(7)],
      [watermark(8), 'a [1,9) a1+a4'],
      [at('a20', 20)],
      [watermark(END), 'a [20,25) a20'],
    ],
    leavesNothing: true,
  },
  {
    name: 'sessions that touch are one',
    assigner: gap(5),
    steps: [
      [at('a1', 1)],
      [at('a6', 6)],
      [at('a12', 12)],
      [watermark(END), 'a [1,11) a1+a6', 'a [12,17) a12'],
    ],
    leavesNothing: true,
  },
  {
    name: 'a record between two sessions makes them one',
    assigner: gap(5),
    steps: [
      [at('a1', 1)],
      [at('a10', 10)],
      [at('a5', 5)],
      [watermark(13)],
      [watermark(14), 'a [1,15) a1+a10+a5'],
    ],
    leavesNothing: true,
  },
  {
    name: 'a record inside a session changes nothing but the content',
    assigner: gap(10),
    steps: [[at('a1', 1)], [at('a9', 9)], [at('a5', 5)], [watermark(END), 'a [1,19) a1+a9+a5']],
    leavesNothing: true,
  },
  {
    name: 'a record can begin a session earlier',
    assigner: gap(5),
    steps: [[at('a5', 5)], [at('a2', 2)], [watermark(9), 'a [2,10) a5+a2']],
    leavesNothing: true,
  },
  {
    name: 'a chain of sessions merges one by one',
    assigner: gap(3),
    steps: [
      [at('a0', 0)],
      [at('a10', 10)],
      [at('a5', 5)],
      [at('a3', 3)],
      [at('a8', 8)],
      [watermark(END), 'a [0,13) a0+a5+a3+a10+a8'],
    ],
    leavesNothing: true,
  },
  {
    name: 'keys have sessions of their own',
    assigner: gap(5),
    steps: [
      [at('a1', 1)],
      [at('b3', 3)],
      [at('a4', 4)],
      [watermark(END), 'b [3,8) b3', 'a [1,9) a1+a4'],
    ],
    leavesNothing: true,
  },
  {
    name: 'the same span can hold a session again after it was cleaned up',
    assigner: gap(5),
    steps: [
      [at('a1', 1)],
      [watermark(5), 'a [1,6) a1'],
      [at('a2', 2)],
      [watermark(6), 'a [2,7) a2'],
      [at('a2', 2), 'dropped'],
    ],
    leavesNothing: true,
  },
  {
    name: 'a late record alone is late; one that joins an open session is not',
    assigner: gap(5),
    side: true,
    steps: [
      [at('a10', 10)],
      [watermark(11)],
      [at('a1', 1), 'late a1'],
      [at('a6', 6)],
      [watermark(14), 'a [6,15) a10+a6'],
    ],
    leavesNothing: true,
  },
  {
    name: 'lateness: a session that has fired grows and fires again at its new end',
    assigner: gap(5),
    lateness: 10,
    steps: [
      [at('a1', 1)],
      [watermark(5), 'a [1,6) a1'],
      [at('a4', 4)],
      [watermark(8), 'a [1,9) a1+a4'],
      [at('a2', 2), 'a [1,9) a1+a4+a2'],
      [watermark(18)],
      [at('a3', 3), 'dropped'],
    ],
    leavesNothing: true,
  },
  {
    name: 'lateness: a late record merges two sessions that have fired, which fire as one at once',
    assigner: gap(5),
    lateness: 20,
    steps: [
      [at('a1', 1)],
      [at('a10', 10)],
      [watermark(16), 'a [1,6) a1', 'a [10,15) a10'],
      [at('a6', 6), 'a [1,15) a1+a10+a6'],
      [watermark(40)],
    ],
    leavesNothing: true,
  },
  {
    name: 'lateness, purging: what has fired is gone, the session is not',
    assigner: gap(5),
    trigger: PurgingTrigger.of(EventTimeTrigger.create()),
    lateness: 20,
    steps: [
      [at('a1', 1)],
      [watermark(5), 'a [1,6) a1'],
      [at('a4', 4)],
      [watermark(8), 'a [1,9) a4'],
      [at('a5', 5)],
      [watermark(9), 'a [1,10) a5'],
      [watermark(100)],
    ],
    leavesNothing: true,
  },
  {
    name: 'a gap that each record chooses',
    assigner: () =>
      EventTimeSessionWindows.withDynamicGap((value: string) => Number(value.slice(1))),
    steps: [
      [at('a10', 1)],
      [at('a2', 9)],
      [at('a3', 20)],
      [watermark(10), 'a [1,11) a10+a2'],
      [watermark(22), 'a [20,23) a3'],
    ],
    leavesNothing: true,
  },
  {
    name: 'sessions before the epoch',
    assigner: gap(5),
    steps: [[at('a-8', -8)], [at('a-4', -4)], [watermark(0), 'a [-8,1) a-8+a-4']],
    leavesNothing: true,
  },
  {
    name: 'sessions with a reduce fold merged values',
    assigner: gap(5),
    content: {
      kind: 'reduce',
      schema: t.string(),
      reduce: (a, b) => `${String(a)}&${String(b)}`,
    },
    steps: [[at('a1', 1)], [at('a10', 10)], [at('a5', 5)], [watermark(END), 'a [1,15) a1&a10&a5']],
    leavesNothing: true,
  },
  {
    name: 'sessions by processing time',
    assigner: () => ProcessingTimeSessionWindows.withGap(5),
    steps: [
      [now(1)],
      [at('a')],
      [now(4)],
      [at('ab')],
      [now(7)],
      [now(8), 'a [1,9) a+ab'],
      [now(20)],
      [at('ac')],
      [now(24), 'a [20,25) ac'],
    ],
    leavesNothing: true,
  },
];
