/** What one entry of a state is to who reads or writes it, typed by its descriptor. */
import type {
  AggregatingStateDescriptor,
  ListStateDescriptor,
  MapStateDescriptor,
  ReducingStateDescriptor,
  StateDescriptor,
  ValueStateDescriptor,
} from '../../state/descriptor.ts';
import type { Schema } from '../../types/schema.ts';

/** Of a value or reducing state its value, of a list all of it, of a map one entry's value, of an aggregating state the accumulator. */
export type ValueOf<D> =
  D extends ValueStateDescriptor<infer T>
    ? Exclude<T, undefined>
    : D extends ListStateDescriptor<infer T>
      ? readonly T[]
      : D extends MapStateDescriptor<infer _K, infer V>
        ? V
        : D extends ReducingStateDescriptor<infer T>
          ? T
          : D extends AggregatingStateDescriptor<infer _In, infer Acc, infer _Out>
            ? Acc
            : never;

export interface StateEntry<K, V, N = undefined> {
  readonly key: K;
  readonly value: V;
  /** A window, for instance; undefined for none. */
  readonly namespace: N;
}

/** An entry of a map has the map's key besides. */
export type EntryOf<K, D, N = undefined> = StateEntry<K, ValueOf<D>, N> &
  (D extends MapStateDescriptor<infer MK, infer _V> ? { readonly mapKey: MK } : unknown);

/** Which state: the schemas of its key and namespace, and its descriptor, as the program declares it. */
export interface StateSpec<K, D extends StateDescriptor, N = undefined> {
  readonly key: Schema<K>;
  readonly state: D;
  /** Absent: none. */
  readonly namespace?: Schema<N>;
}
