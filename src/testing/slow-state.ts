/** One state of `slow-state-backend.ts`: the inner one's, behind a record of which entries are near. */
import { internal } from '../base/errors.ts';
import type { StateDescriptor } from '../state/descriptor.ts';
import type { MapRange, Namespaced, UserKeyRange } from '../state/keyed-state-backend.ts';
import { keyIdentity } from '../types/key-codec.ts';
import type { Schema } from '../types/schema.ts';

/** Which entries can be read, and which have been noted as missing. */
export interface Nearness {
  /** The current key. */
  readonly keyId: unknown;
  has(id: string): boolean;
  add(id: string): void;
  note(id: string): void;
  /** Takes as long as a load. */
  pause(signal: AbortSignal): Promise<void>;
}

/** What the heap's state objects have, of all kinds. */
export interface AnyState extends Namespaced<unknown> {
  value: unknown;
  get(userKey?: unknown): unknown;
  add(value: unknown): void;
  addAll(values: Iterable<unknown>): void;
  update(values: readonly unknown[]): void;
  put(userKey: unknown, value: unknown): void;
  remove(userKey: unknown): void;
  contains(userKey: unknown): boolean;
  isEmpty(): boolean;
  keys(): Iterable<unknown>;
  values(): Iterable<unknown>;
  entries(): Iterable<readonly [unknown, unknown]>;
  clear(): void;
}

/** Whether `add` can be done without reading what is there. */
const foldsBlind = (descriptor: StateDescriptor): boolean => {
  if (descriptor.ttl !== undefined) return false;
  if (descriptor.kind === 'aggregating') return descriptor.aggregate.merge !== undefined;
  return descriptor.kind === 'list' || descriptor.kind === 'reducing';
};

export class SlowState implements AnyState {
  readonly #name: string;
  readonly #inner: AnyState;
  readonly #near: Nearness;
  readonly #isMap: boolean;
  readonly #foldsBlind: boolean;
  readonly #identifyNamespace: (namespace: unknown) => unknown;
  readonly #identifyUserKey: (userKey: unknown) => unknown;
  #namespaceId: unknown = 'none';

  constructor(params: {
    readonly name: string;
    readonly inner: AnyState;
    readonly near: Nearness;
    readonly descriptor: StateDescriptor;
    readonly namespaceSchema: Schema<unknown> | undefined;
  }) {
    const { descriptor, namespaceSchema } = params;
    this.#name = params.name;
    this.#inner = params.inner;
    this.#near = params.near;
    this.#isMap = descriptor.kind === 'map';
    this.#foldsBlind = foldsBlind(descriptor);
    this.#identifyNamespace =
      namespaceSchema === undefined ? () => 'none' : keyIdentity(namespaceSchema);
    this.#identifyUserKey =
      descriptor.kind === 'map' ? keyIdentity(descriptor.keySchema) : () => 'none';
  }

  get exists(): boolean {
    this.#read();
    return this.#inner.exists;
  }

  get value(): unknown {
    this.#read();
    return this.#inner.value;
  }

  set value(value: unknown) {
    this.#inner.value = value;
    this.#near.add(this.#id());
  }

  setNamespace(namespace: unknown): void {
    this.#namespaceId = this.#identifyNamespace(namespace);
    this.#inner.setNamespace(namespace);
  }

  prepare(): boolean {
    const inner = this.#inner.prepare();
    return this.#prepare(this.#id()) && inner;
  }

  prepareAdd(): boolean {
    return this.#foldsBlind || this.prepare();
  }

  prepareEntry(userKey: unknown): boolean {
    const inner = this.#inner.prepareEntry?.(userKey) ?? true;
    return (this.#near.has(this.#id()) || this.#prepare(this.#entryId(userKey))) && inner;
  }

  openRange(range: UserKeyRange, signal: AbortSignal): MapRange {
    const inner = this.#inner.openRange!(range, signal); // asked of maps only
    return {
      load: () => this.#near.pause(signal).then(() => inner.load()),
      take: () => inner.take(),
    };
  }

  mergeNamespaces(target: unknown, sources: readonly unknown[]): void {
    for (const namespace of [target, ...sources]) this.#read(this.#identifyNamespace(namespace));
    this.#inner.mergeNamespaces(target, sources);
  }

  get(userKey?: unknown): unknown {
    if (!this.#isMap) {
      this.#read();
      return this.#inner.get();
    }
    this.#readEntry(userKey);
    return this.#inner.get(userKey);
  }

  add(value: unknown): void {
    if (!this.#foldsBlind) this.#read();
    this.#inner.add(value);
  }

  addAll(values: Iterable<unknown>): void {
    if (!this.#foldsBlind) this.#read();
    this.#inner.addAll(values);
  }

  update(values: readonly unknown[]): void {
    this.#inner.update(values);
    this.#near.add(this.#id());
  }

  put(userKey: unknown, value: unknown): void {
    this.#inner.put(userKey, value);
    this.#near.add(this.#entryId(userKey));
  }

  remove(userKey: unknown): void {
    this.#inner.remove(userKey);
    this.#near.add(this.#entryId(userKey));
  }

  contains(userKey: unknown): boolean {
    this.#readEntry(userKey);
    return this.#inner.contains(userKey);
  }

  isEmpty(): boolean {
    this.#read();
    return this.#inner.isEmpty();
  }

  keys(): Iterable<unknown> {
    this.#read();
    return this.#inner.keys();
  }

  values(): Iterable<unknown> {
    this.#read();
    return this.#inner.values();
  }

  entries(): Iterable<readonly [unknown, unknown]> {
    this.#read();
    return this.#inner.entries();
  }

  clear(): void {
    this.#inner.clear();
    this.#near.add(this.#id());
  }

  /** The state of a key that is being visited counts as fetched. */
  admit(): void {
    this.#near.add(this.#id());
  }

  #id(namespaceId: unknown = this.#namespaceId): string {
    return `${this.#name}|${typeof this.#near.keyId}${String(this.#near.keyId)}|${String(namespaceId)}`;
  }

  #entryId(userKey: unknown): string {
    return `${this.#id()}|${String(this.#identifyUserKey(userKey))}`;
  }

  #prepare(id: string): boolean {
    if (this.#near.has(id)) return true;
    this.#near.note(id);
    return false;
  }

  #read(namespaceId: unknown = this.#namespaceId): void {
    if (!this.#near.has(this.#id(namespaceId))) throw this.#far();
  }

  #readEntry(userKey: unknown): void {
    if (!this.#near.has(this.#id()) && !this.#near.has(this.#entryId(userKey))) throw this.#far();
  }

  #far(): Error {
    return internal(
      'STATE_NOT_RESIDENT',
      `state "${this.#name}" of the current key was not prepared before it was read`,
    );
  }
}
