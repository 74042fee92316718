/** States of an async function that are read by `await`: what is in memory is there at once, the rest comes with the next load. */
import type {
  AsyncAggregatingState,
  AsyncListState,
  AsyncMapState,
  AsyncReducingState,
  AsyncValueState,
  KeyRange,
} from '../state/async-states.ts';
import type {
  AggregatingState,
  ListState,
  MapState,
  ReducingState,
  ValueState,
} from '../state/descriptor.ts';
import type { Namespaced, UserEntry } from '../state/keyed-state-backend.ts';
import type { Owner, StateOfCall } from './bound-states.ts';

/** A call that can wait. */
export interface WaitingOwner extends Owner {
  /** Ends when `prepare` is true, which is asked with the call's key current, again after each load. */
  ready(state: string, prepare: () => boolean): Promise<void>;
  /** Waits for what the call itself has begun. */
  during<T>(state: string, work: Promise<T>): Promise<T>;
  readonly signal: AbortSignal;
}

type Inner<S> = S & Namespaced<unknown>;

class Awaited<S> {
  protected readonly owner: WaitingOwner;
  protected readonly name: string;
  readonly #inner: Inner<S>;

  constructor(owner: WaitingOwner, name: string, inner: Inner<S>) {
    this.owner = owner;
    this.name = name;
    this.#inner = inner;
  }

  protected get inner(): Inner<S> {
    this.owner.enter(this.name);
    return this.#inner;
  }

  /** Afterwards `inner` has to be asked for again: other calls have run meanwhile. */
  protected async whole(): Promise<void> {
    const { inner } = this;
    if (!inner.prepare()) await this.owner.ready(this.name, () => inner.prepare());
  }

  clear(): void {
    (this.inner as unknown as { clear(): void }).clear(); // all kinds have it
  }
}

class AwaitedValue extends Awaited<ValueState<unknown>> implements AsyncValueState<unknown> {
  async get(): Promise<unknown> {
    await this.whole();
    return this.inner.value;
  }

  set(value: unknown): void {
    this.inner.value = value;
  }
}

class AwaitedList extends Awaited<ListState<unknown>> implements AsyncListState<unknown> {
  async get(): Promise<readonly unknown[]> {
    await this.whole();
    return this.inner.get();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    yield* [...(await this.get())];
  }

  async add(value: unknown): Promise<void> {
    const { inner } = this;
    if (inner.prepareAdd()) {
      inner.add(value);
      return;
    }
    await this.whole();
    this.inner.add(value);
  }

  async addAll(values: Iterable<unknown>): Promise<void> {
    const all = [...values];
    const { inner } = this;
    if (inner.prepareAdd()) {
      inner.addAll(all);
      return;
    }
    await this.whole();
    this.inner.addAll(all);
  }

  update(values: readonly unknown[]): void {
    this.inner.update(values);
  }
}

type InnerMap = MapState<unknown, unknown>;

class AwaitedMap extends Awaited<InnerMap> implements AsyncMapState<unknown, unknown> {
  async get(key: unknown): Promise<unknown> {
    const { inner } = this;
    if (has(inner, key)) return inner.get(key);
    await this.#entry(inner, key);
    return this.inner.get(key);
  }

  async contains(key: unknown): Promise<boolean> {
    const { inner } = this;
    if (has(inner, key)) return inner.contains(key);
    await this.#entry(inner, key);
    return this.inner.contains(key);
  }

  async isEmpty(): Promise<boolean> {
    for await (const _ of this.entries()) return false;
    return true;
  }

  put(key: unknown, value: unknown): void {
    this.inner.put(key, value);
  }

  remove(key: unknown): void {
    this.inner.remove(key);
  }

  async *keys(range: KeyRange<unknown> = {}): AsyncGenerator<unknown> {
    for await (const [key] of this.entries(range)) yield key;
  }

  async *values(range: KeyRange<unknown> = {}): AsyncGenerator<unknown> {
    for await (const [, value] of this.entries(range)) yield value;
  }

  async *entries(range: KeyRange<unknown> = {}): AsyncGenerator<UserEntry> {
    const { owner, name } = this;
    const parts = this.inner.openRange!(range, owner.signal); // map states have it
    for (;;) {
      owner.enter(name);
      const loading = parts.load();
      if (loading !== undefined) await owner.during(name, loading);
      owner.enter(name);
      const part = parts.take();
      if (part === undefined) return;
      yield* part;
    }
  }

  #entry(inner: Inner<InnerMap>, key: unknown): Promise<void> {
    return this.owner.ready(this.name, () => has(inner, key));
  }
}

const has = (inner: Inner<InnerMap>, key: unknown): boolean => inner.prepareEntry?.(key) ?? true;

type Fold = ReducingState<unknown> & AggregatingState<unknown, unknown>;

class AwaitedFold
  extends Awaited<Fold>
  implements AsyncReducingState<unknown>, AsyncAggregatingState<unknown, unknown>
{
  async get(): Promise<unknown> {
    await this.whole();
    return this.inner.get();
  }

  async add(value: unknown): Promise<void> {
    const { inner } = this;
    if (inner.prepareAdd()) {
      inner.add(value);
      return;
    }
    await this.whole();
    this.inner.add(value);
  }
}

/** The state of a call that `asyncState` declares. */
export function awaitedState(owner: WaitingOwner, { name, kind, inner }: StateOfCall): unknown {
  // The backend made it of the kind that the descriptor names.
  switch (kind) {
    case 'value':
      return new AwaitedValue(owner, name, inner as Inner<ValueState<unknown>>);
    case 'list':
      return new AwaitedList(owner, name, inner as Inner<ListState<unknown>>);
    case 'map':
      return new AwaitedMap(owner, name, inner as Inner<InnerMap>);
    default:
      return new AwaitedFold(owner, name, inner as Inner<Fold>);
  }
}
