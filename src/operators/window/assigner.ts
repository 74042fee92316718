/** Which windows a record belongs to: Flink's assigners. */
import { type Duration, durationMs } from '../../base/duration.ts';
import { invalid } from '../../base/errors.ts';
import { NO_TIMESTAMP } from '../../types/record-batch.ts';
import {
  type AnyTrigger,
  EventTimeTrigger,
  NeverTrigger,
  ProcessingTimeTrigger,
} from './trigger.ts';
import {
  fixedWindows,
  GLOBAL_WINDOW,
  type GlobalWindow,
  TimeWindow,
  VARIABLE_WINDOWS,
  type Window,
  type WindowKind,
  windowStart,
} from './window.ts';

export interface WindowAssigner<T = never, W extends Window = Window> {
  /** For `explain`. */
  readonly description: string;
  readonly isEventTime: boolean;
  readonly windows: WindowKind<W>;
  readonly defaultTrigger: AnyTrigger;
  assign(value: T, timestamp: number, processingTime: number): readonly W[];
  /** Tells the operator that it may share panes between the windows. */
  readonly sliding?: {
    readonly sizeMs: number;
    readonly slideMs: number;
    readonly offsetMs: number;
  };
  /** Tells the operator that a record has exactly one window, found by its start. */
  readonly tumbling?: { readonly sizeMs: number; readonly offsetMs: number };
  /** Present on merging assigners: windows that touch become one. */
  readonly merges?: boolean;
}

/** An assigner whatever its types: what the operator works on. */
export type AnyWindowAssigner = WindowAssigner<unknown, Window>;

function requireTimestamp(timestamp: number): void {
  if (timestamp === NO_TIMESTAMP) {
    throw invalid(
      'RECORD_WITHOUT_TIMESTAMP',
      'a record without an event time reached an event-time window; give the source a WatermarkStrategy with withTimestampAssigner, or call assignTimestampsAndWatermarks before the window',
    );
  }
}

function checkSize(what: string, sizeMs: number, offsetMs: number): void {
  if (sizeMs <= 0 || Math.abs(offsetMs) >= sizeMs) {
    throw invalid(
      'BAD_WINDOW',
      `${what}: the size is positive and the offset smaller than it (size ${sizeMs} ms, offset ${offsetMs} ms)`,
    );
  }
}

function tumbling(
  isEventTime: boolean,
  size: Duration,
  offset: Duration,
): WindowAssigner<unknown, TimeWindow> {
  const sizeMs = durationMs(size);
  const offsetMs = durationMs(offset);
  checkSize('a tumbling window', sizeMs, offsetMs);
  return {
    description: `tumbling(${sizeMs} ms)`,
    isEventTime,
    windows: fixedWindows(sizeMs),
    defaultTrigger: isEventTime ? EventTimeTrigger.create() : ProcessingTimeTrigger.create(),
    tumbling: { sizeMs, offsetMs },
    assign(_value, timestamp, processingTime) {
      if (isEventTime) requireTimestamp(timestamp);
      const start = windowStart(isEventTime ? timestamp : processingTime, offsetMs, sizeMs);
      return [new TimeWindow(start, start + sizeMs)];
    },
  };
}

/** Windows of one size, side by side, by event time. `offset` shifts them from the epoch. */
export const TumblingEventTimeWindows = {
  of: (size: Duration, offset: Duration = 0): WindowAssigner<unknown, TimeWindow> =>
    tumbling(true, size, offset),
};

export const TumblingProcessingTimeWindows = {
  of: (size: Duration, offset: Duration = 0): WindowAssigner<unknown, TimeWindow> =>
    tumbling(false, size, offset),
};

function sliding(
  isEventTime: boolean,
  size: Duration,
  slide: Duration,
  offset: Duration,
): WindowAssigner<unknown, TimeWindow> {
  const sizeMs = durationMs(size);
  const slideMs = durationMs(slide);
  const offsetMs = durationMs(offset);
  checkSize('a sliding window', sizeMs, 0);
  checkSize('a sliding window’s slide', slideMs, offsetMs);
  return {
    description: `sliding(${sizeMs} ms by ${slideMs} ms)`,
    isEventTime,
    windows: fixedWindows(sizeMs),
    defaultTrigger: isEventTime ? EventTimeTrigger.create() : ProcessingTimeTrigger.create(),
    ...(isEventTime ? { sliding: { sizeMs, slideMs, offsetMs } } : {}),
    assign(_value, timestamp, processingTime) {
      if (isEventTime) requireTimestamp(timestamp);
      const time = isEventTime ? timestamp : processingTime;
      const windows: TimeWindow[] = [];
      for (
        let start = windowStart(time, offsetMs, slideMs);
        start > time - sizeMs;
        start -= slideMs
      ) {
        windows.push(new TimeWindow(start, start + sizeMs));
      }
      return windows;
    },
  };
}

/** Windows of `size` that begin every `slide`, by event time; a record belongs to size/slide of them. */
export const SlidingEventTimeWindows = {
  of: (
    size: Duration,
    slide: Duration,
    offset: Duration = 0,
  ): WindowAssigner<unknown, TimeWindow> => sliding(true, size, slide, offset),
};

export const SlidingProcessingTimeWindows = {
  of: (
    size: Duration,
    slide: Duration,
    offset: Duration = 0,
  ): WindowAssigner<unknown, TimeWindow> => sliding(false, size, slide, offset),
};

function session<T>(
  isEventTime: boolean,
  gapOf: (value: T) => number,
  description: string,
): WindowAssigner<T, TimeWindow> {
  return {
    description,
    isEventTime,
    windows: VARIABLE_WINDOWS,
    defaultTrigger: isEventTime ? EventTimeTrigger.create() : ProcessingTimeTrigger.create(),
    merges: true,
    assign(value, timestamp, processingTime) {
      if (isEventTime) requireTimestamp(timestamp);
      const start = isEventTime ? timestamp : processingTime;
      const gapMs = gapOf(value);
      if (!(gapMs > 0))
        throw invalid('BAD_WINDOW', `a session gap is ${gapMs} ms; it must be positive`);
      return [new TimeWindow(start, start + gapMs)];
    },
  };
}

function fixedGap(isEventTime: boolean, gap: Duration): WindowAssigner<unknown, TimeWindow> {
  const gapMs = durationMs(gap);
  if (gapMs <= 0) throw invalid('BAD_WINDOW', `a session gap is ${gapMs} ms; it must be positive`);
  return session(isEventTime, () => gapMs, `session(${gapMs} ms)`);
}

/** Windows that end when nothing has come for `gap` of event time. */
export const EventTimeSessionWindows = {
  withGap: (gap: Duration): WindowAssigner<unknown, TimeWindow> => fixedGap(true, gap),
  /** The gap after each record, in milliseconds. */
  withDynamicGap: <T>(gapOf: (value: T) => number): WindowAssigner<T, TimeWindow> =>
    session(true, gapOf, 'session(dynamic)'),
};

export const ProcessingTimeSessionWindows = {
  withGap: (gap: Duration): WindowAssigner<unknown, TimeWindow> => fixedGap(false, gap),
  withDynamicGap: <T>(gapOf: (value: T) => number): WindowAssigner<T, TimeWindow> =>
    session(false, gapOf, 'session(dynamic)'),
};

const GLOBAL: WindowAssigner<unknown, GlobalWindow> = {
  description: 'global',
  isEventTime: true,
  windows: GLOBAL_WINDOW,
  defaultTrigger: NeverTrigger.create(),
  assign: () => [GLOBAL_WINDOW.fromNamespace(0)],
};

/** One window for everything; needs a trigger. */
export const GlobalWindows = { create: (): WindowAssigner<unknown, GlobalWindow> => GLOBAL };
