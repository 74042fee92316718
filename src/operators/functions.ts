/**
 * The functions users write. All are called on the task's thread, one at a time; a context object is valid only during the call it is
 * given to.
 */
import type { MapStateDescriptor, StateDescriptor, StateOf } from '../state/descriptor.ts';
import type { ReadOnlyBroadcastState, BroadcastState } from '../state/operator-state.ts';
import type { Schema } from '../types/schema.ts';
import type { OutputTag } from './output-tag.ts';

export interface Collector<O> {
  /** Emits a record with the timestamp of the record (or timer) being processed. */
  collect(value: O): void;
}

export type MapFunction<I, O> = (value: I) => O;
export type FilterFunction<I> = (value: I) => boolean;
export type FlatMapFunction<I, O> = (value: I) => Iterable<O>;
export type ReduceFunction<T> = (a: T, b: T) => T;

/** States by name, as descriptors: what a function declares. */
export type StateDeclaration = Readonly<Record<string, StateDescriptor>>;
/** The same names with the state objects of the current key. */
export type DeclaredState<S> = { readonly [N in keyof S]: StateOf<S[N]> };

/**
 * By name of a map state, the entries of it that a value needs: they are loaded with the batch that the value is in, instead of the whole
 * map. Other entries of that map may be read only if it is declared by `asyncState`.
 */
export type Prefetch<V, S> = {
  readonly [N in keyof S as S[N] extends { readonly kind: 'map' } ? N : never]?: (
    value: V,
  ) => Iterable<S[N] extends MapStateDescriptor<infer UK, infer _UV> ? UK : never>;
};

export interface FunctionContext {
  /** Of the record or timer; NO_TIMESTAMP (-Infinity) for a record without one. */
  readonly timestamp: number;
  readonly currentWatermark: number;
  /** Epoch milliseconds. */
  readonly currentProcessingTime: number;
  /** Emits to a side output. */
  output<T>(tag: OutputTag<T>, value: T): void;
}

export interface TimerService {
  readonly currentWatermark: number;
  /** Epoch milliseconds. */
  readonly currentProcessingTime: number;
  /** Fires for the current key when the watermark reaches `timestamp`; at most once per key and timestamp. */
  registerEventTimeTimer(timestamp: number): void;
  deleteEventTimeTimer(timestamp: number): void;
  registerProcessingTimeTimer(timestamp: number): void;
  deleteProcessingTimeTimer(timestamp: number): void;
}

export interface KeyedContext<K, S> extends FunctionContext {
  readonly key: K;
  readonly state: DeclaredState<S>;
  readonly timers: TimerService;
}

export interface OnTimerContext<K, S> extends KeyedContext<K, S> {
  readonly timeDomain: 'event-time' | 'processing-time';
}

export interface ProcessFunction<I, O> {
  open?(): void;
  processElement(value: I, context: FunctionContext, out: Collector<O>): void;
  close?(): void;
}

/**
 * A function with state and timers by key. `processElement` and `onTimer` may be `async`: then other keys go on while one waits, the
 * records and timers of its own key follow one by one, and what it collects leaves when it has ended. What it reads by `await` is declared
 * with `asyncState`; anything else may be awaited too.
 */
export interface KeyedProcessFunction<K, I, O, S extends StateDeclaration = Record<never, never>> {
  /** The keyed states this function uses. */
  readonly state?: S;
  /** Entries of maps that processing a record reads. Default: maps are loaded whole. */
  readonly prefetch?: Prefetch<I, S>;
  /** The same for a timer, by its timestamp. */
  readonly prefetchOnTimer?: Prefetch<number, S>;
  open?(): void;
  processElement(value: I, context: KeyedContext<K, S>, out: Collector<O>): void | Promise<void>;
  onTimer?(
    timestamp: number,
    context: OnTimerContext<K, S>,
    out: Collector<O>,
  ): void | Promise<void>;
  close?(): void;
}

export interface CoProcessFunction<A, B, O> {
  open?(): void;
  processElement1(value: A, context: FunctionContext, out: Collector<O>): void;
  processElement2(value: B, context: FunctionContext, out: Collector<O>): void;
  close?(): void;
}

/** Two keyed inputs that share state and timers. May be `async` as a KeyedProcessFunction may. */
export interface KeyedCoProcessFunction<
  K,
  A,
  B,
  O,
  S extends StateDeclaration = Record<never, never>,
> {
  readonly state?: S;
  /** As of a KeyedProcessFunction, for each input. */
  readonly prefetch1?: Prefetch<A, S>;
  readonly prefetch2?: Prefetch<B, S>;
  readonly prefetchOnTimer?: Prefetch<number, S>;
  open?(): void;
  processElement1(value: A, context: KeyedContext<K, S>, out: Collector<O>): void | Promise<void>;
  processElement2(value: B, context: KeyedContext<K, S>, out: Collector<O>): void | Promise<void>;
  onTimer?(
    timestamp: number,
    context: OnTimerContext<K, S>,
    out: Collector<O>,
  ): void | Promise<void>;
  close?(): void;
}

/** A map that every subtask holds; written by the broadcast side only. */
export interface BroadcastDescriptor<BK, BV> {
  readonly name: string;
  readonly keySchema: Schema<BK>;
  readonly valueSchema: Schema<BV>;
}

export interface BroadcastSideContext<BK, BV> extends FunctionContext {
  readonly broadcast: BroadcastState<BK, BV>;
}

export interface BroadcastProcessFunction<I, B, O, BK, BV> {
  open?(): void;
  processElement(
    value: I,
    context: FunctionContext & { readonly broadcast: ReadOnlyBroadcastState<BK, BV> },
    out: Collector<O>,
  ): void;
  /** Must do the same in every subtask: the broadcast state has to stay equal. */
  processBroadcastElement(value: B, context: BroadcastSideContext<BK, BV>, out: Collector<O>): void;
  close?(): void;
}

export interface KeyedBroadcastProcessFunction<
  K,
  I,
  B,
  O,
  BK,
  BV,
  S extends StateDeclaration = Record<never, never>,
> {
  readonly state?: S;
  open?(): void;
  processElement(
    value: I,
    context: KeyedContext<K, S> & { readonly broadcast: ReadOnlyBroadcastState<BK, BV> },
    out: Collector<O>,
  ): void;
  processBroadcastElement(
    value: B,
    context: BroadcastSideContext<BK, BV> & {
      /** Visits every key of this subtask that holds a value in the named state; `context.state` then refers to that key. */
      applyToKeyedState(
        name: keyof S & string,
        visit: (key: K, state: DeclaredState<S>) => void,
      ): void;
    },
    out: Collector<O>,
  ): void;
  onTimer?(
    timestamp: number,
    context: OnTimerContext<K, S> & { readonly broadcast: ReadOnlyBroadcastState<BK, BV> },
    out: Collector<O>,
  ): void;
  close?(): void;
}

export interface ProcessJoinFunction<A, B, O> {
  processElement(
    left: A,
    right: B,
    context: FunctionContext & { readonly leftTimestamp: number; readonly rightTimestamp: number },
    out: Collector<O>,
  ): void;
}

/** Returns the results for one record; `signal` is aborted on timeout and cancellation. */
export type AsyncFunction<I, O> = (value: I, signal: AbortSignal) => Promise<Iterable<O>>;
