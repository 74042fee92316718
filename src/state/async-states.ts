/**
 * State that is read when it is asked for, as async functions hold it (`asyncState` declares it): reads are awaited, writes never wait.
 * Nothing of it is loaded ahead, unless the function's `prefetch` names it.
 */

/** Keys of map entries, in the order of their schema: numbers by value, texts by code units, tuples field by field. */
export interface KeyRange<K> {
  /** The first key, itself included. Default: from the start. */
  readonly from?: K;
  /** Where to stop, itself left out. Default: to the end. */
  readonly to?: K;
}

export interface AsyncValueState<T> {
  get(): Promise<T>;
  set(value: T): void;
  clear(): void;
}

/** One entry in the store: reading a part of it reads all of it. What grows without bound is a map. */
export interface AsyncListState<T> extends AsyncIterable<T> {
  get(): Promise<readonly T[]>;
  /** With TTL it reads first; otherwise it is done when it returns. */
  add(value: T): Promise<void>;
  addAll(values: Iterable<T>): Promise<void>;
  /** Replaces the whole list. */
  update(values: readonly T[]): void;
  clear(): void;
}

/** Entries are read one by one, or in order of their keys, a part at a time: the map may be larger than memory. */
export interface AsyncMapState<K, V> {
  get(key: K): Promise<V | undefined>;
  contains(key: K): Promise<boolean>;
  isEmpty(): Promise<boolean>;
  put(key: K, value: V): void;
  remove(key: K): void;
  keys(range?: KeyRange<K>): AsyncIterable<K>;
  values(range?: KeyRange<K>): AsyncIterable<V>;
  /** What the loop itself puts or removes ahead of it, it may meet or not. */
  entries(range?: KeyRange<K>): AsyncIterable<readonly [K, V]>;
  clear(): void;
}

export interface AsyncReducingState<T> {
  get(): Promise<T | undefined>;
  /** With TTL it reads first; otherwise it is done when it returns. */
  add(value: T): Promise<void>;
  clear(): void;
}

export interface AsyncAggregatingState<In, Out> {
  get(): Promise<Out | undefined>;
  /** With TTL, or with an aggregate that cannot merge, it reads first; otherwise it is done when it returns. */
  add(value: In): Promise<void>;
  clear(): void;
}
