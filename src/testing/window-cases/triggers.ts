/** When windows fire and what is left in them: one group a trigger. */
import {
  EventTimeSessionWindows,
  GlobalWindows,
  TumblingEventTimeWindows,
  TumblingProcessingTimeWindows,
} from '../../operators/window/assigner.ts';
import { ProcessingTimeoutTrigger } from '../../operators/window/processing-timeout-trigger.ts';
import {
  type AnyTrigger,
  ContinuousEventTimeTrigger,
  ContinuousProcessingTimeTrigger,
  CountTrigger,
  DeltaTrigger,
  EventTimeTrigger,
  NeverTrigger,
  ProcessingTimeTrigger,
  PurgingTrigger,
  type TriggerResult,
} from '../../operators/window/trigger.ts';
import { t } from '../../types/t.ts';
import { at, now, watermark, type WindowCase } from '../window-contract.ts';

const END = Number.POSITIVE_INFINITY;
const ten = () => TumblingEventTimeWindows.of(10);
const hundred = () => TumblingEventTimeWindows.of(100);
const global = () => GlobalWindows.create();
const numberIn = (value: string): number => Number(value.slice(1));

const COUNTING: readonly WindowCase[] = [
  {
    name: 'count: fires at each n-th element and keeps the elements',
    assigner: global,
    trigger: CountTrigger.of(2),
    steps: [
      [at('a1')],
      [at('b1')],
      [at('a2'), 'a global a1+a2'],
      [at('a3')],
      [at('a4'), 'a global a1+a2+a3+a4'],
    ],
  },
  {
    name: 'count, purging: starts anew after firing',
    assigner: global,
    trigger: PurgingTrigger.of(CountTrigger.of(2)),
    steps: [
      [at('a1')],
      [at('a2'), 'a global a1+a2'],
      [at('a3')],
      [at('a4'), 'a global a3+a4'],
      [watermark(END)],
    ],
    leavesNothing: true,
  },
  {
    name: 'count: merged sessions add their counts, and the next element fires',
    assigner: () => EventTimeSessionWindows.withGap(5),
    trigger: PurgingTrigger.of(CountTrigger.of(3)),
    steps: [
      [at('a1', 1)],
      [at('a9', 9)],
      [at('a5', 5), 'a [1,14) a1+a9+a5'],
      [at('a6', 6)],
      [watermark(END)],
    ],
    leavesNothing: true,
  },
  {
    name: 'count: a merge that goes past the count fires',
    assigner: () => EventTimeSessionWindows.withGap(5),
    trigger: CountTrigger.of(4),
    steps: [
      [at('a1', 1)],
      [at('a2', 2)],
      [at('a9', 9)],
      [at('a10', 10)],
      [at('a6', 6), 'a [1,15) a1+a2+a9+a10+a6'],
    ],
  },
  {
    name: 'delta: fires when an element is further than the threshold from the last one fired for',
    assigner: global,
    trigger: DeltaTrigger.of<string>(
      10,
      (last, current) => numberIn(current) - numberIn(last),
      t.string(),
    ),
    steps: [
      [at('a0')],
      [at('a10')],
      [at('a11'), 'a global a0+a10+a11'],
      [at('a20')],
      [at('a22'), 'a global a0+a10+a11+a20+a22'],
    ],
  },
  {
    name: 'never: does not fire, and its windows are cleaned up all the same',
    assigner: ten,
    trigger: NeverTrigger.create(),
    steps: [[at('a1', 1)], [watermark(END)]],
    leavesNothing: true,
  },
];

const CONTINUOUS: readonly WindowCase[] = [
  {
    name: 'continuous event time: fires at each interval and at the end',
    assigner: ten,
    trigger: ContinuousEventTimeTrigger.of(4),
    steps: [
      [at('a1', 1)],
      [watermark(3)],
      [watermark(4), 'a [0,10) a1'],
      [at('a5', 5)],
      [watermark(8), 'a [0,10) a1+a5'],
      [watermark(9), 'a [0,10) a1+a5'],
      [watermark(20)],
    ],
    leavesNothing: true,
  },
  {
    name: 'continuous event time: a watermark over several intervals fires for each',
    assigner: hundred,
    trigger: ContinuousEventTimeTrigger.of(40),
    steps: [[at('a1', 1)], [watermark(90), 'a [0,100) a1', 'a [0,100) a1']],
  },
  {
    name: 'continuous event time, purging: goes on after an interval without elements',
    assigner: hundred,
    trigger: PurgingTrigger.of(ContinuousEventTimeTrigger.of(10)),
    steps: [
      [at('a1', 1)],
      [watermark(10), 'a [0,100) a1'],
      [watermark(20)],
      [at('a21', 21)],
      [watermark(30), 'a [0,100) a21'],
      [watermark(99)],
    ],
    leavesNothing: true,
  },
  {
    name: 'continuous event time: late records fire at once',
    assigner: ten,
    trigger: ContinuousEventTimeTrigger.of(4),
    lateness: 5,
    steps: [
      [at('a1', 1)],
      [watermark(9), 'a [0,10) a1', 'a [0,10) a1', 'a [0,10) a1'],
      [at('a2', 2), 'a [0,10) a1+a2'],
      [watermark(14)],
    ],
    leavesNothing: true,
  },
  {
    name: 'continuous event time before the epoch',
    assigner: hundred,
    trigger: ContinuousEventTimeTrigger.of(40),
    steps: [
      [at('a-50', -50)],
      [watermark(-41)],
      [watermark(-40), 'a [-100,0) a-50'],
      [watermark(-1), 'a [-100,0) a-50'],
    ],
    leavesNothing: true,
  },
  {
    name: 'continuous event time on global windows ends with the input',
    assigner: global,
    trigger: ContinuousEventTimeTrigger.of(10),
    steps: [
      [at('a1', 1)],
      [watermark(10), 'a global a1'],
      [watermark(END), 'a global a1', 'a global a1'],
    ],
  },
  {
    name: 'continuous event time on sessions: merged windows fire at the earliest of their times',
    assigner: () => EventTimeSessionWindows.withGap(10),
    trigger: ContinuousEventTimeTrigger.of(8),
    steps: [
      [at('a1', 1)],
      [at('a14', 14)],
      [at('a9', 9)],
      [watermark(8), 'a [1,24) a1+a14+a9'],
      [watermark(16), 'a [1,24) a1+a14+a9'],
      [watermark(23), 'a [1,24) a1+a14+a9'],
    ],
    leavesNothing: true,
  },
  {
    name: 'continuous processing time: fires at each interval and at the end of its window',
    assigner: () => TumblingProcessingTimeWindows.of(10),
    trigger: ContinuousProcessingTimeTrigger.of(4),
    steps: [
      [now(1)],
      [at('a')],
      [now(4), 'a [0,10) a'],
      [at('ab')],
      [now(8), 'a [0,10) a+ab'],
      [now(9), 'a [0,10) a+ab'],
      [now(30)],
    ],
    leavesNothing: true,
  },
  {
    name: 'continuous processing time over event-time windows: goes on until they are cleaned up',
    assigner: ten,
    trigger: ContinuousProcessingTimeTrigger.of(100),
    steps: [
      [now(1050)],
      [at('a1', 1)],
      [now(1100), 'a [0,10) a1'],
      [now(1200), 'a [0,10) a1'],
      [watermark(9)],
      [now(1300)],
    ],
    leavesNothing: true,
  },
];

const TIMED: readonly WindowCase[] = [
  {
    name: 'event time with purging: the window starts anew, and ends all the same',
    assigner: ten,
    trigger: PurgingTrigger.of(EventTimeTrigger.create()),
    steps: [[at('a1', 1)], [watermark(9), 'a [0,10) a1']],
    leavesNothing: true,
  },
  {
    name: 'processing time on event-time windows: the clock fires, the watermark cleans up',
    assigner: ten,
    trigger: ProcessingTimeTrigger.create(),
    steps: [[at('a1', 1)], [now(8)], [now(9), 'a [0,10) a1'], [watermark(9)]],
    leavesNothing: true,
  },
  {
    name: 'timeout: fires when the inner trigger does, and forgets the timeout',
    assigner: global,
    trigger: PurgingTrigger.of(ProcessingTimeoutTrigger.of(CountTrigger.of(2), 100)),
    steps: [
      [now(10)],
      [at('a1')],
      [now(50)],
      [at('a2'), 'a global a1+a2'],
      [now(110)],
      [at('a3')],
      [now(209)],
      [now(210), 'a global a3'],
      [now(1000)],
    ],
    leavesNothing: true,
  },
  {
    name: 'timeout: starts with the first element and not with later ones',
    assigner: global,
    trigger: ProcessingTimeoutTrigger.of(CountTrigger.of(9), 100),
    steps: [[at('a1')], [now(60)], [at('a2')], [now(100), 'a global a1+a2'], [now(1000)]],
  },
  {
    name: 'timeout: each element can start it again',
    assigner: global,
    trigger: ProcessingTimeoutTrigger.of(CountTrigger.of(9), 100, { restartOnElement: true }),
    steps: [[at('a1')], [now(60)], [at('a2')], [now(159)], [now(160), 'a global a1+a2']],
  },
  {
    name: 'timeout: clears the inner trigger, unless told not to',
    assigner: global,
    trigger: ProcessingTimeoutTrigger.of(CountTrigger.of(3), 100, { clearOnTimeout: false }),
    steps: [[at('a1')], [at('a2')], [now(100), 'a global a1+a2'], [at('a3'), 'a global a1+a2+a3']],
  },
  {
    name: 'timeout: the inner trigger counts anew after a timeout',
    assigner: global,
    trigger: ProcessingTimeoutTrigger.of(CountTrigger.of(3), 100),
    steps: [
      [at('a1')],
      [at('a2')],
      [now(100), 'a global a1+a2'],
      [at('a3')],
      [at('a4')],
      [at('a5'), 'a global a1+a2+a3+a4+a5'],
    ],
  },
];

/** Does what the element says: `apurge`, `afire`, ... */
const OBEDIENT: AnyTrigger = {
  onElement: (value) => (value as string).slice(1) as TriggerResult, // the cases below write results
  onEventTime: () => 'continue',
  onProcessingTime: () => 'continue',
  clear: () => {},
};

const CUSTOM: readonly WindowCase[] = [
  {
    name: 'a trigger of one’s own: fire, purge and both',
    assigner: ten,
    trigger: OBEDIENT,
    steps: [
      [at('acontinue', 1)],
      [at('afire', 1), 'a [0,10) acontinue+afire'],
      [at('apurge', 1)],
      [at('afire-and-purge', 1), 'a [0,10) afire-and-purge'],
      [at('afire', 1), 'a [0,10) afire'],
      [watermark(END)],
    ],
    leavesNothing: true,
  },
];

export const TRIGGER_CASES: readonly WindowCase[] = [
  ...COUNTING,
  ...CONTINUOUS,
  ...TIMED,
  ...CUSTOM,
];
