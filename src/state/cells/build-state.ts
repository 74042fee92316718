/** From a descriptor to the state object that user code holds, TTL included. */
import { keyIdentity } from '../../types/key-codec.ts';
import type { Schema } from '../../types/schema.ts';
import { UserKeyOrder } from './user-key-order.ts';
import type { AggregateFunction, StateDescriptor } from '../descriptor.ts';
import {
  CellAggregatingState,
  CellListState,
  CellMapState,
  CellReducingState,
  CellValueState,
} from './keyed-states.ts';
import type { CellTable } from './cell-table.ts';
import { hasTtl } from './stored-value.ts';
import {
  type Fold,
  TtlFoldState,
  TtlListState,
  TtlMapState,
  TtlRule,
  TtlValueState,
} from './ttl-states.ts';

export interface StateParams {
  readonly table: CellTable;
  readonly descriptor: StateDescriptor;
  readonly identify: (namespace: unknown) => unknown;
  readonly wallMs: () => number;
}

export function buildState(params: StateParams): unknown {
  const { table, descriptor, identify } = params;
  if (hasTtl(descriptor)) return buildTtlState(params, new TtlRule(descriptor.ttl!, params.wallMs));
  switch (descriptor.kind) {
    case 'value':
      return new CellValueState(table, identify, descriptor.default);
    case 'list':
      return new CellListState(table, identify);
    case 'map':
      return new CellMapState(table, identify, userKeysOf(descriptor.keySchema));
    case 'reducing':
      return new CellReducingState(table, identify, descriptor.reduce);
    case 'aggregating':
      return new CellAggregatingState(table, identify, descriptor.aggregate);
  }
}

function buildTtlState({ table, descriptor, identify }: StateParams, rule: TtlRule): unknown {
  const stamped = (fallback?: unknown): TtlValueState =>
    new TtlValueState(new CellValueState(table, identify, undefined), rule, fallback);
  switch (descriptor.kind) {
    case 'value':
      return stamped(descriptor.default);
    case 'list':
      return new TtlListState(new CellListState(table, identify), rule);
    case 'map':
      return new TtlMapState(
        new CellMapState(table, identify, userKeysOf(descriptor.keySchema)),
        rule,
      );
    case 'reducing':
      return new TtlFoldState(stamped(), reducingFold(descriptor.reduce));
    case 'aggregating':
      return new TtlFoldState(stamped(), aggregatingFold(descriptor.aggregate));
  }
}

const userKeysOf = (schema: Schema<unknown>): ConstructorParameters<typeof CellMapState>[2] => {
  // Map state may have keys without an order as long as nobody reads it by ranges.
  let order: UserKeyOrder | undefined;
  return {
    identify: keyIdentity(schema),
    order: () => (order ??= new UserKeyOrder(schema)),
  };
};

const reducingFold = (reduce: (a: unknown, b: unknown) => unknown): Fold => ({
  add: (held, value) => (held === undefined ? value : reduce(held, value)),
  merge: reduce,
  result: (held) => held,
});

const aggregatingFold = (aggregate: AggregateFunction<unknown, unknown, unknown>): Fold => ({
  add: (held, value) => aggregate.add(value, held ?? aggregate.createAccumulator()),
  merge: (a, b) => aggregate.merge!(a, b),
  result: (held) => aggregate.getResult(held),
});
