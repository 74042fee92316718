/** A stream of records: what sources and most operators yield. */
import { type Duration, durationMs } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import type { Sink } from '../connector/sink.ts';
import type { WatermarkStrategy } from '../connector/watermark-strategy.ts';
import type { Partitioning } from '../graph/logical-graph.ts';
import type { CustomPartitioner, KeySelector } from '../graph/program.ts';
import { type AsyncRetry, AsyncWaitOperator } from '../operators/async-wait-operator.ts';
import type { OneInputOperator, OperatorCode, StatelessStep } from '../operators/contract.ts';
import type {
  AsyncFunction,
  BroadcastDescriptor,
  FilterFunction,
  FlatMapFunction,
  MapFunction,
  ProcessFunction,
} from '../operators/functions.ts';
import type { OutputTag } from '../operators/output-tag.ts';
import { ProcessOperator } from '../operators/process-operator.ts';
import { TimestampsAndWatermarksOperator } from '../operators/timestamps-and-watermarks-operator.ts';
import type { AnyWindowAssigner, WindowAssigner } from '../operators/window/assigner.ts';
import type { Window } from '../operators/window/window.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import {
  BroadcastConnectedStream,
  BroadcastStream,
  ConnectedStreams,
} from './connected-streams.ts';
import { JoinedStreams } from './joined-streams.ts';
import { KeyedStream } from './keyed-stream.ts';
import { printSink } from './print-sink.ts';
import { Stream } from './stream.ts';
import { WindowedStream } from './windowed-stream.ts';

const ONE_KEY = t.int8();

export interface AsyncMapOptions<T, O> {
  /** How long a record may take, retries included. */
  readonly timeout: Duration;
  /** Default 'ordered'. */
  readonly mode?: 'ordered' | 'unordered';
  /** Calls under way at a time. Default 100. */
  readonly capacity?: number;
  /** What a record yields that timed out. Absent: the task fails. */
  readonly onTimeout?: (value: T) => Iterable<O>;
  readonly retry?: AsyncRetry;
}

export class DataStream<T> extends Stream<T> {
  /** One result for each record. Give a schema when the results cross threads or enter state. */
  map<O>(map: MapFunction<T, O>, schema?: Schema<O>): DataStream<O> {
    return this.#stateless(
      'map',
      { kind: 'map', apply: map as StatelessStep['apply'] & MapFunction<never, unknown> },
      schema,
    );
  }

  /** Keeps the records for which `filter` is true. */
  filter(filter: FilterFunction<T>): DataStream<T> {
    return this.#stateless(
      'filter',
      { kind: 'filter', apply: filter as FilterFunction<never> },
      this.schema,
    );
  }

  /** Any number of results for each record. */
  flatMap<O>(flatMap: FlatMapFunction<T, O>, schema?: Schema<O>): DataStream<O> {
    return this.#stateless(
      'flatMap',
      { kind: 'flatMap', apply: flatMap as FlatMapFunction<never, unknown> },
      schema,
    );
  }

  /** A function with side outputs and access to time. */
  process<O>(process: ProcessFunction<T, O>, schema?: Schema<O>): DataStream<O> {
    const user = process as unknown as ProcessFunction<unknown, unknown>; // the graph feeds it records of type T
    return this.transform('process', () => new ProcessOperator(user), schema);
  }

  /** Partitions by key: all records of a key go to one subtask, in order. */
  keyBy<F extends keyof T & string>(field: F): KeyedStream<T, T[F]>;
  keyBy<K>(key: (value: T) => K, schema?: Schema<K>): KeyedStream<T, K>;
  keyBy(key: string | ((value: T) => unknown), schema?: Schema<unknown>): KeyedStream<T, unknown> {
    const keyOf = typeof key === 'string' ? fieldSelector<T>(key) : key;
    const keySchema =
      schema ?? (typeof key === 'string' ? this.#fieldSchema(key) : undefined) ?? t.key();
    return new KeyedStream(this, {
      keyOf,
      keySchema,
      label: typeof key === 'string' ? key : 'key',
    });
  }

  /** This stream and others of its type as one; no order between them. */
  union(...others: readonly DataStream<T>[]): DataStream<T> {
    return new DataStream(
      this.builder,
      this.node,
      [this, ...others].flatMap((stream) => stream.readings),
    );
  }

  /** This stream and another, of any type, for one function that sees both. */
  connect<B>(other: DataStream<B>): ConnectedStreams<T, B>;
  connect<B, BK, BV>(other: BroadcastStream<B, BK, BV>): BroadcastConnectedStream<T, B, BK, BV>;
  connect(other: DataStream<unknown> | BroadcastStream<unknown, unknown, unknown>): unknown {
    return other instanceof BroadcastStream
      ? new BroadcastConnectedStream(this, other)
      : new ConnectedStreams(this, other);
  }

  /** Every record to every subtask of the operator this is connected with, which keeps them in that state. */
  broadcastAs<BK, BV>(descriptor: BroadcastDescriptor<BK, BV>): BroadcastStream<T, BK, BV> {
    return new BroadcastStream(this, descriptor);
  }

  /** Pairs of records with one key that share a window: `.where(...).equalTo(...).window(...).apply(...)`. */
  join<B>(other: DataStream<B>): JoinedStreams<T, B> {
    return new JoinedStreams({ left: this, right: other });
  }

  /** Both sides of a window at once: `.where(...).equalTo(...).window(...).coGroup(...)`. */
  coGroup<B>(other: DataStream<B>): JoinedStreams<T, B> {
    return new JoinedStreams({ left: this, right: other });
  }

  /**
   * Calls something that answers later, for many records at a time. `ordered` keeps the order of the stream; `unordered` keeps it only
   * across watermarks. Records under way are in checkpoints.
   */
  asyncMap<O>(
    call: AsyncFunction<T, O>,
    options: AsyncMapOptions<T, O>,
    schema?: Schema<O>,
  ): DataStream<O> {
    const params = {
      call: call as unknown as AsyncFunction<unknown, unknown>, // called with records of type T only
      mode: options.mode ?? 'ordered',
      capacity: options.capacity ?? 100,
      timeoutMs: durationMs(options.timeout),
      inputSchema: this.schema ?? t.generic(),
      ...(options.onTimeout === undefined
        ? {}
        : { onTimeout: options.onTimeout as (value: unknown) => Iterable<unknown> }),
      ...(options.retry === undefined ? {} : { retry: options.retry }),
    };
    if (!Number.isInteger(params.capacity) || params.capacity < 1)
      throw invalid(
        'BAD_CAPACITY',
        `asyncMap capacity is ${params.capacity}; it is a positive integer`,
      );
    return this.transform('async-wait', () => new AsyncWaitOperator(params), schema);
  }

  /** Gives records event time and the stream watermarks, where the source does not. */
  assignTimestampsAndWatermarks(strategy: WatermarkStrategy<T>): DataStream<T> {
    const erased = strategy as unknown as WatermarkStrategy<unknown>; // applied to records of type T only
    return this.transform(
      'watermarks',
      () => new TimestampsAndWatermarksOperator(erased),
      this.schema,
    );
  }

  /** Windows over all records, without keys; runs in one subtask. */
  windowAll<W extends Window>(
    assigner: WindowAssigner<T, W> | WindowAssigner<unknown, W>,
  ): WindowedStream<T, number, W> {
    const keyed = new KeyedStream<T, number>(this, {
      keyOf: () => 0,
      keySchema: ONE_KEY,
      label: 'all',
      parallelism: 1,
    });
    return new WindowedStream<T, number, W>(keyed, assigner as AnyWindowAssigner);
  }

  rebalance(): DataStream<T> {
    return this.#partition('rebalance');
  }

  rescale(): DataStream<T> {
    return this.#partition('rescale');
  }

  shuffle(): DataStream<T> {
    return this.#partition('shuffle');
  }

  /** Every record goes to every subtask. */
  broadcast(): DataStream<T> {
    return this.#partition('broadcast');
  }

  /** Every record goes to subtask 0. */
  global(): DataStream<T> {
    return this.#partition('global');
  }

  forward(): DataStream<T> {
    return this.#partition('forward');
  }

  /** `partition` returns the target subtask for a key. */
  partitionCustom<K>(
    partition: (key: K, parallelism: number) => number,
    keyOf: (value: T) => K,
  ): DataStream<T> {
    const readings = this.readings.map((reading) => ({
      ...reading,
      partitioning: 'custom' as const,
      keySelector: keyOf as KeySelector,
      partitioner: partition as CustomPartitioner,
    }));
    return new DataStream(this.builder, this.node, readings);
  }

  /** States the schema of this operator's records. */
  returns<S>(schema: Schema<S>): T extends S ? DataStream<S> : never {
    this.node.schema = schema;
    return this as unknown as T extends S ? DataStream<S> : never; // the condition is the check
  }

  /** The records an operator emitted to that side output. */
  getSideOutput<S>(tag: OutputTag<S>): DataStream<S> {
    this.node.sideOutputs.set(tag.id, tag.schema);
    const stream = new DataStream<S>(this.builder, this.node, [
      { source: this.node, partitioning: 'forward', sideOutput: tag as OutputTag<unknown> },
    ]);
    return stream;
  }

  sinkTo(sink: Sink<T>, name = 'sink'): Stream<T> {
    const node = this.builder.add({
      kind: 'sink',
      type: 'sink',
      name,
      code: { sink },
      inputs: this.inputs(),
      description: { guarantee: sink.guarantee },
    });
    return new Stream(this.builder, node);
  }

  /** Writes each record to standard output, as text or JSON; at least once. */
  print(): Stream<T> {
    return this.sinkTo(printSink(), 'print');
  }

  /** @internal Adds a one-input operator. */
  transform<O>(
    type: string,
    create: () => OneInputOperator,
    schema: Schema<O> | undefined,
  ): DataStream<O> {
    const operator: OperatorCode = { kind: 'one-input', create };
    const node = this.builder.add({
      kind: 'one-input',
      type,
      code: { operator },
      inputs: this.inputs(),
      schema,
    });
    return new DataStream(this.builder, node);
  }

  #stateless<O>(type: string, step: StatelessStep, schema: Schema<O> | undefined): DataStream<O> {
    const operator: OperatorCode = { kind: 'stateless', step };
    const node = this.builder.add({
      kind: 'stateless',
      type,
      code: { operator },
      inputs: this.inputs(),
      schema,
    });
    return new DataStream(this.builder, node);
  }

  #partition(partitioning: Partitioning): DataStream<T> {
    return new DataStream(
      this.builder,
      this.node,
      this.readings.map((reading) => ({ ...reading, partitioning, explicit: true })),
    );
  }

  #fieldSchema(field: string): Schema<unknown> | undefined {
    const schema: Schema<unknown> | undefined = this.schema;
    if (schema?.kind !== 'struct') return undefined;
    const found = schema.fields.find(({ name }) => name === field);
    if (found === undefined)
      throw invalid(
        'UNKNOWN_FIELD',
        `keyBy(${JSON.stringify(field)}): the stream has the fields ${schema.fields.map(({ name }) => name).join(', ')}`,
      );
    return found.schema;
  }
}

const fieldSelector =
  <T>(field: string) =>
  (value: T): unknown =>
    (value as Readonly<Record<string, unknown>>)[field]; // keyBy admits field names of T only
