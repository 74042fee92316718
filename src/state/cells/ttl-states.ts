/**
 * Time-to-live around keyed states: values are stored with the time of their last (relevant) access and hidden, then removed,
 * once that is `ttlMs` ago. Lists and maps expire entry by entry. Semantics: Flink's StateTtlConfig.
 */
import type { ListState, MapState, StateTtl, ValueState } from '../descriptor.ts';
import type { MapRange, Namespaced, UserEntry, UserKeyRange } from '../keyed-state-backend.ts';

/** How a value with TTL is stored. */
export interface Stamped {
  readonly value: unknown;
  readonly touchedMs: number;
}

export class TtlRule {
  readonly #ttl: StateTtl;
  readonly #wallMs: () => number;

  constructor(ttl: StateTtl, wallMs: () => number) {
    this.#ttl = ttl;
    this.#wallMs = wallMs;
  }

  stamp(value: unknown): Stamped {
    return { value, touchedMs: this.#wallMs() };
  }

  expired(stamped: Stamped): boolean {
    return this.#wallMs() - stamped.touchedMs >= this.#ttl.ttlMs;
  }

  /** An expired value that is still there may be shown, if the user wants that. */
  get showsExpired(): boolean {
    return this.#ttl.visibility === 'return-expired-if-not-cleaned-up';
  }

  get refreshesOnRead(): boolean {
    return this.#ttl.update === 'on-read-and-write';
  }
}

export class TtlValueState implements ValueState<unknown>, Namespaced<unknown> {
  readonly #inner: ValueState<unknown> & Namespaced<unknown>;
  readonly #rule: TtlRule;
  readonly #fallback: unknown;

  constructor(inner: ValueState<unknown> & Namespaced<unknown>, rule: TtlRule, fallback: unknown) {
    this.#inner = inner;
    this.#rule = rule;
    this.#fallback = fallback;
  }

  get value(): unknown {
    const stamped = this.#inner.value as Stamped | undefined; // only this class writes to inner
    if (stamped === undefined) return this.#fallback;
    if (this.#rule.expired(stamped)) {
      this.#inner.clear();
      return this.#rule.showsExpired ? stamped.value : this.#fallback;
    }
    if (this.#rule.refreshesOnRead) this.#inner.value = this.#rule.stamp(stamped.value);
    return stamped.value;
  }

  set value(value: unknown) {
    this.#inner.value = value === undefined ? undefined : this.#rule.stamp(value);
  }

  clear(): void {
    this.#inner.clear();
  }

  get exists(): boolean {
    return this.#inner.exists;
  }

  prepare(): boolean {
    return this.#inner.prepare();
  }

  prepareAdd(): boolean {
    return this.#inner.prepareAdd();
  }

  setNamespace(namespace: unknown): void {
    this.#inner.setNamespace(namespace);
  }

  mergeNamespaces(target: unknown, sources: readonly unknown[]): void {
    this.#inner.mergeNamespaces(target, sources);
  }
}

export class TtlListState implements ListState<unknown>, Namespaced<unknown> {
  readonly #inner: ListState<unknown> & Namespaced<unknown>;
  readonly #rule: TtlRule;

  constructor(inner: ListState<unknown> & Namespaced<unknown>, rule: TtlRule) {
    this.#inner = inner;
    this.#rule = rule;
  }

  get(): readonly unknown[] {
    const all = this.#inner.get() as readonly Stamped[]; // only this class writes to inner
    const alive = all.filter((stamped) => !this.#rule.expired(stamped));
    const shown = this.#rule.showsExpired ? all : alive;
    if (this.#rule.refreshesOnRead && alive.length > 0)
      this.#inner.update(alive.map(({ value }) => this.#rule.stamp(value)));
    else if (alive.length < all.length) this.#inner.update(alive);
    return shown.map(({ value }) => value);
  }

  add(value: unknown): void {
    this.#inner.add(this.#rule.stamp(value));
  }

  addAll(values: Iterable<unknown>): void {
    for (const value of values) this.add(value);
  }

  update(values: readonly unknown[]): void {
    this.#inner.update(values.map((value) => this.#rule.stamp(value)));
  }

  clear(): void {
    this.#inner.clear();
  }

  get exists(): boolean {
    return this.#inner.exists;
  }

  prepare(): boolean {
    return this.#inner.prepare();
  }

  prepareAdd(): boolean {
    return this.#inner.prepareAdd();
  }

  setNamespace(namespace: unknown): void {
    this.#inner.setNamespace(namespace);
  }

  mergeNamespaces(target: unknown, sources: readonly unknown[]): void {
    this.#inner.mergeNamespaces(target, sources);
  }
}

export class TtlMapState implements MapState<unknown, unknown>, Namespaced<unknown> {
  readonly #inner: MapState<unknown, unknown> & Namespaced<unknown>;
  readonly #rule: TtlRule;

  constructor(inner: MapState<unknown, unknown> & Namespaced<unknown>, rule: TtlRule) {
    this.#inner = inner;
    this.#rule = rule;
  }

  get(key: unknown): unknown {
    const stamped = this.#inner.get(key) as Stamped | undefined; // only this class writes to inner
    if (stamped === undefined) return undefined;
    if (this.#rule.expired(stamped)) {
      this.#inner.remove(key);
      return this.#rule.showsExpired ? stamped.value : undefined;
    }
    if (this.#rule.refreshesOnRead) this.#inner.put(key, this.#rule.stamp(stamped.value));
    return stamped.value;
  }

  put(key: unknown, value: unknown): void {
    this.#inner.put(key, this.#rule.stamp(value));
  }

  remove(key: unknown): void {
    this.#inner.remove(key);
  }

  contains(key: unknown): boolean {
    return this.get(key) !== undefined;
  }

  isEmpty(): boolean {
    return this.#alive().length === 0;
  }

  keys(): Iterable<unknown> {
    return this.#alive().map(([key]) => key);
  }

  values(): Iterable<unknown> {
    return this.#alive().map(([, value]) => value);
  }

  entries(): Iterable<readonly [unknown, unknown]> {
    return this.#alive();
  }

  clear(): void {
    this.#inner.clear();
  }

  get exists(): boolean {
    return this.#inner.exists;
  }

  prepare(): boolean {
    return this.#inner.prepare();
  }

  prepareEntry(userKey: unknown): boolean {
    return this.#inner.prepareEntry?.(userKey) ?? this.#inner.prepare();
  }

  openRange(range: UserKeyRange, signal: AbortSignal): MapRange {
    const inner = this.#inner.openRange!(range, signal); // map states have it
    return {
      load: () => inner.load(),
      take: () => {
        const entries = inner.take();
        return entries === undefined ? undefined : this.#shown(entries);
      },
    };
  }

  prepareAdd(): boolean {
    return this.#inner.prepareAdd();
  }

  setNamespace(namespace: unknown): void {
    this.#inner.setNamespace(namespace);
  }

  mergeNamespaces(target: unknown, sources: readonly unknown[]): void {
    this.#inner.mergeNamespaces(target, sources);
  }

  #alive(): readonly UserEntry[] {
    return this.#shown(this.#inner.entries());
  }

  #shown(entries: Iterable<UserEntry>): readonly UserEntry[] {
    const alive: UserEntry[] = [];
    for (const [key, stored] of entries) {
      const stamped = stored as Stamped; // only this class writes to inner
      const expired = this.#rule.expired(stamped);
      if (expired) this.#inner.remove(key);
      if (!expired || this.#rule.showsExpired) alive.push([key, stamped.value]);
      if (!expired && this.#rule.refreshesOnRead)
        this.#inner.put(key, this.#rule.stamp(stamped.value));
    }
    return alive;
  }
}

/** Reducing and aggregating state with TTL, over a stamped value. */
export class TtlFoldState implements Namespaced<unknown> {
  readonly #inner: ValueState<unknown> & Namespaced<unknown>;
  readonly #fold: Fold;

  constructor(inner: ValueState<unknown> & Namespaced<unknown>, fold: Fold) {
    this.#inner = inner;
    this.#fold = fold;
  }

  get(): unknown {
    const value = this.#inner.value;
    return value === undefined ? undefined : this.#fold.result(value);
  }

  add(value: unknown): void {
    this.#inner.value = this.#fold.add(this.#inner.value, value);
  }

  clear(): void {
    this.#inner.clear();
  }

  get exists(): boolean {
    return this.#inner.exists;
  }

  prepare(): boolean {
    return this.#inner.prepare();
  }

  /** What expired has to be told from what is alive. */
  prepareAdd(): boolean {
    return this.#inner.prepare();
  }

  setNamespace(namespace: unknown): void {
    this.#inner.setNamespace(namespace);
  }

  mergeNamespaces(target: unknown, sources: readonly unknown[]): void {
    const values: unknown[] = [];
    for (const namespace of [target, ...sources]) {
      this.#inner.setNamespace(namespace);
      const value = this.#inner.value;
      if (value !== undefined) values.push(value);
      this.#inner.clear();
    }
    this.#inner.setNamespace(target);
    if (values.length > 0) this.#inner.value = values.reduce((a, b) => this.#fold.merge(a, b));
  }
}

export interface Fold {
  /** `held` is undefined for the first value. */
  add(held: unknown, value: unknown): unknown;
  merge(a: unknown, b: unknown): unknown;
  result(held: unknown): unknown;
}
