/** The five kinds of keyed state over a `CellTable`. */
import { MillraceError } from '../../base/errors.ts';
import type {
  AggregateFunction,
  AggregatingState,
  ListState,
  MapState,
  ReducingState,
  ValueState,
} from '../descriptor.ts';
import type { MapRange, Namespaced, UserKeyRange } from '../keyed-state-backend.ts';
import { MapInMemory, type UserKeyOrder } from './user-key-order.ts';
import type { CellTable } from './cell-table.ts';

/** What the kinds share: the table, the current namespace, and how two values of one key fold. */
class TableState<V> {
  protected readonly table: CellTable;
  readonly #identify: (namespace: unknown) => unknown;
  protected namespace: unknown = undefined;
  protected namespaceId: unknown = undefined;

  constructor(table: CellTable, identify: (namespace: unknown) => unknown) {
    this.table = table;
    this.#identify = identify;
  }

  /** @hot */
  get exists(): boolean {
    return this.table.find(this.namespaceId, this.namespace) !== undefined;
  }

  prepare(): boolean {
    return this.table.prepare(this.namespace, this.namespaceId);
  }

  prepareAdd(): boolean {
    return this.table.prepareAdd(this.namespace, this.namespaceId);
  }

  setNamespace(namespace: unknown): void {
    this.namespace = namespace;
    this.namespaceId = this.#identify(namespace);
  }

  clear(): void {
    this.table.remove(this.namespace, this.namespaceId);
  }

  mergeNamespaces(target: unknown, sources: readonly unknown[]): void {
    const found: V[] = [];
    for (const namespace of [target, ...sources]) {
      this.setNamespace(namespace);
      const cell = this.table.find(this.namespaceId, this.namespace);
      if (cell === undefined) continue;
      found.push(cell.value as V); // every value in this table was stored by this state
      if (namespace !== target) this.table.remove(this.namespace, this.namespaceId);
    }
    this.setNamespace(target);
    if (found.length > 0) this.store(found.reduce((a, b) => this.fold(a, b)));
  }

  protected load(): V | undefined {
    return this.table.find(this.namespaceId, this.namespace)?.value as V | undefined; // stored by this state
  }

  protected store(value: V): void {
    this.table.put(this.namespace, this.namespaceId, value);
  }

  protected fold(_a: V, _b: V): V {
    throw new MillraceError(
      'internal',
      'STATE_NOT_MERGEABLE',
      `state ${this.table.name} cannot merge namespaces; use list, reducing or aggregating state (with merge)`,
    );
  }
}

export class CellValueState
  extends TableState<unknown>
  implements ValueState<unknown>, Namespaced<unknown>
{
  readonly #fallback: unknown;

  constructor(table: CellTable, identify: (namespace: unknown) => unknown, fallback: unknown) {
    super(table, identify);
    this.#fallback = fallback;
  }

  /** @hot */
  get value(): unknown {
    const id = this.namespaceId;
    const cell = id === undefined ? this.table.findOnly() : this.table.find(id, this.namespace);
    return cell === undefined ? this.#fallback : cell.value;
  }

  /** @hot */
  set value(value: unknown) {
    if (value === undefined) {
      this.clear();
      return;
    }
    this.table.put(this.namespace, this.namespaceId, value);
  }
}

export class CellListState
  extends TableState<unknown[]>
  implements ListState<unknown>, Namespaced<unknown>
{
  get(): readonly unknown[] {
    return this.load() ?? EMPTY;
  }

  add(value: unknown): void {
    const cell = this.table.findForAdd(this.namespaceId, this.namespace);
    if (cell === undefined) {
      this.table.startFold(this.namespace, this.namespaceId, [value]);
      return;
    }
    this.table.touch(cell);
    (cell.value as unknown[]).push(value); // stored by this state
  }

  addAll(values: Iterable<unknown>): void {
    for (const value of values) this.add(value);
  }

  update(values: readonly unknown[]): void {
    if (values.length === 0) this.clear();
    else this.store([...values]);
  }

  protected override fold(a: unknown[], b: unknown[]): unknown[] {
    return [...a, ...b];
  }
}

const EMPTY: readonly unknown[] = Object.freeze([]);

export interface MapEntry {
  readonly key: unknown;
  value: unknown;
}

/** Entries by identity of the user key, so that composite keys compare by value. */
export class CellMapState
  extends TableState<Map<unknown, MapEntry>>
  implements MapState<unknown, unknown>, Namespaced<unknown>
{
  readonly #identifyKey: (key: unknown) => unknown;
  readonly #order: () => UserKeyOrder;

  constructor(
    table: CellTable,
    identify: (namespace: unknown) => unknown,
    userKeys: {
      readonly identify: (key: unknown) => unknown;
      readonly order: () => UserKeyOrder;
    },
  ) {
    super(table, identify);
    this.#identifyKey = userKeys.identify;
    this.#order = userKeys.order;
  }

  openRange(range: UserKeyRange): MapRange {
    const order = this.#order();
    return new MapInMemory(() => order.within(this.#snapshot(), order.boundsOf(range)));
  }

  get(key: unknown): unknown {
    return this.load()?.get(this.#identifyKey(key))?.value;
  }

  put(key: unknown, value: unknown): void {
    const cell = this.table.find(this.namespaceId, this.namespace);
    if (cell === undefined) {
      this.store(new Map([[this.#identifyKey(key), { key, value }]]));
      return;
    }
    this.table.touch(cell);
    const map = cell.value as Map<unknown, MapEntry>; // stored by this state
    const id = this.#identifyKey(key);
    const entry = map.get(id);
    if (entry === undefined) map.set(id, { key, value });
    else entry.value = value;
  }

  remove(key: unknown): void {
    const cell = this.table.find(this.namespaceId, this.namespace);
    if (cell === undefined) return;
    this.table.touch(cell);
    const map = cell.value as Map<unknown, MapEntry>; // stored by this state
    map.delete(this.#identifyKey(key));
    if (map.size === 0) this.clear();
  }

  contains(key: unknown): boolean {
    return this.load()?.has(this.#identifyKey(key)) ?? false;
  }

  isEmpty(): boolean {
    return this.load() === undefined;
  }

  *keys(): Iterable<unknown> {
    for (const { key } of this.#snapshot()) yield key;
  }

  *values(): Iterable<unknown> {
    for (const { value } of this.#snapshot()) yield value;
  }

  *entries(): Iterable<readonly [unknown, unknown]> {
    for (const { key, value } of this.#snapshot()) yield [key, value];
  }

  /** User code may put and remove, or move to another key, while it iterates. */
  #snapshot(): readonly MapEntry[] {
    return [...(this.load()?.values() ?? [])];
  }
}

export class CellReducingState
  extends TableState<unknown>
  implements ReducingState<unknown>, Namespaced<unknown>
{
  readonly #reduce: (a: unknown, b: unknown) => unknown;

  constructor(
    table: CellTable,
    identify: (namespace: unknown) => unknown,
    reduce: (a: unknown, b: unknown) => unknown,
  ) {
    super(table, identify);
    this.#reduce = reduce;
  }

  get(): unknown {
    return this.load();
  }

  /** @hot */
  add(value: unknown): void {
    const cell = this.table.findForAdd(this.namespaceId, this.namespace);
    if (cell === undefined) {
      this.table.startFold(this.namespace, this.namespaceId, value);
      return;
    }
    this.table.touch(cell);
    cell.value = this.#reduce(cell.value, value);
  }

  protected override fold(a: unknown, b: unknown): unknown {
    return this.#reduce(a, b);
  }
}

export class CellAggregatingState
  extends TableState<unknown>
  implements AggregatingState<unknown, unknown>, Namespaced<unknown>
{
  readonly #aggregate: AggregateFunction<unknown, unknown, unknown>;

  constructor(
    table: CellTable,
    identify: (namespace: unknown) => unknown,
    aggregate: AggregateFunction<unknown, unknown, unknown>,
  ) {
    super(table, identify);
    this.#aggregate = aggregate;
  }

  get(): unknown {
    const cell = this.table.find(this.namespaceId, this.namespace);
    return cell === undefined ? undefined : this.#aggregate.getResult(cell.value);
  }

  /** @hot The accumulator may be changed in place by `add`, hence the touch before it. */
  add(value: unknown): void {
    const cell = this.table.findForAdd(this.namespaceId, this.namespace);
    if (cell === undefined) {
      const started = this.#aggregate.add(value, this.#aggregate.createAccumulator());
      this.table.startFold(this.namespace, this.namespaceId, started);
      return;
    }
    this.table.touch(cell);
    cell.value = this.#aggregate.add(value, cell.value);
  }

  protected override fold(a: unknown, b: unknown): unknown {
    const { merge } = this.#aggregate;
    return merge === undefined ? super.fold(a, b) : merge.call(this.#aggregate, a, b);
  }
}
