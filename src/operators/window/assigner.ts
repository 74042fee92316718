/** Which windows a record belongs to: Flink's assigners. */
import { type Duration, durationMs } from '../../base/duration.ts';
import { invalid, type MillraceError } from '../../base/errors.ts';
import type { Random } from '../../base/world.ts';
import { NO_TIMESTAMP } from '../../types/record-batch.ts';
import {
  type AnyTrigger,
  END_OF_STREAM,
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
import { staggerOf, type WindowStagger } from './window-stagger.ts';

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
  /** Tells the operator that a record's window is the gap after it, in milliseconds. @throws `invalid` BAD_WINDOW */
  readonly sessionGap?: (value: T) => number;
  /** Present on merging assigners: windows that touch become one. */
  readonly merges?: boolean;
  /** Present on assigners that remember something: makes the one of a task. */
  forTask?(random: Random): WindowAssigner<T, W>;
}

/** An assigner whatever its types: what the operator works on. */
export type AnyWindowAssigner = WindowAssigner<unknown, Window>;

/** @throws `invalid` RECORD_WITHOUT_TIMESTAMP */
export function requireTimestamp(timestamp: number): void {
  if (!Number.isFinite(timestamp)) throw recordWithoutTimestamp(timestamp);
}

/** Results of global windows are at the end of time, which no event-time window holds: as good as none. */
export const recordWithoutTimestamp = (timestamp: number): MillraceError =>
  invalid(
    'RECORD_WITHOUT_TIMESTAMP',
    `a record ${timestamp === NO_TIMESTAMP ? 'without an event time' : `with the event time ${timestamp}, as results of global windows have,`} reached an event-time window; give the source a WatermarkStrategy with withTimestampAssigner, or call assignTimestampsAndWatermarks before the window`,
  );

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
  { size, offset, stagger }: { size: Duration; offset: Duration; stagger: WindowStagger },
): WindowAssigner<unknown, TimeWindow> {
  const sizeMs = durationMs(size);
  const offsetMs = durationMs(offset);
  checkSize('a tumbling window', sizeMs, offsetMs);
  const aligned: WindowAssigner<unknown, TimeWindow> = {
    description: `tumbling(${sizeMs} ms)`,
    isEventTime,
    windows: fixedWindows(sizeMs),
    defaultTrigger: isEventTime ? EventTimeTrigger.create() : ProcessingTimeTrigger.create(),
    assign(_value, timestamp, processingTime) {
      if (isEventTime) requireTimestamp(timestamp);
      const start = windowStart(isEventTime ? timestamp : processingTime, offsetMs, sizeMs);
      return [new TimeWindow(start, start + sizeMs)];
    },
  };
  if (stagger === 'aligned') return { ...aligned, tumbling: { sizeMs, offsetMs } };
  return {
    ...aligned,
    description: `tumbling(${sizeMs} ms, ${stagger})`,
    forTask(random) {
      let staggerMs: number | undefined;
      return {
        ...aligned,
        assign(_value, timestamp, processingTime) {
          if (isEventTime) requireTimestamp(timestamp);
          staggerMs ??= staggerOf(stagger, { sizeMs, processingTime, random });
          const start = windowStart(
            isEventTime ? timestamp : processingTime,
            (offsetMs + staggerMs) % sizeMs,
            sizeMs,
          );
          return [new TimeWindow(start, start + sizeMs)];
        },
      };
    },
  };
}

/**
 * Windows of one size, side by side, by event time. `offset` shifts them from the epoch; `stagger` (default 'aligned') spreads the
 * firings of parallel subtasks.
 * @throws `invalid` BAD_WINDOW unless |offset| < size
 */
export const TumblingEventTimeWindows = {
  of: (
    size: Duration,
    offset: Duration = 0,
    stagger: WindowStagger = 'aligned',
  ): WindowAssigner<unknown, TimeWindow> => tumbling(true, { size, offset, stagger }),
};

/** The same by processing time: a record's timestamp does not matter. */
export const TumblingProcessingTimeWindows = {
  of: (
    size: Duration,
    offset: Duration = 0,
    stagger: WindowStagger = 'aligned',
  ): WindowAssigner<unknown, TimeWindow> => tumbling(false, { size, offset, stagger }),
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
  const sessionGap = (value: T): number => {
    const gapMs = gapOf(value);
    if (gapMs > 0 && Number.isSafeInteger(gapMs)) return gapMs;
    throw invalid(
      'BAD_WINDOW',
      `a session gap is ${gapMs} ms; it must be a positive whole number of milliseconds`,
    );
  };
  return {
    description,
    isEventTime,
    windows: VARIABLE_WINDOWS,
    defaultTrigger: isEventTime ? EventTimeTrigger.create() : ProcessingTimeTrigger.create(),
    merges: true,
    sessionGap,
    assign(value, timestamp, processingTime) {
      if (isEventTime) requireTimestamp(timestamp);
      const start = Math.floor(isEventTime ? timestamp : processingTime);
      return [new TimeWindow(start, start + sessionGap(value))];
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

// Neither kind of time bounds the global window: nothing in it is late and nothing cleans it up.
const global = (defaultTrigger: AnyTrigger): WindowAssigner<unknown, GlobalWindow> => ({
  description: 'global',
  isEventTime: false,
  windows: GLOBAL_WINDOW,
  defaultTrigger,
  assign: () => [GLOBAL_WINDOW.fromNamespace(0)],
});

/** One window for everything. */
export const GlobalWindows = {
  /** Needs a trigger: without one nothing fires. */
  create: (): WindowAssigner<unknown, GlobalWindow> => global(NeverTrigger.create()),
  /** Fires once, when a bounded input has ended. */
  createWithEndOfStreamTrigger: (): WindowAssigner<unknown, GlobalWindow> => global(END_OF_STREAM),
};
