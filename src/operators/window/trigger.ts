/** When a window's result is computed, and when its content is dropped: Flink's triggers. */
import type { DeclaredState, StateDeclaration } from '../functions.ts';
import { reducingState, valueState } from '../../state/descriptor.ts';
import { t } from '../../types/t.ts';
import { type Duration, durationMs } from '../../base/duration.ts';
import { invalid } from '../../base/errors.ts';
import { MAX_WATERMARK } from '../../types/record-batch.ts';
import type { Window } from './window.ts';

export type TriggerResult = 'continue' | 'fire' | 'purge' | 'fire-and-purge';

export const fires = (result: TriggerResult): boolean =>
  result === 'fire' || result === 'fire-and-purge';

/** For one key and window. */
export interface TriggerContext<S> {
  readonly currentWatermark: number;
  readonly currentProcessingTime: number;
  readonly state: DeclaredState<S>;
  registerEventTimeTimer(timestamp: number): void;
  deleteEventTimeTimer(timestamp: number): void;
  registerProcessingTimeTimer(timestamp: number): void;
  deleteProcessingTimeTimer(timestamp: number): void;
}

export interface OnMergeContext<S> extends TriggerContext<S> {
  /** Folds the named state of the merged windows into that of the resulting one. */
  mergeState(name: keyof S & string): void;
}

export interface Trigger<T, W extends Window, S extends StateDeclaration = StateDeclaration> {
  /** States per key and window. */
  readonly state?: S;
  onElement(value: T, timestamp: number, window: W, context: TriggerContext<S>): TriggerResult;
  /** Whether `onElement` may fire or purge, as far as is known before it: what a window holds is fetched for it then. Default true. */
  mayFire?(window: W, currentWatermark: number): boolean;
  onEventTime(timestamp: number, window: W, context: TriggerContext<S>): TriggerResult;
  onProcessingTime(timestamp: number, window: W, context: TriggerContext<S>): TriggerResult;
  /** Present when the trigger works on merging windows. */
  onMerge?(window: W, context: OnMergeContext<S>): void;
  /** Removes what the trigger holds for the window. */
  clear(window: W, context: TriggerContext<S>): void;
}

/** A trigger that stands for itself wherever the operator needs no types. */
export type AnyTrigger = Trigger<unknown, Window>;

/** Fires when the watermark passes the window's end, and for every late element after it. */
export const EventTimeTrigger = {
  create: (): AnyTrigger => EVENT_TIME,
};

const EVENT_TIME: AnyTrigger = {
  mayFire: (window, currentWatermark) => window.maxTimestamp <= currentWatermark,
  onElement(_value, _timestamp, window, context) {
    if (window.maxTimestamp <= context.currentWatermark) return 'fire';
    context.registerEventTimeTimer(window.maxTimestamp);
    return 'continue';
  },
  onEventTime: (timestamp, window) => (timestamp === window.maxTimestamp ? 'fire' : 'continue'),
  onProcessingTime: () => 'continue',
  onMerge(window, context) {
    // The timer of a window that lies in the past already is in the past: the next element fires.
    if (window.maxTimestamp > context.currentWatermark)
      context.registerEventTimeTimer(window.maxTimestamp);
  },
  clear: (window, context) => context.deleteEventTimeTimer(window.maxTimestamp),
};

export const isEventTimeTrigger = (trigger: AnyTrigger): boolean => trigger === EVENT_TIME;

export const isProcessingTimeTrigger = (trigger: AnyTrigger): boolean =>
  trigger === PROCESSING_TIME;

/** Fires when processing time passes the window's end. */
export const ProcessingTimeTrigger = {
  create: (): AnyTrigger => PROCESSING_TIME,
};

const PROCESSING_TIME: AnyTrigger = {
  mayFire: () => false,
  onElement(_value, _timestamp, window, context) {
    context.registerProcessingTimeTimer(window.maxTimestamp);
    return 'continue';
  },
  onEventTime: () => 'continue',
  onProcessingTime: () => 'fire',
  onMerge(window, context) {
    if (window.maxTimestamp > context.currentProcessingTime)
      context.registerProcessingTimeTimer(window.maxTimestamp);
  },
  clear: (window, context) => context.deleteProcessingTimeTimer(window.maxTimestamp),
};

/** Never fires: the default of global windows. */
export const NeverTrigger = {
  create: (): AnyTrigger => NEVER,
};

const NEVER: AnyTrigger = {
  mayFire: () => false,
  onElement: () => 'continue',
  onEventTime: () => 'continue',
  onProcessingTime: () => 'continue',
  onMerge: () => {},
  clear: () => {},
};

/** Fires when the watermark reaches the end of time: the default of global windows over bounded input. */
export const END_OF_STREAM: AnyTrigger = {
  ...NEVER,
  onElement(_value, _timestamp, window, context) {
    context.registerEventTimeTimer(window.maxTimestamp);
    return 'continue';
  },
  onEventTime: (timestamp, window) => (timestamp === window.maxTimestamp ? 'fire' : 'continue'),
};

const add = (a: number, b: number): number => a + b;
const COUNT_STATE = { count: reducingState(t.int64(), add) };

/** Fires when a window holds `count` more elements. Merged windows add their counts. */
export const CountTrigger = {
  of(count: number): Trigger<unknown, Window, typeof COUNT_STATE> {
    if (!Number.isInteger(count) || count < 1)
      throw invalid('BAD_TRIGGER', `CountTrigger.of(${count}): the count is a positive integer`);
    return {
      state: COUNT_STATE,
      onElement(_value, _timestamp, _window, { state }) {
        state.count.add(1);
        if (state.count.get()! < count) return 'continue';
        state.count.clear();
        return 'fire';
      },
      onEventTime: () => 'continue',
      onProcessingTime: () => 'continue',
      onMerge: (_window, context) => context.mergeState('count'),
      clear: (_window, { state }) => state.count.clear(),
    };
  },
};

const NEXT_STATE = { next: reducingState(t.int64(), (a: number, b: number) => Math.min(a, b)) };

function checkedInterval(interval: Duration): number {
  const intervalMs = durationMs(interval);
  if (intervalMs <= 0)
    throw invalid('BAD_TRIGGER', `a trigger's interval is ${intervalMs} ms; it must be positive`);
  return intervalMs;
}

/** Fires every `interval` of event time while the window is open, and at its end. */
export const ContinuousEventTimeTrigger = {
  of(interval: Duration): Trigger<unknown, Window, typeof NEXT_STATE> {
    const intervalMs = checkedInterval(interval);
    const schedule = (
      after: number,
      window: Window,
      context: TriggerContext<typeof NEXT_STATE>,
    ): void => {
      // After the last watermark the end of a global window is all that is left to fire for.
      if (
        context.currentWatermark === MAX_WATERMARK &&
        window.maxTimestamp === Number.POSITIVE_INFINITY
      )
        return;
      const next = Math.min(
        after - (((after % intervalMs) + intervalMs) % intervalMs) + intervalMs,
        window.maxTimestamp,
      );
      context.state.next.add(next);
      context.registerEventTimeTimer(next);
    };
    return {
      state: NEXT_STATE,
      onElement(_value, timestamp, window, context) {
        if (window.maxTimestamp <= context.currentWatermark) return 'fire';
        context.registerEventTimeTimer(window.maxTimestamp);
        if (context.state.next.get() === undefined) schedule(timestamp, window, context);
        return 'continue';
      },
      onEventTime(timestamp, window, context) {
        if (timestamp === window.maxTimestamp) return 'fire';
        if (context.state.next.get() !== timestamp) return 'continue';
        context.state.next.clear();
        schedule(timestamp, window, context);
        return 'fire';
      },
      onProcessingTime: () => 'continue',
      onMerge(_window, context) {
        context.mergeState('next');
        const next = context.state.next.get();
        if (next !== undefined) context.registerEventTimeTimer(next);
      },
      clear(window, context) {
        const next = context.state.next.get();
        if (next !== undefined) context.deleteEventTimeTimer(next);
        context.state.next.clear();
        context.deleteEventTimeTimer(window.maxTimestamp);
      },
    };
  },
};

/** Fires every `interval` of processing time while there are elements, and at the end of a window whose end is still to come. */
export const ContinuousProcessingTimeTrigger = {
  of(interval: Duration): Trigger<unknown, Window, typeof NEXT_STATE> {
    const intervalMs = checkedInterval(interval);
    const schedule = (
      after: number,
      window: Window,
      context: TriggerContext<typeof NEXT_STATE>,
    ): void => {
      const end = window.maxTimestamp;
      const regular = after + intervalMs;
      // The end of an event-time window may long have passed by the clock.
      const next = after < end && end < regular ? end : regular;
      context.state.next.add(next);
      context.registerProcessingTimeTimer(next);
    };
    return {
      state: NEXT_STATE,
      onElement(_value, _timestamp, window, context) {
        const now = context.currentProcessingTime;
        if (context.state.next.get() === undefined)
          schedule(now - (now % intervalMs), window, context);
        return 'continue';
      },
      onEventTime: () => 'continue',
      onProcessingTime(timestamp, window, context) {
        if (context.state.next.get() !== timestamp) return 'continue';
        context.state.next.clear();
        schedule(timestamp, window, context);
        return 'fire';
      },
      onMerge(_window, context) {
        context.mergeState('next');
        const next = context.state.next.get();
        if (next !== undefined) context.registerProcessingTimeTimer(next);
      },
      clear(_window, context) {
        const next = context.state.next.get();
        if (next !== undefined) context.deleteProcessingTimeTimer(next);
        context.state.next.clear();
      },
    };
  },
};

/** Fires when an element differs from the last one fired for by more than `threshold`. */
export const DeltaTrigger = {
  of<T>(
    threshold: number,
    delta: (last: T, current: T) => number,
    schema: Parameters<typeof valueState<T>>[0],
  ): Trigger<T, Window> {
    return {
      state: { last: valueState(schema) },
      onElement(value, _timestamp, _window, context) {
        const last = context.state['last'] as unknown as { value: T | undefined }; // declared as value state above
        if (last.value === undefined) {
          last.value = value;
          return 'continue';
        }
        if (delta(last.value, value) <= threshold) return 'continue';
        last.value = value;
        return 'fire';
      },
      onEventTime: () => 'continue',
      onProcessingTime: () => 'continue',
      clear: (_window, { state }) => state['last']!.clear(),
    };
  },
};

const purged = (result: TriggerResult): TriggerResult =>
  result === 'fire' ? 'fire-and-purge' : result;

/** The same trigger, dropping a window's content whenever it fires. */
export const PurgingTrigger = {
  of<T, W extends Window, S extends StateDeclaration>(inner: Trigger<T, W, S>): Trigger<T, W, S> {
    return {
      ...(inner.state === undefined ? {} : { state: inner.state }),
      onElement: (value, timestamp, window, context) =>
        purged(inner.onElement(value, timestamp, window, context)),
      onEventTime: (timestamp, window, context) =>
        purged(inner.onEventTime(timestamp, window, context)),
      onProcessingTime: (timestamp, window, context) =>
        purged(inner.onProcessingTime(timestamp, window, context)),
      ...(inner.onMerge === undefined ? {} : { onMerge: inner.onMerge.bind(inner) }),
      clear: (window, context) => inner.clear(window, context),
    };
  },
};
