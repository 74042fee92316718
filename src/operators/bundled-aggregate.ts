/** Aggregations as bundles of records: of single records, or of what a local phase has folded already. */
import {
  type AggregateFunction,
  aggregatingState,
  type AggregatingStateDescriptor,
  type ReducingStateDescriptor,
  reducingState,
} from '../state/descriptor.ts';
import type { Schema } from '../types/schema.ts';
import type { PartialResult } from './local-aggregate-operator.ts';
import type { BundleFunction } from './mini-batch-operator.ts';

type AnyAggregate = AggregateFunction<unknown, unknown, unknown>;
/** Only records count: accumulators may be folded already. */
type Aggregated = { total: AggregatingStateDescriptor<unknown, unknown, unknown> };
type Reduced = { total: ReducingStateDescriptor<unknown> };

export const bundledAggregate = (
  aggregate: AnyAggregate,
  schema: Schema<unknown>,
): BundleFunction<Aggregated> => ({
  state: { total: aggregatingState(schema, aggregate) },
  added: 'total',
  add: (state, value) => state.total.add(value),
  emit: (state, out) => out.collect(state.total.get()),
});

export const bundledReduce = (
  reduce: (a: unknown, b: unknown) => unknown,
  schema: Schema<unknown>,
): BundleFunction<Reduced> => ({
  state: { total: reducingState(schema, reduce) },
  added: 'total',
  add: (state, value) => state.total.add(value),
  emit: (state, out) => out.collect(state.total.get()),
});

/** The second phase: takes accumulators for records. */
export function mergingAggregate(aggregate: AnyAggregate): AnyAggregate {
  const merge = (a: unknown, b: unknown): unknown => aggregate.merge!(a, b); // the caller has checked
  return {
    createAccumulator: () => aggregate.createAccumulator(),
    add: (partial, accumulator) =>
      merge(accumulator, (partial as PartialResult<unknown>).accumulator), // what the first phase emits
    getResult: (accumulator) => aggregate.getResult(accumulator),
    merge,
  };
}

/** A reduction as an aggregate, for the first phase and the second: nothing is undefined until there is a record. */
export const reducingAggregate = (reduce: (a: unknown, b: unknown) => unknown): AnyAggregate => {
  const fold = (a: unknown, b: unknown): unknown => {
    if (a === undefined) return b;
    return b === undefined ? a : reduce(a, b);
  };
  return {
    createAccumulator: () => undefined,
    add: (value, accumulator) => fold(accumulator, value),
    getResult: (accumulator) => accumulator,
    merge: fold,
  };
};
