/** Streams of records: what sources and operators yield, and what can be done with them. */
import type { JsonValue } from '../base/json.ts';
import type { Sink } from '../connector/sink.ts';
import type { WatermarkStrategy } from '../connector/watermark-strategy.ts';
import type { Delivery, Partitioning } from '../graph/logical-graph.ts';
import type { CustomPartitioner, KeySelector } from '../graph/program.ts';
import type { OneInputOperator, StatelessStep } from '../operators/contract.ts';
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
import { addAsyncMap, type AsyncMapOptions } from './async-data-stream.ts';
import { collectSink } from './collect-sink.ts';
import {
  BroadcastConnectedStream,
  BroadcastStream,
  ConnectedStreams,
} from './connected-streams.ts';
import { forEachSink } from './for-each-sink.ts';
import {
  addSideOutput,
  type GraphBuilder,
  type NodeDraft,
  type NodeSpec,
} from './graph-builder.ts';
import { JoinedStreams } from './joined-streams.ts';
import { KeyedStream } from './keyed-stream.ts';
import { type FieldsKey, type Key, keyByFields, keyBySelector, type KeyField } from './keying.ts';
import { requireOneThread } from './one-thread.ts';
import { DataStreamSink, OperatorHandle } from './operator-handle.ts';
import { printSink } from './print-sink.ts';
import { mainOutputOf, Stream } from './stream.ts';
import { WindowedStream } from './windowed-stream.ts';

const ONE_KEY = t.int8();

/** Records on their way to the next operators. What is said about the operator before them is on SingleOutputStreamOperator. */
export class DataStream<T> extends Stream<T> {
  /** One result for each record. Give a schema when the results go to other threads or into state. */
  map<O>(map: MapFunction<T, O>): SingleOutputStreamOperator<O>;
  map<O>(
    map: MapFunction<T, NoInfer<O>>,
    schema: Schema<O> | undefined,
  ): SingleOutputStreamOperator<O>;
  map<O>(map: MapFunction<T, O>, schema?: Schema<O>): SingleOutputStreamOperator<O> {
    return this.#stateless({ kind: 'map', apply: map as MapFunction<never, unknown> }, schema);
  }

  /** Keeps the records for which `filter` is true, or is a type guard for. */
  filter<O extends T>(filter: (value: T) => value is O): SingleOutputStreamOperator<O>;
  filter(filter: FilterFunction<T>): SingleOutputStreamOperator<T>;
  filter(filter: FilterFunction<T>): SingleOutputStreamOperator<T> {
    return this.#stateless({ kind: 'filter', apply: filter as FilterFunction<never> }, this.schema);
  }

  /** Any number of results for each record: an array, or anything iterable, such as a generator function. */
  flatMap<O>(flatMap: FlatMapFunction<T, O>): SingleOutputStreamOperator<O>;
  flatMap<O>(
    flatMap: FlatMapFunction<T, NoInfer<O>>,
    schema: Schema<O> | undefined,
  ): SingleOutputStreamOperator<O>;
  flatMap<O>(flatMap: FlatMapFunction<T, O>, schema?: Schema<O>): SingleOutputStreamOperator<O> {
    return this.#stateless(
      { kind: 'flatMap', apply: flatMap as FlatMapFunction<never, unknown> },
      schema,
    );
  }

  /** A function with side outputs and access to time. The schema types what it collects. */
  process<O>(process: ProcessFunction<T, O>, schema?: Schema<O>): SingleOutputStreamOperator<O> {
    const user = process as unknown as ProcessFunction<unknown, unknown>; // the graph feeds it records of type T
    return this.transform('process', () => new ProcessOperator(user), schema);
  }

  /**
   * Partitions by key: all records of a key go to one subtask, in order. The key is a field, several fields, or what a function says; it
   * is stored under the fields' schemas, under `schema`, or else self-describing.
   * @throws `invalid` UNKNOWN_FIELD, NOT_A_KEY_SCHEMA
   */
  keyBy<F extends KeyField<T>>(field: F): KeyedStream<T, T[F]>;
  keyBy<const F extends readonly [KeyField<T>, KeyField<T>, ...(readonly KeyField<T>[])]>(
    ...fields: F
  ): KeyedStream<T, FieldsKey<T, F>>;
  keyBy<K extends Key>(key: (value: T) => K): KeyedStream<T, K>;
  keyBy<K>(key: (value: T) => NoInfer<K>, schema: Schema<K>): KeyedStream<T, K>;
  keyBy(
    key: string | ((value: T) => unknown),
    ...more: readonly (string | Schema<unknown> | undefined)[]
  ): KeyedStream<T, unknown> {
    // By the overloads: strings after a string, a schema after a function.
    const keying =
      typeof key === 'string'
        ? keyByFields<T>([key, ...(more as readonly string[])], this.schema)
        : keyBySelector(key, more[0] as Schema<unknown> | undefined);
    return new KeyedStream(this, keying);
  }

  /** This stream and others of its type as one; no order between them. */
  union(...others: readonly DataStream<T>[]): DataStream<T> {
    return new DataStream(
      this.builder,
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
   * across watermarks. Records under way are in checkpoints. @throws `invalid` BAD_CAPACITY, BAD_TIMEOUT
   */
  asyncMap<O>(
    call: AsyncFunction<T, O>,
    options: AsyncMapOptions<T, O>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    return addAsyncMap(this, call, options, schema);
  }

  /** Gives records event time and the stream watermarks, where the source does not. */
  assignTimestampsAndWatermarks(strategy: WatermarkStrategy<T>): SingleOutputStreamOperator<T> {
    const erased = strategy as unknown as WatermarkStrategy<unknown>; // applied to records of type T only
    return this.#oneInput(
      {
        type: 'watermarks',
        schema: this.schema,
        ...(strategy.createGenerator === undefined ? {} : { eventTime: 'assigns' }),
      },
      () => new TimestampsAndWatermarksOperator(erased),
    );
  }

  /** Windows over all records, without keys; runs in one subtask. */
  windowAll<W extends Window>(assigner: WindowAssigner<T, W>): WindowedStream<T, number, W> {
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
    return new DataStream(this.builder, readings);
  }

  /** The end of the stream. */
  sinkTo(sink: Sink<T>, name = 'sink'): DataStreamSink {
    const node = this.builder.add({
      kind: 'sink',
      type: 'sink',
      name,
      code: { sink },
      inputs: this.inputs(),
      description: { guarantee: sink.guarantee },
      ...(sink.guarantee === 'exactly-once' ? {} : { delivery: sink.guarantee }),
      ...(sink.accepted === true ? { accepts: sink.guarantee } : {}),
      ...(sink.staging === undefined ? {} : { staging: sink.staging }),
    });
    return new DataStreamSink(node);
  }

  /** Writes each record to standard output, as text or JSON; at least once. */
  print(): DataStreamSink {
    return this.sinkTo(printSink(), 'print');
  }

  /** Calls a function for each record; at least once. A promise is backpressure, and what it waits for is done before a checkpoint is. */
  forEach(visit: (value: T) => void | Promise<void>): DataStreamSink {
    return this.sinkTo(forEachSink(visit), 'forEach');
  }

  /**
   * Runs the job and settles with this stream's records in the order of their arrival: for tests and scripts, with bounded input.
   * @throws `invalid` COLLECT_NEEDS_ONE_THREAD for a job of more than one slot
   */
  async executeAndCollect(name = 'collect'): Promise<readonly T[]> {
    const { runner } = this.builder;
    const records: T[] = [];
    this.sinkTo(collectSink(records), 'collect');
    requireOneThread(runner.toProgram(name).graph);
    await runner.execute(name);
    return records;
  }

  /** @internal Adds a one-input operator. */
  transform<O>(
    type: string,
    create: () => OneInputOperator,
    schema: Schema<O> | undefined,
    description: Readonly<Record<string, JsonValue>> = {},
  ): SingleOutputStreamOperator<O> {
    return this.#oneInput({ type, schema, description }, create);
  }

  #oneInput<O>(
    spec: Pick<NodeSpec, 'type' | 'schema' | 'description' | 'eventTime'>,
    create: () => OneInputOperator,
  ): SingleOutputStreamOperator<O> {
    const node = this.builder.add({
      ...spec,
      kind: 'one-input',
      code: { operator: { kind: 'one-input', create } },
      inputs: this.inputs(),
    });
    return new SingleOutputStreamOperator(this.builder, node);
  }

  #stateless<O>(step: StatelessStep, schema: Schema<O> | undefined): SingleOutputStreamOperator<O> {
    const node = this.builder.add({
      kind: 'stateless',
      type: step.kind,
      code: { operator: { kind: 'stateless', step } },
      inputs: this.inputs(),
      schema,
    });
    return new SingleOutputStreamOperator(this.builder, node);
  }

  #partition(partitioning: Partitioning): DataStream<T> {
    return new DataStream(
      this.builder,
      this.readings.map((reading) => ({ ...reading, partitioning, explicit: true })),
    );
  }
}

/** The main output of one operator: a stream, and what can be said about the operator, as on OperatorHandle. */
export class SingleOutputStreamOperator<T> extends DataStream<T> {
  readonly #node: NodeDraft;
  readonly #handle: OperatorHandle;

  constructor(builder: GraphBuilder, node: NodeDraft) {
    super(builder, mainOutputOf(node));
    this.#node = node;
    this.#handle = new OperatorHandle(node);
  }

  /** A stable id: give one to everything with state, so that a changed program finds its state again. Unique in the job. */
  uid(uid: string): this {
    this.#handle.uid(uid);
    return this;
  }

  /** Shown in plans, metrics and errors. */
  name(name: string): this {
    this.#handle.name(name);
    return this;
  }

  /** Number of subtasks. Default `parallelism.default`. @throws `invalid` BAD_PARALLELISM */
  setParallelism(parallelism: number): this {
    this.#handle.setParallelism(parallelism);
    return this;
  }

  /** Number of key groups: the bound of the parallelism for the life of the job. Default `pipeline.max-parallelism`. */
  setMaxParallelism(maxParallelism: number): this {
    this.#handle.setMaxParallelism(maxParallelism);
    return this;
  }

  /** The operator runs in a task of its own. */
  disableChaining(): this {
    this.#handle.disableChaining();
    return this;
  }

  /** The operator begins a task; what follows may join it. */
  startNewChain(): this {
    this.#handle.startNewChain();
    return this;
  }

  /** Subtasks of one group share slots. Default: the group of the inputs if they agree, else 'default'. */
  /** Of a source: see `DataStreamSink.acceptDelivery`. */
  acceptDelivery(delivery: Delivery): this {
    this.#handle.acceptDelivery(delivery);
    return this;
  }

  slotSharingGroup(group: string): this {
    this.#handle.slotSharingGroup(group);
    return this;
  }

  /** States the schema of this operator's records; one that cannot hold them all does not compile. */
  returns<S>(schema: Schema<S> & ([T] extends [S] ? unknown : never)): this {
    this.#node.schema = schema;
    return this;
  }

  /** The records the operator emitted to that side output. @throws `invalid` SIDE_OUTPUT_TYPES_DIFFER */
  getSideOutput<S>(tag: OutputTag<S>): DataStream<S> {
    addSideOutput(this.#node, tag);
    return new DataStream<S>(this.builder, [
      { source: this.#node, partitioning: 'forward', sideOutput: tag },
    ]);
  }
}
