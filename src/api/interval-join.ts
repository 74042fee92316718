/** Interval joins: pairs of one key whose event times lie within bounds of each other. */
import { type Duration, durationMs } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import type { ProcessJoinFunction } from '../operators/functions.ts';
import { IntervalJoinOperator } from '../operators/interval-join-operator.ts';
import type { OutputTag } from '../operators/output-tag.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import { addTwoInput, sameKeySchema } from './connected-streams.ts';
import type { SingleOutputStreamOperator } from './data-stream.ts';
import type { KeyedStream } from './keyed-stream.ts';

/** `a.intervalJoin(b)`, waiting for its bounds. */
export class IntervalJoin<A, B, K> {
  readonly #left: KeyedStream<A, K>;
  readonly #right: KeyedStream<B, K>;

  constructor(left: KeyedStream<A, K>, right: KeyedStream<B, K>) {
    this.#left = left;
    this.#right = right;
  }

  /** right.ts in [left.ts + lower, left.ts + upper]. */
  between(lower: Duration, upper: Duration): BoundedIntervalJoin<A, B, K> {
    return new BoundedIntervalJoin(this.#left, this.#right, {
      lowerMs: durationMs(lower),
      upperMs: durationMs(upper),
    });
  }
}

interface IntervalBounds {
  readonly lowerMs: number;
  readonly upperMs: number;
}

export class BoundedIntervalJoin<A, B, K> {
  readonly #left: KeyedStream<A, K>;
  readonly #right: KeyedStream<B, K>;
  #bounds: IntervalBounds;
  #late: { readonly lateLeft?: OutputTag<unknown>; readonly lateRight?: OutputTag<unknown> } = {};

  constructor(left: KeyedStream<A, K>, right: KeyedStream<B, K>, bounds: IntervalBounds) {
    this.#left = left;
    this.#right = right;
    this.#bounds = bounds;
  }

  lowerBoundExclusive(): this {
    this.#bounds = { ...this.#bounds, lowerMs: this.#bounds.lowerMs + 1 };
    return this;
  }

  upperBoundExclusive(): this {
    this.#bounds = { ...this.#bounds, upperMs: this.#bounds.upperMs - 1 };
    return this;
  }

  sideOutputLeftLateData(tag: OutputTag<A>): this {
    this.#late = { ...this.#late, lateLeft: tag as OutputTag<unknown> };
    return this;
  }

  sideOutputRightLateData(tag: OutputTag<B>): this {
    this.#late = { ...this.#late, lateRight: tag as OutputTag<unknown> };
    return this;
  }

  /** Called for each pair, with the later of the two times. @throws `invalid` BAD_INTERVAL, KEY_SCHEMAS_DIFFER */
  process<O>(
    join: ProcessJoinFunction<A, B, O>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    const { lowerMs, upperMs } = this.#bounds;
    if (lowerMs > upperMs)
      throw invalid(
        'BAD_INTERVAL',
        `an interval join between ${lowerMs} ms and ${upperMs} ms joins nothing; the lower bound is not above the upper`,
      );
    const params = {
      ...this.#bounds,
      ...this.#late,
      leftSchema: this.#left.schema ?? t.generic(),
      rightSchema: this.#right.schema ?? t.generic(),
      leftKey: this.#left.keyOf,
      rightKey: this.#right.keyOf,
      join: join as unknown as ProcessJoinFunction<unknown, unknown, unknown>, // the graph feeds it A and B
    };
    return addTwoInput(this.#left.stream.graph, {
      type: 'interval-join',
      description: {
        key: this.#left.label,
        between: `${this.#bounds.lowerMs} ms and ${this.#bounds.upperMs} ms`,
      },
      eventTime: 'needs',
      create: () => new IntervalJoinOperator(params),
      inputs: [...this.#left.inputs(1), ...this.#right.inputs(2)],
      schema,
      keySchema: sameKeySchema(this.#left, this.#right),
      keySelectors: [this.#left.keyOf, this.#right.keyOf],
    });
  }
}
