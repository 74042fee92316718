/** Two streams that meet in one operator: connected, keyed or not, or with one side broadcast. */
import { invalid } from '../base/errors.ts';
import type { KeySelector } from '../graph/program.ts';
import {
  BroadcastProcessOperator,
  KeyedBroadcastProcessOperator,
} from '../operators/broadcast-process-operator.ts';
import type { TwoInputOperator } from '../operators/contract.ts';
import { CoProcessOperator } from '../operators/co-process-operator.ts';
import type {
  BroadcastDescriptor,
  BroadcastProcessFunction,
  CoProcessFunction,
  KeyedBroadcastProcessFunction,
  KeyedCoProcessFunction,
  StateDeclaration,
} from '../operators/functions.ts';
import { AsyncKeyedCoProcessOperator } from '../operators/async-keyed-co-process-operator.ts';
import { mayWait } from '../operators/prefetch.ts';
import { KeyedCoProcessOperator } from '../operators/keyed-co-process-operator.ts';
import { schemaToJson } from '../types/schema-json.ts';
import type { Schema } from '../types/schema.ts';
import { type DataStream, SingleOutputStreamOperator } from './data-stream.ts';
import type { GraphBuilder, InputDraft, NodeSpec } from './graph-builder.ts';
import { KeyedStream } from './keyed-stream.ts';
import { type Key, keyBySelector } from './keying.ts';

interface TwoInputSpec<O> {
  readonly type: string;
  readonly create: () => TwoInputOperator;
  readonly inputs: readonly InputDraft[];
  readonly schema: Schema<O> | undefined;
  readonly keySchema?: Schema<unknown>;
  readonly keySelectors?: readonly KeySelector[];
  readonly description?: NodeSpec['description'];
  readonly eventTime?: NodeSpec['eventTime'];
}

export function addTwoInput<O>(
  builder: GraphBuilder,
  spec: TwoInputSpec<O>,
): SingleOutputStreamOperator<O> {
  const node = builder.add({
    kind: 'two-input',
    type: spec.type,
    code: {
      operator: { kind: 'two-input', create: spec.create },
      ...(spec.keySchema === undefined ? {} : { keySchema: spec.keySchema }),
      ...(spec.keySelectors === undefined ? {} : { keySelectors: spec.keySelectors }),
    },
    inputs: spec.inputs,
    schema: spec.schema,
    description: spec.description,
    eventTime: spec.eventTime,
  });
  return new SingleOutputStreamOperator(builder, node);
}

/** @throws `invalid` KEY_SCHEMAS_DIFFER: the two sides would meet under different keys. */
export function sameKeySchema(
  a: { readonly keySchema: Schema<unknown> },
  b: { readonly keySchema: Schema<unknown> },
): Schema<unknown> {
  if (JSON.stringify(schemaToJson(a.keySchema)) !== JSON.stringify(schemaToJson(b.keySchema))) {
    throw invalid(
      'KEY_SCHEMAS_DIFFER',
      'the two streams are keyed by different types; give both keyBy calls the same key schema',
    );
  }
  return a.keySchema;
}

/** Two streams without keys. */
export class ConnectedStreams<A, B> {
  readonly #first: DataStream<A>;
  readonly #second: DataStream<B>;

  constructor(first: DataStream<A>, second: DataStream<B>) {
    this.#first = first;
    this.#second = second;
  }

  /** One result for each record of either side. */
  map<O>(
    first: (value: A) => O,
    second: (value: B) => O,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    return this.process(
      {
        processElement1: (value, _context, out) => out.collect(first(value)),
        processElement2: (value, _context, out) => out.collect(second(value)),
      },
      schema,
    );
  }

  /** Any number of results for each record of either side. */
  flatMap<O>(
    first: (value: A) => Iterable<O>,
    second: (value: B) => Iterable<O>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    return this.process(
      {
        processElement1(value, _context, out) {
          for (const result of first(value)) out.collect(result);
        },
        processElement2(value, _context, out) {
          for (const result of second(value)) out.collect(result);
        },
      },
      schema,
    );
  }

  process<O>(
    process: CoProcessFunction<A, B, O>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    const user = process as unknown as CoProcessFunction<unknown, unknown, unknown>; // the graph feeds it A and B
    return addTwoInput(this.#first.graph, {
      type: 'co-process',
      create: () => new CoProcessOperator(user),
      inputs: [...this.#first.inputs(1), ...this.#second.inputs(2)],
      schema,
    });
  }

  /** Keys both sides by keys of one type. */
  keyBy<K extends Key>(
    first: (value: A) => K,
    second: (value: B) => K,
  ): KeyedConnectedStreams<A, B, K>;
  keyBy<K>(
    first: (value: A) => NoInfer<K>,
    second: (value: B) => NoInfer<K>,
    schema: Schema<K>,
  ): KeyedConnectedStreams<A, B, K>;
  keyBy<K>(
    first: (value: A) => K,
    second: (value: B) => K,
    schema?: Schema<K>,
  ): KeyedConnectedStreams<A, B, K> {
    return new KeyedConnectedStreams(
      new KeyedStream<A, K>(this.#first, keyBySelector(first, schema)),
      new KeyedStream<B, K>(this.#second, keyBySelector(second, schema)),
    );
  }
}

/** Two streams keyed alike: they share state and timers by key. */
export class KeyedConnectedStreams<A, B, K> {
  readonly #first: KeyedStream<A, K>;
  readonly #second: KeyedStream<B, K>;

  constructor(first: KeyedStream<A, K>, second: KeyedStream<B, K>) {
    this.#first = first;
    this.#second = second;
  }

  process<O, const S extends StateDeclaration = Record<never, never>>(
    process: KeyedCoProcessFunction<K, A, B, O, S>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    const user = process as unknown as KeyedCoProcessFunction<
      unknown,
      unknown,
      unknown,
      unknown,
      StateDeclaration
    >; // the graph feeds it A and B by K
    const keys = [this.#first.keyOf, this.#second.keyOf] as const;
    const { processElement1, processElement2, onTimer, state } = process;
    const waits = mayWait([processElement1, processElement2, onTimer], state);
    return addTwoInput(this.#first.stream.graph, {
      type: 'keyed-co-process',
      create: () =>
        waits
          ? new AsyncKeyedCoProcessOperator(user, keys)
          : new KeyedCoProcessOperator(user, keys),
      description: { key: this.#first.label, state: Object.keys(process.state ?? {}) },
      inputs: [...this.#first.inputs(1), ...this.#second.inputs(2)],
      schema,
      keySchema: sameKeySchema(this.#first, this.#second),
      keySelectors: keys as readonly KeySelector[],
    });
  }
}

/** A stream whose every record reaches every subtask, with the state it fills. */
export class BroadcastStream<B, BK, BV> {
  readonly stream: DataStream<B>;
  readonly descriptor: BroadcastDescriptor<BK, BV>;

  constructor(stream: DataStream<B>, descriptor: BroadcastDescriptor<BK, BV>) {
    this.stream = stream;
    this.descriptor = descriptor;
  }

  /** @internal */
  inputs(): readonly InputDraft[] {
    return this.stream
      .inputs(2)
      .map((draft) => ({ ...draft, partitioning: 'broadcast' as const, explicit: true }));
  }

  /** @internal What the operators work on. */
  get erased(): BroadcastDescriptor<unknown, unknown> {
    return this.descriptor;
  }
}

export class BroadcastConnectedStream<T, B, BK, BV> {
  readonly #stream: DataStream<T>;
  readonly #broadcast: BroadcastStream<B, BK, BV>;

  constructor(stream: DataStream<T>, broadcast: BroadcastStream<B, BK, BV>) {
    this.#stream = stream;
    this.#broadcast = broadcast;
  }

  process<O>(
    process: BroadcastProcessFunction<T, B, O, BK, BV>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    const user = process as unknown as BroadcastProcessFunction<
      unknown,
      unknown,
      unknown,
      unknown,
      unknown
    >; // the graph feeds it T and B
    const { erased } = this.#broadcast;
    return addTwoInput(this.#stream.graph, {
      type: 'broadcast-process',
      create: () => new BroadcastProcessOperator(user, erased),
      description: { broadcast: erased.name },
      inputs: [...this.#stream.inputs(1), ...this.#broadcast.inputs()],
      schema,
    });
  }
}

export class KeyedBroadcastConnectedStream<T, K, B, BK, BV> {
  readonly #stream: KeyedStream<T, K>;
  readonly #broadcast: BroadcastStream<B, BK, BV>;

  constructor(stream: KeyedStream<T, K>, broadcast: BroadcastStream<B, BK, BV>) {
    this.#stream = stream;
    this.#broadcast = broadcast;
  }

  process<O, const S extends StateDeclaration = Record<never, never>>(
    process: KeyedBroadcastProcessFunction<K, T, B, O, BK, BV, S>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    // The graph feeds it T by K, and B.
    const user = process as unknown as KeyedBroadcastProcessFunction<
      unknown,
      unknown,
      unknown,
      unknown,
      unknown,
      unknown,
      StateDeclaration
    >;
    const { erased } = this.#broadcast;
    const keyOf = this.#stream.keyOf;
    return addTwoInput(this.#stream.stream.graph, {
      type: 'keyed-broadcast-process',
      create: () => new KeyedBroadcastProcessOperator(user, erased, keyOf),
      description: {
        key: this.#stream.label,
        broadcast: erased.name,
        state: Object.keys(process.state ?? {}),
      },
      inputs: [...this.#stream.inputs(1), ...this.#broadcast.inputs()],
      schema,
      keySchema: this.#stream.keySchema,
      keySelectors: [keyOf as KeySelector],
    });
  }
}
