/**
 * Non-keyed state of one operator in one subtask: split lists, union lists, broadcast maps.
 *
 * The store is a plain in-memory structure on every backend: it is small by nature (source positions, committables).
 */
import type { Schema } from '../types/schema.ts';
import type { OperatorStateHandle, SnapshotReader, SnapshotWriter } from './snapshot.ts';

export interface OperatorListState<T> {
  get(): readonly T[];
  add(value: T): void;
  update(values: readonly T[]): void;
  clear(): void;
}

export interface BroadcastState<K, V> extends ReadOnlyBroadcastState<K, V> {
  put(key: K, value: V): void;
  remove(key: K): void;
  clear(): void;
}

export interface ReadOnlyBroadcastState<K, V> {
  get(key: K): V | undefined;
  contains(key: K): boolean;
  entries(): Iterable<readonly [K, V]>;
}

export interface OperatorStateStore {
  /** On restore at any parallelism the entries of all subtasks are dealt out round robin. */
  getListState<T>(name: string, schema: Schema<T>): OperatorListState<T>;
  /** On restore every subtask gets the entries of all. */
  getUnionListState<T>(name: string, schema: Schema<T>): OperatorListState<T>;
  getBroadcastState<K, V>(
    name: string,
    keySchema: Schema<K>,
    valueSchema: Schema<V>,
  ): BroadcastState<K, V>;
}

/** The store as its owner, the task, sees it. */
export interface OperatorStateBackend extends OperatorStateStore {
  /** Encodes now; `write` only stores. Undefined when no state is registered. */
  snapshot(): { write(writer: SnapshotWriter): Promise<OperatorStateHandle> } | undefined;
}

export interface OperatorBackendParams {
  readonly operatorId: string;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  /** Handles of all old subtasks of this operator, in subtask order: the backend picks its share. */
  readonly restore: readonly OperatorStateHandle[];
  readonly reader: SnapshotReader;
}
