/** A stream partitioned by key: where state and timers are. */
import type { JsonValue } from '../base/json.ts';
import type { KeySelector } from '../graph/program.ts';
import type { OneInputOperator } from '../operators/contract.ts';
import type {
  KeyedProcessFunction,
  ReduceFunction,
  StateDeclaration,
} from '../operators/functions.ts';
import { AsyncKeyedProcessOperator } from '../operators/async-keyed-process-operator.ts';
import { KeyedProcessOperator } from '../operators/keyed-process-operator.ts';
import { mayWait } from '../operators/prefetch.ts';
import type { AnyKeySelector } from '../operators/keyed-shell.ts';
import {
  type AnyWindowAssigner,
  GlobalWindows,
  type WindowAssigner,
} from '../operators/window/assigner.ts';
import { CountEvictor } from '../operators/window/evictor.ts';
import { CountTrigger, PurgingTrigger } from '../operators/window/trigger.ts';
import type { GlobalWindow, Window } from '../operators/window/window.ts';
import { type AggregateFunction, aggregatingState, reducingState } from '../state/descriptor.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import {
  BroadcastStream,
  KeyedBroadcastConnectedStream,
  KeyedConnectedStreams,
} from './connected-streams.ts';
import { SingleOutputStreamOperator } from './data-stream.ts';
import type { InputDraft, NodeDraft } from './graph-builder.ts';
import { IntervalJoin } from './interval-join.ts';
import type { Keying, NumericField } from './keying.ts';
import { largest, largestBy, smallest, smallestBy, summing } from './rolling.ts';
import type { Stream } from './stream.ts';
import { type StoredAggregate, WindowedStream } from './windowed-stream.ts';

export class KeyedStream<T, K> {
  readonly #stream: Stream<T>;
  readonly #keying: Keying<T>;

  constructor(stream: Stream<T>, keying: Keying<T>) {
    this.#stream = stream;
    this.#keying = keying;
  }

  /**
   * Per-key state and timers. States are declared in the function; `state.count.value += 1` works on the current key's. The schema types
   * what it collects; without one, say it on the collector: `processElement(value, context, out: Collector<string>)`.
   */
  process<O, const S extends StateDeclaration = Record<never, never>>(
    process: KeyedProcessFunction<K, T, O, S>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    const user = process as unknown as KeyedProcessFunction<
      unknown,
      unknown,
      unknown,
      StateDeclaration
    >; // the graph feeds it T by K
    const waits = mayWait([process.processElement, process.onTimer], process.state);
    const create = (): OneInputOperator =>
      waits
        ? new AsyncKeyedProcessOperator(user, this.keyOf)
        : new KeyedProcessOperator(user, this.keyOf);
    return this.transform('keyed-process', create, {
      schema,
      description: { state: Object.keys(process.state ?? {}) },
    });
  }

  /** Emits, for each record, the fold of all records of its key so far. */
  reduce(reduce: ReduceFunction<T>): SingleOutputStreamOperator<T> {
    const schema = this.schema ?? t.generic<T>();
    return this.process(
      {
        state: { reduced: reducingState(schema, reduce) },
        processElement(value, { state }, out) {
          state.reduced.add(value);
          out.collect(state.reduced.get()!);
        },
      },
      this.schema,
    ).name('reduce');
  }

  /** Emits, for each record, the aggregate of all records of its key so far. */
  aggregate<Acc, R>(
    aggregate: AggregateFunction<T, Acc, R> & StoredAggregate<Acc, R>,
  ): SingleOutputStreamOperator<R> {
    const accumulator = aggregate.accumulatorSchema ?? t.generic<Acc>();
    return this.process<R, { aggregated: ReturnType<typeof aggregatingState<T, Acc, R>> }>(
      {
        state: { aggregated: aggregatingState(accumulator, aggregate) },
        processElement(value, { state }, out) {
          state.aggregated.add(value);
          out.collect(state.aggregated.get()!);
        },
      },
      aggregate.resultSchema,
    ).name('aggregate');
  }

  /** The running sum of a numeric field; the other fields are those of the key's first record. */
  sum<F extends NumericField<T>>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(summing<T>(field)).name('sum');
  }

  /** The smallest value of a field so far; the other fields are those of the key's first record. */
  min<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(smallest<T>(field)).name('min');
  }

  max<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(largest<T>(field)).name('max');
  }

  /** The record with the smallest value of a field so far; the first of equals. */
  minBy<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(smallestBy<T>(field)).name('minBy');
  }

  maxBy<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(largestBy<T>(field)).name('maxBy');
  }

  window<W extends Window>(assigner: WindowAssigner<T, W>): WindowedStream<T, K, W> {
    return new WindowedStream<T, K, W>(this, assigner as AnyWindowAssigner);
  }

  /** Windows of `size` records of a key; with `slide`, one every so many records that holds the last `size`. */
  countWindow(size: number, slide?: number): WindowedStream<T, K, GlobalWindow> {
    const windowed = this.window(GlobalWindows.create());
    return slide === undefined
      ? windowed.trigger(PurgingTrigger.of(CountTrigger.of(size)))
      : windowed.trigger(CountTrigger.of(slide)).evictor(CountEvictor.of(size));
  }

  /** Two streams keyed alike, for one function with shared state; or this one with a broadcast stream. */
  connect<B>(other: KeyedStream<B, K>): KeyedConnectedStreams<T, B, K>;
  connect<B, BK, BV>(
    other: BroadcastStream<B, BK, BV>,
  ): KeyedBroadcastConnectedStream<T, K, B, BK, BV>;
  connect(other: KeyedStream<unknown, K> | BroadcastStream<unknown, unknown, unknown>): unknown {
    return other instanceof BroadcastStream
      ? new KeyedBroadcastConnectedStream(this, other)
      : new KeyedConnectedStreams(this, other);
  }

  /** Pairs of one key whose event times lie within bounds of each other: `.between(lower, upper).process(...)`. */
  intervalJoin<B>(other: KeyedStream<B, K>): IntervalJoin<T, B, K> {
    return new IntervalJoin(this, other);
  }

  get schema(): Schema<T> | undefined {
    return this.#stream.schema;
  }

  get keySchema(): Schema<unknown> {
    return this.#keying.keySchema;
  }

  /** @internal */
  get keyOf(): AnyKeySelector {
    return this.#keying.keyOf as AnyKeySelector; // applied to records of type T only
  }

  /** @internal */
  get stream(): Stream<T> {
    return this.#stream;
  }

  /** @internal For `explain`. */
  get label(): string {
    return this.#keying.label;
  }

  /** @internal */
  inputs(input: 1 | 2 = 1): readonly InputDraft[] {
    const keySelector = this.#keying.keyOf as KeySelector;
    return this.#stream.inputs(input).map((draft) => ({
      ...draft,
      partitioning: 'hash' as const,
      keySelector,
      keySchema: this.#keying.keySchema,
    }));
  }

  /** @internal Adds a keyed one-input operator. */
  transform<O>(
    type: string,
    create: () => OneInputOperator,
    {
      schema,
      description,
      eventTime,
    }: {
      schema: Schema<O> | undefined;
      description: Readonly<Record<string, JsonValue>>;
      eventTime?: NodeDraft['eventTime'];
    },
  ): SingleOutputStreamOperator<O> {
    const { keySchema, label, parallelism, keyOf } = this.#keying;
    const node = this.#stream.graph.add({
      kind: 'one-input',
      type,
      code: {
        operator: { kind: 'one-input', create },
        keySchema,
        keySelectors: [keyOf as KeySelector],
      },
      inputs: this.inputs(),
      schema,
      description: { key: label, ...description },
      parallelism,
      eventTime,
    });
    return new SingleOutputStreamOperator(this.#stream.graph, node);
  }
}
