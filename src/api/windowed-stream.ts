/** A keyed stream cut into windows, waiting for what to compute. */
import { type Duration, durationMs } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import type { ReduceFunction, StateDeclaration } from '../operators/functions.ts';
import type { OutputTag } from '../operators/output-tag.ts';
import type { AnyWindowAssigner } from '../operators/window/assigner.ts';
import { createWindowOperator } from '../operators/window/create-window-operator.ts';
import type { Evictor } from '../operators/window/evictor.ts';
import type { AnyTrigger, Trigger } from '../operators/window/trigger.ts';
import type {
  AnyProcessWindowFunction,
  ProcessWindowFunction,
  WindowContent,
  WindowFunction,
} from '../operators/window/window-function.ts';
import { GLOBAL_WINDOW, type Window } from '../operators/window/window.ts';
import type { AggregateFunction } from '../state/descriptor.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import type { SingleOutputStreamOperator } from './data-stream.ts';
import type { KeyedStream } from './keyed-stream.ts';
import type { NumericField } from './keying.ts';
import { largest, largestBy, smallest, smallestBy, summing } from './rolling.ts';

/** How an aggregate is stored and sent. */
export interface StoredAggregate<Acc, Out> {
  /** Absent: generic, which state refuses unless `pipeline.generic-types` allows it. */
  readonly accumulatorSchema?: Schema<Acc>;
  /** Of the results, where they leave as they are. */
  readonly resultSchema?: Schema<Out>;
}

/** An aggregate that says how its accumulator is stored. */
export interface WindowAggregate<In, Acc, Out>
  extends AggregateFunction<In, Acc, Out>, StoredAggregate<Acc, Out> {}

export class WindowedStream<T, K, W extends Window> {
  readonly #keyed: KeyedStream<T, K>;
  readonly #assigner: AnyWindowAssigner;
  #trigger: AnyTrigger;
  #evictor: Evictor<unknown> | undefined;
  #allowedLatenessMs = 0;
  #lateTag: OutputTag<unknown> | undefined;

  constructor(keyed: KeyedStream<T, K>, assigner: AnyWindowAssigner) {
    this.#keyed = keyed;
    this.#assigner = assigner;
    this.#trigger = assigner.defaultTrigger;
  }

  /** Replaces the assigner's default trigger. */
  trigger<S extends StateDeclaration>(
    trigger: Trigger<T, W, S> | Trigger<unknown, Window, S>,
  ): this {
    this.#trigger = trigger as unknown as AnyTrigger; // sees records of type T and windows of type W only
    return this;
  }

  /** Keeps the elements and takes some out before or after the function runs. */
  evictor(evictor: Evictor<T>): this {
    this.#evictor = evictor as unknown as Evictor<unknown>; // sees records of type T only
    return this;
  }

  /** How long after its end a window is kept for late records; each of them fires it again. */
  allowedLateness(lateness: Duration): this {
    this.#allowedLatenessMs = durationMs(lateness);
    if (this.#allowedLatenessMs < 0)
      throw invalid('BAD_DURATION', 'allowedLateness is not negative');
    return this;
  }

  /** Where records go that are too late for all their windows, instead of being dropped. */
  sideOutputLateData(tag: OutputTag<T>): this {
    this.#lateTag = tag as OutputTag<unknown>;
    return this;
  }

  /** Folds the records of a window as they come. With a window function, it sees the one result. */
  reduce(reduce: ReduceFunction<T>): SingleOutputStreamOperator<T>;
  reduce<O>(
    reduce: ReduceFunction<T>,
    window: WindowFunction<K, T, O, W>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O>;
  reduce<
    O,
    const WS extends StateDeclaration = Record<never, never>,
    const GS extends StateDeclaration = Record<never, never>,
  >(
    reduce: ReduceFunction<T>,
    window: ProcessWindowFunction<K, T, O, W, WS, GS>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O>;
  reduce(reduce: ReduceFunction<T>, window?: unknown, schema?: Schema<unknown>): unknown {
    const content: WindowContent = {
      kind: 'reduce',
      schema: this.#elementSchema(),
      reduce: reduce as ReduceFunction<unknown>,
    };
    return this.#apply(content, window, window === undefined ? this.#keyed.schema : schema);
  }

  /** Folds the records of a window into an accumulator as they come. With a window function, it sees the one result. */
  aggregate<Acc, R>(aggregate: WindowAggregate<T, Acc, R>): SingleOutputStreamOperator<R>;
  aggregate<Acc, R, O>(
    aggregate: WindowAggregate<T, Acc, R>,
    window: WindowFunction<K, R, O, W>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O>;
  aggregate<
    Acc,
    R,
    O,
    const WS extends StateDeclaration = Record<never, never>,
    const GS extends StateDeclaration = Record<never, never>,
  >(
    aggregate: WindowAggregate<T, Acc, R>,
    window: ProcessWindowFunction<K, R, O, W, WS, GS>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O>;
  aggregate<Acc, R>(
    aggregate: WindowAggregate<T, Acc, R>,
    window?: unknown,
    schema?: Schema<unknown>,
  ): unknown {
    const content: WindowContent = {
      kind: 'aggregate',
      schema: aggregate.accumulatorSchema ?? t.generic(),
      aggregate: aggregate as unknown as AggregateFunction<unknown, unknown, unknown>, // fed records of type T only
    };
    return this.#apply(content, window, window === undefined ? aggregate.resultSchema : schema);
  }

  /** The sum of a numeric field; the other fields are those of the window's first record. */
  sum<F extends NumericField<T>>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(summing<T>(field)).name('sum');
  }

  /** The smallest value of a field; the other fields are those of the window's first record. */
  min<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(smallest<T>(field)).name('min');
  }

  max<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(largest<T>(field)).name('max');
  }

  /** The record with the smallest value of a field; the first of equals. */
  minBy<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(smallestBy<T>(field)).name('minBy');
  }

  maxBy<F extends keyof T & string>(field: F): SingleOutputStreamOperator<T> {
    return this.reduce(largestBy<T>(field)).name('maxBy');
  }

  /** Sees all records of a window at once, when it fires. */
  process<
    O,
    const WS extends StateDeclaration = Record<never, never>,
    const GS extends StateDeclaration = Record<never, never>,
  >(
    process: ProcessWindowFunction<K, T, O, W, WS, GS>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    return this.#apply({ kind: 'list', schema: this.#elementSchema() }, process, schema);
  }

  /** The short form of `process`. */
  apply<O>(
    window: WindowFunction<K, readonly T[], O, W>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    return this.#apply({ kind: 'list', schema: this.#elementSchema() }, window, schema);
  }

  #apply<O>(
    given: WindowContent,
    window: unknown,
    schema: Schema<unknown> | undefined,
  ): SingleOutputStreamOperator<O> {
    const evictor = this.#evictor;
    // An evictor works on elements: they are kept, and folded when the window fires.
    const content: WindowContent =
      evictor === undefined ? given : { kind: 'list', schema: this.#elementSchema() };
    const user = toProcessFunction(window, given.kind);
    const params = {
      assigner: this.#assigner,
      trigger: this.#trigger,
      content,
      window: evictor === undefined || given.kind === 'list' ? user : foldThen(given, user),
      keyOf: this.#keyed.keyOf,
      allowedLatenessMs: this.#allowedLatenessMs,
      ...(evictor === undefined ? {} : { evictor }),
      ...(this.#lateTag === undefined ? {} : { lateTag: this.#lateTag }),
    };
    if (this.#assigner.merges === true && this.#trigger.onMerge === undefined) {
      throw invalid(
        'TRIGGER_CANNOT_MERGE',
        `${this.#assigner.description} windows merge; their trigger needs onMerge`,
      );
    }
    return this.#keyed.transform('window', () => createWindowOperator(params), {
      schema: schema as Schema<O> | undefined, // the overloads tie the schema to the result
      description: {
        window: this.#assigner.description,
        keeps: content.kind,
        ...(this.#allowedLatenessMs === 0 ? {} : { lateness: `${this.#allowedLatenessMs} ms` }),
      },
      ...(this.#needsEventTime() ? { eventTime: 'needs' } : {}),
    });
  }

  /** Global windows are of all time; their trigger says when they fire. */
  #needsEventTime(): boolean {
    return this.#assigner.isEventTime && this.#assigner.windows !== GLOBAL_WINDOW;
  }

  #elementSchema(): Schema<unknown> {
    return this.#keyed.schema ?? t.generic();
  }
}

function toProcessFunction(window: unknown, kind: WindowContent['kind']): AnyProcessWindowFunction {
  if (window === undefined)
    return { process: (_key, _context, elements, out) => out.collect(elements[0]) };
  if (typeof window !== 'function') return window as AnyProcessWindowFunction; // the overloads admit the two forms only
  const short = window as WindowFunction<unknown, unknown, unknown>;
  return kind === 'list'
    ? {
        process: (key, { window: current }, elements, out) =>
          out.collect(short(key, current, elements)),
      }
    : {
        process: (key, { window: current }, elements, out) =>
          out.collect(short(key, current, elements[0])),
      };
}

function foldThen(
  content: WindowContent,
  next: AnyProcessWindowFunction,
): AnyProcessWindowFunction {
  const fold = (elements: readonly unknown[]): unknown => {
    if (content.kind === 'reduce') return elements.reduce((a, b) => content.reduce(a, b));
    if (content.kind === 'list') return elements;
    let accumulator = content.aggregate.createAccumulator();
    for (const element of elements) accumulator = content.aggregate.add(element, accumulator);
    return content.aggregate.getResult(accumulator);
  };
  return {
    ...next,
    process: (key, context, elements, out) => {
      if (elements.length > 0) next.process(key, context, [fold(elements)], out);
    },
  };
}
