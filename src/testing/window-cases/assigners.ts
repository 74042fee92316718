/** Which windows a record belongs to, and when they fire under their default triggers. */
import {
  GlobalWindows,
  SlidingEventTimeWindows,
  SlidingProcessingTimeWindows,
  TumblingEventTimeWindows,
  TumblingProcessingTimeWindows,
} from '../../operators/window/assigner.ts';
import { CumulateWindows } from '../../operators/window/cumulate-windows.ts';
import { EventTimeTrigger } from '../../operators/window/trigger.ts';
import { at, now, watermark, type WindowCase } from '../window-contract.ts';

const END = Number.POSITIVE_INFINITY;

const TUMBLING: readonly WindowCase[] = [
  {
    name: 'tumbling: a window holds its start and not its end',
    assigner: () => TumblingEventTimeWindows.of(10),
    steps: [
      [at('a0', 0)],
      [at('a9', 9)],
      [at('a10', 10)],
      [watermark(8)],
      [watermark(9), 'a [0,10) a0+a9'],
      [watermark(18)],
      [watermark(19), 'a [10,20) a10'],
    ],
    leavesNothing: true,
  },
  {
    name: 'tumbling: keys have windows of their own',
    assigner: () => TumblingEventTimeWindows.of(10),
    steps: [
      [at('a1', 1)],
      [at('b2', 2)],
      [at('a3', 3)],
      [watermark(9), 'a [0,10) a1+a3', 'b [0,10) b2'],
    ],
    leavesNothing: true,
  },
  {
    name: 'tumbling: windows before the epoch are cut at the same places',
    assigner: () => TumblingEventTimeWindows.of(10),
    steps: [
      [at('a-11', -11)],
      [at('a-10', -10)],
      [at('a-1', -1)],
      [at('a0', 0)],
      [watermark(END), 'a [-20,-10) a-11', 'a [-10,0) a-10+a-1', 'a [0,10) a0'],
    ],
    leavesNothing: true,
  },
  {
    name: 'tumbling: an offset shifts windows, also before the epoch',
    assigner: () => TumblingEventTimeWindows.of(10, 3),
    steps: [
      [at('a-8', -8)],
      [at('a2', 2)],
      [at('a3', 3)],
      [at('a12', 12)],
      [watermark(END), 'a [-17,-7) a-8', 'a [-7,3) a2', 'a [3,13) a3+a12'],
    ],
  },
  {
    name: 'tumbling: a negative offset shifts windows back',
    assigner: () => TumblingEventTimeWindows.of('10 ms', '-3 ms'),
    steps: [[at('a6', 6)], [at('a7', 7)], [watermark(END), 'a [-3,7) a6', 'a [7,17) a7']],
  },
  {
    name: 'tumbling: one watermark fires many windows in the order of their ends',
    assigner: () => TumblingEventTimeWindows.of(10),
    steps: [
      [at('a25', 25)],
      [at('b5', 5)],
      [at('a15', 15)],
      [watermark(END), 'b [0,10) b5', 'a [10,20) a15', 'a [20,30) a25'],
    ],
  },
  {
    name: 'tumbling by processing time: the clock decides, timestamps do not matter',
    assigner: () => TumblingProcessingTimeWindows.of(10),
    steps: [
      [now(4)],
      [at('a', 999)],
      [now(8)],
      [at('ab')],
      [watermark(5000)],
      [now(9), 'a [0,10) a+ab'],
      [now(10)],
      [at('ac')],
      [now(25), 'a [10,20) ac'],
    ],
    leavesNothing: true,
  },
  {
    name: 'tumbling by processing time: an offset shifts windows',
    assigner: () => TumblingProcessingTimeWindows.of(10, 2),
    steps: [[now(10)], [at('a')], [now(11), 'a [2,12) a']],
  },
];

const SLIDING: readonly WindowCase[] = [
  {
    name: 'sliding: a record belongs to size/slide windows',
    assigner: () => SlidingEventTimeWindows.of(10, 5),
    steps: [
      [at('a7', 7)],
      [watermark(8)],
      [watermark(9), 'a [0,10) a7'],
      [watermark(14), 'a [5,15) a7'],
      [watermark(19)],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding: slides that do not divide the size',
    assigner: () => SlidingEventTimeWindows.of(10, 4),
    steps: [
      [at('a9', 9)],
      [at('a2', 2)],
      [watermark(5), 'a [-4,6) a2'],
      [watermark(END), 'a [0,10) a9+a2', 'a [4,14) a9', 'a [8,18) a9'],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding: elements come in the order of their arrival',
    assigner: () => SlidingEventTimeWindows.of(9, 3),
    steps: [
      [at('a7', 7)],
      [at('a1', 1)],
      [at('a5', 5)],
      [at('a6', 6)],
      [
        watermark(END),
        'a [-6,3) a1',
        'a [-3,6) a1+a5',
        'a [0,9) a7+a1+a5+a6',
        'a [3,12) a7+a5+a6',
        'a [6,15) a7+a6',
      ],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding: windows before the epoch, with an offset',
    assigner: () => SlidingEventTimeWindows.of(10, 5, 1),
    steps: [
      [at('a-6', -6)],
      [at('a-4', -4)],
      [watermark(END), 'a [-14,-4) a-6', 'a [-9,1) a-6+a-4', 'a [-4,6) a-4'],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding: a slide larger than the size leaves gaps, and what falls into them is not late',
    assigner: () => SlidingEventTimeWindows.of(3, 10),
    steps: [
      [at('a2', 2)],
      [at('a3', 3)],
      [watermark(2), 'a [0,3) a2'],
      [at('a13', 13)],
      [at('a1', 1), 'dropped'],
      [at('a12', 12)],
      [watermark(END), 'a [10,13) a12'],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding: a gap behind the watermark is late',
    assigner: () => SlidingEventTimeWindows.of(3, 10),
    side: true,
    steps: [[watermark(20)], [at('a5', 5), 'late a5'], [at('a25', 25)]],
  },
  {
    name: 'sliding: a record late for some of its windows counts in the others',
    assigner: () => SlidingEventTimeWindows.of(10, 5),
    steps: [
      [watermark(9)],
      [at('a7', 7)],
      [at('a4', 4), 'dropped'],
      [watermark(14), 'a [5,15) a7'],
    ],
    leavesNothing: true,
  },
  {
    name: 'sliding by processing time',
    assigner: () => SlidingProcessingTimeWindows.of(10, 5),
    steps: [
      [now(7)],
      [at('a')],
      [now(9), 'a [0,10) a'],
      [now(10)],
      [at('ab')],
      [now(14), 'a [5,15) a+ab'],
      [now(40), 'a [10,20) ab'],
    ],
    leavesNothing: true,
  },
];

const OTHERS: readonly WindowCase[] = [
  {
    name: 'natural stagger: windows are shifted by the time of the first record within its window',
    assigner: () => TumblingEventTimeWindows.of(10, 0, 'natural'),
    steps: [
      [now(27)],
      [at('a6', 6)],
      [at('a7', 7)],
      [watermark(END), 'a [-3,7) a6', 'a [7,17) a7'],
    ],
    leavesNothing: true,
  },
  {
    name: 'random stagger: windows are shifted by a part of their size, on top of the offset',
    assigner: () => TumblingEventTimeWindows.of(10, 2, 'random'),
    steps: [[at('a6', 6)], [at('a7', 7)], [watermark(END), 'a [-3,7) a6', 'a [7,17) a7']],
    leavesNothing: true,
  },
  {
    name: 'cumulate: windows share a start and grow by the step up to the size',
    assigner: () => CumulateWindows.of(9, 3),
    steps: [
      [at('a1', 1)],
      [at('a4', 4)],
      [watermark(2), 'a [0,3) a1'],
      [at('a2', 2)],
      [watermark(5), 'a [0,6) a1+a4+a2'],
      [at('a8', 8)],
      [at('a9', 9)],
      [watermark(8), 'a [0,9) a1+a4+a2+a8'],
      [watermark(END), 'a [9,12) a9', 'a [9,15) a9', 'a [9,18) a9'],
    ],
    leavesNothing: true,
  },
  {
    name: 'cumulate: an offset shifts the start',
    assigner: () => CumulateWindows.of(6, 3, 1),
    steps: [[at('a0', 0)], [watermark(END), 'a [-5,1) a0']],
  },
  {
    name: 'global windows do not fire by themselves',
    assigner: () => GlobalWindows.create(),
    steps: [[at('a1', 1)], [watermark(END)]],
  },
  {
    name: 'global windows take records without timestamps, and none is late',
    assigner: () => GlobalWindows.createWithEndOfStreamTrigger(),
    side: true,
    steps: [[at('ab')], [watermark(100)], [at('a1', 1)], [watermark(END), 'a global ab+a1']],
  },
  {
    name: 'global windows under an event-time trigger fire at the end of the input',
    assigner: () => GlobalWindows.create(),
    trigger: EventTimeTrigger.create(),
    steps: [[at('a1', 1)], [at('b2', 2)], [watermark(END), 'a global a1', 'b global b2']],
  },
];

export const ASSIGNER_CASES: readonly WindowCase[] = [...TUMBLING, ...SLIDING, ...OTHERS];
