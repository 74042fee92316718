/** What is taken out of a window before or after its function runs: Flink's evictors. They need the elements kept. */
import { type Duration, durationMs } from '../../base/duration.ts';
import type { Window } from './window.ts';

export interface TimestampedValue<T> {
  readonly value: T;
  readonly timestamp: number;
}

export interface Evictor<T> {
  /** The elements that stay, before the window function sees them. */
  evictBefore(
    elements: readonly TimestampedValue<T>[],
    window: Window,
  ): readonly TimestampedValue<T>[];
  /** The elements that stay after it has. */
  evictAfter(
    elements: readonly TimestampedValue<T>[],
    window: Window,
  ): readonly TimestampedValue<T>[];
}

type Keep<T> = (elements: readonly TimestampedValue<T>[]) => readonly TimestampedValue<T>[];

const evictor = <T>(keep: Keep<T>, after: boolean): Evictor<T> => ({
  evictBefore: (elements) => (after ? elements : keep(elements)),
  evictAfter: (elements) => (after ? keep(elements) : elements),
});

/** Keeps the last `count` elements. `after`: evict after the function instead of before. */
export const CountEvictor = {
  of: <T>(count: number, after = false): Evictor<T> =>
    evictor((elements) => elements.slice(Math.max(0, elements.length - count)), after),
};

/** Keeps the elements whose distance to the last one is below `threshold`. */
export const DeltaEvictor = {
  of: <T>(threshold: number, delta: (element: T, last: T) => number, after = false): Evictor<T> =>
    evictor((elements) => {
      const last = elements.at(-1);
      return last === undefined
        ? elements
        : elements.filter(({ value }) => delta(value, last.value) < threshold);
    }, after),
};

/** Keeps the elements of the last `span` of event time, counted back from the newest. */
export const TimeEvictor = {
  of: <T>(span: Duration, after = false): Evictor<T> => {
    const spanMs = durationMs(span);
    return evictor((elements) => {
      const newest = elements.reduce(
        (max, { timestamp }) => Math.max(max, timestamp),
        Number.NEGATIVE_INFINITY,
      );
      return newest === Number.NEGATIVE_INFINITY
        ? elements
        : elements.filter(({ timestamp }) => timestamp > newest - spanMs);
    }, after);
  },
};
