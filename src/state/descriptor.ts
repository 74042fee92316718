/**
 * State descriptors: a state's name, kind, schemas and TTL, as given in user code. The stored form carries name and
 * schemas; the functions of reducing and aggregating state come from the program.
 */
import type { Schema } from '../types/schema.ts';
import type {
  AsyncAggregatingState,
  AsyncListState,
  AsyncMapState,
  AsyncReducingState,
  AsyncValueState,
} from './async-states.ts';

/** Time-to-live, by processing time, per entry for list and map state. Semantics are Flink's StateTtlConfig. */
export interface StateTtl {
  readonly ttlMs: number;
  /** Default 'on-create-and-write'. */
  readonly update?: 'on-create-and-write' | 'on-read-and-write' | 'disabled';
  /** Default 'never-return-expired'. */
  readonly visibility?: 'never-return-expired' | 'return-expired-if-not-cleaned-up';
}

export interface StateOptions {
  readonly ttl?: StateTtl;
}

export interface AggregateFunction<In, Acc, Out> {
  createAccumulator(): Acc;
  /** Returns the new accumulator; `acc` must not be used afterwards. */
  add(value: In, acc: Acc): Acc;
  getResult(acc: Acc): Out;
  /** Needed for merging windows and two-phase aggregation. */
  merge?(a: Acc, b: Acc): Acc;
}

export interface ValueStateDescriptor<T> extends StateOptions {
  readonly kind: 'value';
  readonly schema: Schema<T>;
  /** What `value` reads while nothing has been written. */
  readonly default?: T;
}
export interface ListStateDescriptor<T> extends StateOptions {
  readonly kind: 'list';
  readonly schema: Schema<T>;
}
export interface MapStateDescriptor<K, V> extends StateOptions {
  readonly kind: 'map';
  readonly keySchema: Schema<K>;
  readonly schema: Schema<V>;
}
export interface ReducingStateDescriptor<T> extends StateOptions {
  readonly kind: 'reducing';
  readonly schema: Schema<T>;
  /** A method, so that typed descriptors are assignable to the erased form. */
  reduce(a: T, b: T): T;
}
export interface AggregatingStateDescriptor<In, Acc, Out> extends StateOptions {
  readonly kind: 'aggregating';
  /** Of the accumulator. */
  readonly schema: Schema<Acc>;
  readonly aggregate: AggregateFunction<In, Acc, Out>;
}

// The erased form that backends work on; `never`/`unknown` keep it assignable from every typed descriptor.
export type StateDescriptor =
  | ValueStateDescriptor<unknown>
  | ListStateDescriptor<unknown>
  | MapStateDescriptor<unknown, unknown>
  | ReducingStateDescriptor<unknown>
  | AggregatingStateDescriptor<unknown, unknown, unknown>;

/** Reading and assigning `value` touches the state of the current key. Values are immutable: assign a new one. */
export interface ValueState<T> {
  value: T;
  clear(): void;
}
export interface ListState<T> {
  get(): readonly T[];
  add(value: T): void;
  addAll(values: Iterable<T>): void;
  /** Replaces the whole list. */
  update(values: readonly T[]): void;
  clear(): void;
}
export interface MapState<K, V> {
  get(key: K): V | undefined;
  put(key: K, value: V): void;
  remove(key: K): void;
  contains(key: K): boolean;
  isEmpty(): boolean;
  keys(): Iterable<K>;
  values(): Iterable<V>;
  entries(): Iterable<readonly [K, V]>;
  clear(): void;
}
export interface ReducingState<T> {
  get(): T | undefined;
  add(value: T): void;
  clear(): void;
}
export interface AggregatingState<In, Out> {
  get(): Out | undefined;
  add(value: In): void;
  clear(): void;
}

/** Mark of a descriptor whose state is awaited. */
export interface AsyncAccess {
  readonly access: 'async';
}

/**
 * Declares state that is read when it is asked for: `await state.clicks.get(page)`, `for await (const [page, n] of state.clicks.entries())`.
 * For process functions on keyed streams. It is stored like the same state without it: a program may change from one to the other.
 */
export function asyncState<const D extends StateDescriptor>(descriptor: D): D & AsyncAccess {
  return { ...descriptor, access: 'async' };
}

/** The state object a descriptor yields. */
export type StateOf<D> = D extends AsyncAccess ? AsyncStateOf<D> : SyncStateOf<D>;

type AsyncStateOf<D> =
  D extends ValueStateDescriptor<infer T>
    ? AsyncValueState<T>
    : D extends ListStateDescriptor<infer T>
      ? AsyncListState<T>
      : D extends MapStateDescriptor<infer K, infer V>
        ? AsyncMapState<K, V>
        : D extends ReducingStateDescriptor<infer T>
          ? AsyncReducingState<T>
          : D extends AggregatingStateDescriptor<infer In, infer _Acc, infer Out>
            ? AsyncAggregatingState<In, Out>
            : never;

/** What a backend holds of a descriptor, awaited or not. */
export type SyncStateOf<D> =
  D extends ValueStateDescriptor<infer T>
    ? ValueState<T>
    : D extends ListStateDescriptor<infer T>
      ? ListState<T>
      : D extends MapStateDescriptor<infer K, infer V>
        ? MapState<K, V>
        : D extends ReducingStateDescriptor<infer T>
          ? ReducingState<T>
          : D extends AggregatingStateDescriptor<infer In, infer _Acc, infer Out>
            ? AggregatingState<In, Out>
            : never;

export function valueState<T>(
  schema: Schema<T>,
  options: StateOptions & { default: T },
): ValueStateDescriptor<T>;
export function valueState<T>(
  schema: Schema<T>,
  options?: StateOptions,
): ValueStateDescriptor<T | undefined>;
export function valueState<T>(
  schema: Schema<T>,
  options: StateOptions & { default?: T } = {},
): ValueStateDescriptor<T> | ValueStateDescriptor<T | undefined> {
  return { kind: 'value', schema, ...options };
}
export function listState<T>(
  schema: Schema<T>,
  options: StateOptions = {},
): ListStateDescriptor<T> {
  return { kind: 'list', schema, ...options };
}
export function mapState<K, V>(
  keySchema: Schema<K>,
  schema: Schema<V>,
  options: StateOptions = {},
): MapStateDescriptor<K, V> {
  return { kind: 'map', keySchema, schema, ...options };
}
export function reducingState<T>(
  schema: Schema<T>,
  reduce: (a: T, b: T) => T,
  options: StateOptions = {},
): ReducingStateDescriptor<T> {
  return { kind: 'reducing', schema, reduce, ...options };
}
export function aggregatingState<In, Acc, Out>(
  schema: Schema<Acc>,
  aggregate: AggregateFunction<In, Acc, Out>,
  options: StateOptions = {},
): AggregatingStateDescriptor<In, Acc, Out> {
  return { kind: 'aggregating', schema, aggregate, ...options };
}
