/** The watermark strategies that come with Millrace, with Flink's names. Each `with...` returns a new strategy. */
import { type Duration, durationMs } from '../base/duration.ts';
import { MIN_WATERMARK } from '../types/record-batch.ts';
import type { WatermarkGenerator, WatermarkStrategy as Strategy } from './watermark-strategy.ts';

/** A strategy under construction. */
export interface WatermarkStrategyBuilder<T> extends Strategy<T> {
  /**
   * How a record's event time is read; epoch milliseconds. Given last, right where the strategy is used, it learns the type of the records
   * from the source.
   */
  withTimestampAssigner<U extends T = T>(
    timestampOf: (value: U, recordTimestamp: number) => number,
  ): WatermarkStrategyBuilder<U>;
  /** After this long without records a split is idle and does not hold the watermark back. */
  withIdleness(after: Duration): WatermarkStrategyBuilder<T>;
  /** Splits of the sources in `group` that are more than `maxDrift` ahead of the slowest are paused. */
  withWatermarkAlignment(
    group: string,
    maxDrift: Duration,
    updateInterval?: Duration,
  ): WatermarkStrategyBuilder<T>;
}

function build<T>(strategy: Strategy<T>): WatermarkStrategyBuilder<T> {
  return {
    ...strategy,
    withTimestampAssigner: <U extends T>(
      timestampOf: (value: U, recordTimestamp: number) => number,
    ): WatermarkStrategyBuilder<U> => {
      const { timestampOf: _replaced, ...others } = strategy;
      return build<U>({ ...others, timestampOf });
    },
    withIdleness: (after) => build({ ...strategy, idlenessMs: durationMs(after) }),
    withWatermarkAlignment: (group, maxDrift, updateInterval = 1000) =>
      build({
        ...strategy,
        alignment: {
          group,
          maxDriftMs: durationMs(maxDrift),
          updateIntervalMs: durationMs(updateInterval),
        },
      }),
  };
}

/** The largest timestamp seen, minus the bound, minus one: a record with exactly that timestamp may still come. */
class BoundedOutOfOrderness implements WatermarkGenerator {
  readonly #boundMs: number;
  #max = MIN_WATERMARK;

  constructor(boundMs: number) {
    this.#boundMs = boundMs;
  }

  onEvent(timestamp: number): undefined {
    if (timestamp > this.#max) this.#max = timestamp;
  }

  onPeriodicEmit(): number {
    return this.#max - this.#boundMs - 1;
  }
}

/** @public Builds watermark strategies. */
export const WatermarkStrategy = {
  /** Timestamps of a split never go back. */
  forMonotonousTimestamps: <T>(): WatermarkStrategyBuilder<T> =>
    build<T>({ createGenerator: () => new BoundedOutOfOrderness(0) }),
  /** A record comes at most `bound` of event time after a newer one of its split. */
  forBoundedOutOfOrderness: <T>(bound: Duration): WatermarkStrategyBuilder<T> => {
    const boundMs = durationMs(bound);
    return build<T>({ createGenerator: () => new BoundedOutOfOrderness(boundMs) });
  },
  forGenerator: <T>(createGenerator: () => WatermarkGenerator): WatermarkStrategyBuilder<T> =>
    build<T>({ createGenerator }),
  /** No event time. */
  noWatermarks: <T>(): WatermarkStrategyBuilder<T> => build<T>({}),
};
