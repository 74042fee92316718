/** A stream partitioned by key: where state and timers are. */
import type { KeySelector } from '../graph/program.ts';
import type { OneInputOperator } from '../operators/contract.ts';
import type {
  KeyedProcessFunction,
  ReduceFunction,
  StateDeclaration,
} from '../operators/functions.ts';
import { KeyedProcessOperator } from '../operators/keyed-process-operator.ts';
import type { AnyKeySelector } from '../operators/keyed-shell.ts';
import type { AnyWindowAssigner, WindowAssigner } from '../operators/window/assigner.ts';
import type { Window } from '../operators/window/window.ts';
import { reducingState } from '../state/descriptor.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import {
  BroadcastStream,
  KeyedBroadcastConnectedStream,
  KeyedConnectedStreams,
} from './connected-streams.ts';
import { DataStream } from './data-stream.ts';
import type { InputDraft } from './graph-builder.ts';
import { IntervalJoin } from './joined-streams.ts';
import type { Stream } from './stream.ts';
import { WindowedStream } from './windowed-stream.ts';

export interface Keying<T> {
  readonly keyOf: (value: T) => unknown;
  readonly keySchema: Schema<unknown>;
  /** For `explain`. */
  readonly label: string;
  /** Of the operators on this stream; undefined for the default. */
  readonly parallelism?: number;
}

export class KeyedStream<T, K> {
  readonly #stream: Stream<T>;
  readonly #keying: Keying<T>;

  constructor(stream: Stream<T>, keying: Keying<T>) {
    this.#stream = stream;
    this.#keying = keying;
  }

  /** Per-key state and timers. States are declared in the function; `context.state.count.value += 1` works on the current key's. */
  process<O, const S extends StateDeclaration = Record<never, never>>(
    process: KeyedProcessFunction<K, T, O, S>,
    schema?: Schema<O>,
  ): DataStream<O> {
    const user = process as unknown as KeyedProcessFunction<
      unknown,
      unknown,
      unknown,
      StateDeclaration
    >; // the graph feeds it T by K
    return this.transform('keyed-process', () => new KeyedProcessOperator(user, this.keyOf), {
      schema,
      description: { state: Object.keys(process.state ?? {}) },
    });
  }

  /** Emits, for each record, the fold of all records of its key so far. */
  reduce(reduce: ReduceFunction<T>): DataStream<T> {
    const schema = this.#stream.schema ?? t.generic<T>();
    return this.process(
      {
        state: { reduced: reducingState(schema, reduce) },
        processElement(value, { state }, out) {
          state.reduced.add(value);
          out.collect(state.reduced.get()!);
        },
      },
      this.#stream.schema,
    ).name('reduce');
  }

  /** The running sum of a numeric field; the other fields are those of the newest record. */
  sum<F extends NumericField<T>>(field: F): DataStream<T> {
    return this.reduce((a, b) => ({
      ...b,
      [field]: (a[field] as number) + (b[field] as number),
    })).name('sum'); // NumericField admits numbers only
  }

  /** The record with the smallest value of a field so far; the first of equals. */
  minBy<F extends keyof T>(field: F): DataStream<T> {
    return this.reduce((a, b) => (b[field] < a[field] ? b : a)).name('minBy');
  }

  maxBy<F extends keyof T>(field: F): DataStream<T> {
    return this.reduce((a, b) => (b[field] > a[field] ? b : a)).name('maxBy');
  }

  window<W extends Window>(
    assigner: WindowAssigner<T, W> | WindowAssigner<unknown, W>,
  ): WindowedStream<T, K, W> {
    return new WindowedStream<T, K, W>(this, assigner as AnyWindowAssigner);
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
    }: {
      schema: Schema<O> | undefined;
      description: Readonly<Record<string, string | readonly string[] | number>>;
    },
  ): DataStream<O> {
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
    });
    return new DataStream(this.#stream.graph, node);
  }
}

export type NumericField<T> = { [F in keyof T]: T[F] extends number ? F : never }[keyof T];
