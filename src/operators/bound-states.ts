/**
 * States as an async function holds them: each belongs to one call of the function, and sets that call's key before it touches anything,
 * since other calls run while this one waits. What was loaded before the call began stays in memory until it has ended.
 */
import type {
  AggregatingState,
  ListState,
  MapState,
  ReducingState,
  StateDescriptor,
  ValueState,
} from '../state/descriptor.ts';

/** The call that a state belongs to. */
export interface Owner {
  /** Makes the call's key current. @throws `invalid` STATE_AFTER_RECORD when the call has ended */
  enter(state: string): void;
}

class Bound<S> {
  protected readonly owner: Owner;
  protected readonly name: string;
  readonly #inner: S;

  constructor(owner: Owner, name: string, inner: S) {
    this.owner = owner;
    this.name = name;
    this.#inner = inner;
  }

  protected get inner(): S {
    this.owner.enter(this.name);
    return this.#inner;
  }
}

class BoundValue extends Bound<ValueState<unknown>> implements ValueState<unknown> {
  get value(): unknown {
    return this.inner.value;
  }

  set value(value: unknown) {
    this.inner.value = value;
  }

  clear(): void {
    this.inner.clear();
  }
}

class BoundList extends Bound<ListState<unknown>> implements ListState<unknown> {
  get(): readonly unknown[] {
    return this.inner.get();
  }

  add(value: unknown): void {
    this.inner.add(value);
  }

  addAll(values: Iterable<unknown>): void {
    this.inner.addAll(values);
  }

  update(values: readonly unknown[]): void {
    this.inner.update(values);
  }

  clear(): void {
    this.inner.clear();
  }
}

class BoundMap extends Bound<MapState<unknown, unknown>> implements MapState<unknown, unknown> {
  get(key: unknown): unknown {
    return this.inner.get(key);
  }

  put(key: unknown, value: unknown): void {
    this.inner.put(key, value);
  }

  remove(key: unknown): void {
    this.inner.remove(key);
  }

  contains(key: unknown): boolean {
    return this.inner.contains(key);
  }

  isEmpty(): boolean {
    return this.inner.isEmpty();
  }

  // Taken at once: a loop over them may await.
  keys(): Iterable<unknown> {
    return [...this.inner.keys()];
  }

  values(): Iterable<unknown> {
    return [...this.inner.values()];
  }

  entries(): Iterable<readonly [unknown, unknown]> {
    return [...this.inner.entries()];
  }

  clear(): void {
    this.inner.clear();
  }
}

type Fold = ReducingState<unknown> & AggregatingState<unknown, unknown>;

class BoundFold extends Bound<Fold> implements ReducingState<unknown> {
  get(): unknown {
    return this.inner.get();
  }

  add(value: unknown): void {
    this.inner.add(value);
  }

  clear(): void {
    this.inner.clear();
  }
}

export interface StateOfCall {
  readonly name: string;
  readonly kind: StateDescriptor['kind'];
  /** Of that kind, by the backend. */
  readonly inner: unknown;
}

/** The state of a call, read without waiting. */
export function boundState(owner: Owner, { name, kind, inner }: StateOfCall): unknown {
  // The backend made it of the kind that the descriptor names.
  switch (kind) {
    case 'value':
      return new BoundValue(owner, name, inner as ValueState<unknown>);
    case 'list':
      return new BoundList(owner, name, inner as ListState<unknown>);
    case 'map':
      return new BoundMap(owner, name, inner as MapState<unknown, unknown>);
    default:
      return new BoundFold(owner, name, inner as Fold);
  }
}
