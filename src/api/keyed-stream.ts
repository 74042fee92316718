/** A stream partitioned by key: where state and timers are. */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { KeySelector } from '../graph/program.ts';
import type { OneInputOperator } from '../operators/contract.ts';
import type {
  KeyedProcessFunction,
  ReduceFunction,
  StateDeclaration,
} from '../operators/functions.ts';
import { AsyncKeyedProcessOperator } from '../operators/async-keyed-process-operator.ts';
import {
  bundledAggregate,
  bundledReduce,
  mergingAggregate,
  reducingAggregate,
} from '../operators/bundled-aggregate.ts';
import type { Change, Ranked } from '../operators/changes.ts';
import { type DeduplicateOptions, keepChanging, keepFirst } from '../operators/deduplicate.ts';
import {
  LocalAggregateOperator,
  type PartialResult,
} from '../operators/local-aggregate-operator.ts';
import { type MiniBatch, MiniBatchOperator } from '../operators/mini-batch-operator.ts';
import { rankedTopN, topN, type TopNOptions } from '../operators/top-n.ts';
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

/** How results of an aggregation are bundled; SQL's `table.exec.mini-batch.*` and `table.optimizer.agg-phase-strategy`. */
export interface BundleOptions {
  /** Default: a result for every record. */
  readonly miniBatch?: MiniBatch;
  /**
   * 'two-phase' folds records where they are, in memory, and sends what was folded: for keys that have many records. Needs `miniBatch`
   * and an aggregate that can merge. Default 'one-phase'.
   */
  readonly phase?: 'one-phase' | 'two-phase';
}

type AnyAggregate = AggregateFunction<unknown, unknown, unknown>;

function isTwoPhase({ miniBatch, phase }: BundleOptions): boolean {
  if (phase !== 'two-phase') return false;
  if (miniBatch === undefined)
    throw invalid(
      'TWO_PHASE_WITHOUT_MINI_BATCH',
      'an aggregation in two phases folds bundles of records; say with miniBatch how long they may wait',
    );
  return true;
}

function requireMerge({ merge }: AnyAggregate): void {
  if (merge === undefined)
    throw invalid(
      'TWO_PHASE_WITHOUT_MERGE',
      'an aggregation in two phases merges accumulators; give the aggregate a merge function',
    );
}

/** Methods may be on a prototype. */
const methodsOf = (aggregate: AnyAggregate): AnyAggregate => ({
  createAccumulator: () => aggregate.createAccumulator(),
  add: (value, accumulator) => aggregate.add(value, accumulator),
  getResult: (accumulator) => aggregate.getResult(accumulator),
  ...(aggregate.merge === undefined
    ? {}
    : { merge: (a: unknown, b: unknown) => aggregate.merge!(a, b) }),
});

const changeSchema = <T>(schema: Schema<T>): Schema<Change<T>> =>
  t.struct({ kind: t.enum('+I', '-U', '+U', '-D'), value: schema }) as unknown as Schema<Change<T>>; // of these fields

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

  /**
   * Emits, for each record, the fold of all records of its key so far; with `miniBatch`, once for each bundle of them.
   * @throws `invalid` TWO_PHASE_WITHOUT_MINI_BATCH
   */
  reduce(reduce: ReduceFunction<T>, options: BundleOptions = {}): SingleOutputStreamOperator<T> {
    const schema = this.schema ?? t.generic<T>();
    const { miniBatch } = options;
    if (isTwoPhase(options))
      return this.#twoPhases(
        { ...reducingAggregate(reduce as ReduceFunction<unknown>), accumulatorSchema: schema },
        { ...options, schema },
      ).name('reduce');
    if (miniBatch !== undefined) {
      const bundled = bundledReduce(reduce as ReduceFunction<unknown>, schema); // fed records of type T only
      return this.#inBundles(() => new MiniBatchOperator(bundled, this.keyOf, miniBatch), {
        schema: this.schema,
        state: bundled.state,
      }).name('reduce');
    }
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

  /**
   * Emits, for each record, the aggregate of all records of its key so far; with `miniBatch`, once for each bundle of them.
   * @throws `invalid` TWO_PHASE_WITHOUT_MINI_BATCH, TWO_PHASE_WITHOUT_MERGE
   */
  aggregate<Acc, R>(
    aggregate: AggregateFunction<T, Acc, R> & StoredAggregate<Acc, R>,
    options: BundleOptions = {},
  ): SingleOutputStreamOperator<R> {
    const accumulator = aggregate.accumulatorSchema ?? t.generic<Acc>();
    const erased = aggregate as unknown as AnyAggregate; // fed records of type T only
    const schema = aggregate.resultSchema;
    const { miniBatch } = options;
    if (isTwoPhase(options))
      return this.#twoPhases(
        { ...methodsOf(erased), accumulatorSchema: accumulator },
        { ...options, schema },
      ).name('aggregate');
    if (miniBatch !== undefined) {
      const bundled = bundledAggregate(erased, accumulator);
      return this.#inBundles(() => new MiniBatchOperator(bundled, this.keyOf, miniBatch), {
        schema,
        state: bundled.state,
      }).name('aggregate');
    }
    return this.process<R, { aggregated: ReturnType<typeof aggregatingState<T, Acc, R>> }>(
      {
        state: { aggregated: aggregatingState(accumulator, aggregate) },
        processElement(value, { state }, out) {
          state.aggregated.add(value);
          out.collect(state.aggregated.get()!);
        },
      },
      schema,
    ).name('aggregate');
  }

  /** One record of each key: the first to arrive, and no other. */
  deduplicate(
    options: DeduplicateOptions & { readonly keep: 'first'; readonly by?: 'arrival' },
  ): SingleOutputStreamOperator<T>;
  /** One record of each key; another may take its place, hence changes. */
  deduplicate(options: DeduplicateOptions): SingleOutputStreamOperator<Change<T>>;
  deduplicate(options: DeduplicateOptions): unknown {
    const schema = this.schema ?? t.generic<T>();
    if (options.keep === 'first' && options.by !== 'event-time')
      return this.process(keepFirst<K, T>(options), schema).name('deduplicate');
    const changes = changeSchema(schema);
    return this.process(keepChanging<K, T>(options, schema), changes).name('deduplicate');
  }

  /**
   * The first `n` records of each key in an order of their own, as changes: those that enter and those that are driven out.
   * @throws `invalid` BAD_TOP_N
   */
  topN(options: TopNOptions<T>): SingleOutputStreamOperator<Change<T>> {
    const schema = this.schema ?? t.generic<T>();
    return this.process(topN<K, T>(options, schema), changeSchema(schema)).name('top-n');
  }

  /** The same with their ranks: a change for each rank whose record is another one. */
  rankedTopN(options: TopNOptions<T>): SingleOutputStreamOperator<Change<Ranked<T>>> {
    const schema = this.schema ?? t.generic<T>();
    const ranked = t.struct({ rank: t.int32(), value: schema }) as unknown as Schema<Ranked<T>>; // of these fields
    return this.process(rankedTopN<K, T>(options, schema), changeSchema(ranked)).name('top-n');
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

  #inBundles<O>(
    create: () => OneInputOperator,
    { schema, state }: { schema: Schema<O> | undefined; state: StateDeclaration },
  ): SingleOutputStreamOperator<O> {
    const description = { state: Object.keys(state), bundles: true };
    return this.transform('mini-batch', create, { schema, description });
  }

  /** Folds where records are, sends what was folded by key, merges there. */
  #twoPhases<O>(
    aggregate: AnyAggregate & { readonly accumulatorSchema: Schema<unknown> },
    { miniBatch, schema }: BundleOptions & { readonly schema: Schema<O> | undefined },
  ): SingleOutputStreamOperator<O> {
    const bundles = miniBatch!; // isTwoPhase has checked
    const { keySchema, keyOf } = this;
    requireMerge(aggregate);
    const partial = t.struct({ key: keySchema, accumulator: aggregate.accumulatorSchema });
    const local = this.#stream.graph.add({
      kind: 'one-input',
      type: 'local-aggregate',
      code: {
        operator: {
          kind: 'one-input',
          create: () =>
            new LocalAggregateOperator({ aggregate, keyOf, keySchema, miniBatch: bundles }),
        },
      },
      inputs: this.#stream.inputs(),
      schema: partial,
      description: { key: this.label },
    });
    const sent = new SingleOutputStreamOperator<PartialResult<unknown>>(this.#stream.graph, local);
    const keying: Keying<PartialResult<unknown>> = {
      keyOf: ({ key }) => key,
      keySchema,
      label: this.label,
    };
    const merged = new KeyedStream<PartialResult<unknown>, K>(sent, keying);
    const bundled = bundledAggregate(mergingAggregate(aggregate), aggregate.accumulatorSchema);
    return merged.#inBundles(() => new MiniBatchOperator(bundled, merged.keyOf, bundles), {
      schema,
      state: bundled.state,
    });
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
