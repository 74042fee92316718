/**
 * What is known of one map's entries, as columns: no object per entry, so that many fit and the collector has little to follow.
 *
 *   keys[at]    the user key, in the order in which entries became known
 *   values[at]  its value; NO_VALUE where it is known to be absent
 *   marks       four bits for each entry, eight entries to a number
 *
 * Entries are found by a linear look while there are few integers, then by an index of places (open addressing, 0 is empty, at most three
 * quarters full); keys that are no integers by a Map of their identities.
 *
 * Invariant: entries are never taken out one by one, only all of them, or the oldest: places stay what they are in between.
 */
import { hashNumber } from '../../base/number-map.ts';

export const MARK = {
  /** It has a value. */
  present: 1,
  /** It differs from the tree, and is listed as such. */
  dirty: 2,
  /** The tree may have something for it. */
  inTree: 4,
} as const;

/** So many integers are compared faster than hashed. */
const SCANNED_MAX = 8;
const SMALL_INDEX_MAX = 2 ** 16;
/** Keeps a column of small numbers one. */
const NO_VALUE = 0;

/** Memory of an entry whose key is an integer: its part of the columns, of the index and of the list of what is dirty, with their slack. */
const INTEGER_BYTES = 30;
/** Of one with any other key: the columns, the key, its identity and a Map's entry. */
const OTHER_BYTES = 120;

const NONE: readonly number[] = [];

export class MapEntries {
  /** Without the objects that values are. */
  readonly bytesPerEntry: number;
  #keys: unknown[] = [];
  #values: unknown[] = [];
  #marks: number[] = [0];
  /** Of integers, once there are more than a few. */
  #index: Uint16Array | Uint32Array | undefined;
  /** Of other keys, by identity. */
  #places: Map<unknown, number> | undefined;
  /** Places of those that are dirty. */
  #dirty: number[] | undefined;

  /** `integers`: keys are integers, which are their own identities. */
  constructor(integers: boolean) {
    this.bytesPerEntry = integers ? INTEGER_BYTES : OTHER_BYTES;
    if (!integers) this.#places = new Map();
  }

  get size(): number {
    return this.#keys.length;
  }

  /** @hot The place of an entry, or -1. */
  find(id: unknown): number {
    if (this.#places !== undefined) return this.#places.get(id) ?? -1;
    const keys = this.#keys;
    const index = this.#index;
    if (index === undefined) {
      for (let at = 0; at < keys.length; at++) if (keys[at] === id) return at;
      return -1;
    }
    const mask = index.length - 1;
    for (let slot = hashNumber((id as number) + 0) & mask; ; slot = (slot + 1) & mask) {
      const place = index[slot]!;
      if (place === 0) return -1;
      if (keys[place - 1] === id) return place - 1;
    }
  }

  /** @hot An entry that is not here yet. @returns its place */
  add(id: unknown, key: unknown): number {
    const at = this.#keys.push(key) - 1;
    this.#values.push(NO_VALUE);
    if ((at & 7) === 0 && at > 0) this.#marks.push(0);
    if (this.#places !== undefined) this.#places.set(id, at);
    else if (this.#index === undefined ? at >= SCANNED_MAX : 4 * at >= 3 * this.#index.length)
      this.#reindex();
    else if (this.#index !== undefined) this.#place(this.#index, key as number, at);
    return at;
  }

  /** @hot */
  keyAt(at: number): unknown {
    return this.#keys[at];
  }

  /** @hot Undefined where there is none. */
  valueAt(at: number): unknown {
    return this.is(at, MARK.present) ? this.#values[at] : undefined;
  }

  /** @hot */
  setValue(at: number, value: unknown, present: boolean): void {
    this.#values[at] = present ? value : NO_VALUE;
    if (present) this.mark(at, MARK.present);
    else this.unmark(at, MARK.present);
  }

  /** @hot */
  is(at: number, mark: number): boolean {
    return ((this.#marks[at >>> 3]! >>> ((at & 7) << 2)) & mark) !== 0;
  }

  mark(at: number, mark: number): void {
    this.#marks[at >>> 3]! |= mark << ((at & 7) << 2);
  }

  unmark(at: number, mark: number): void {
    this.#marks[at >>> 3]! &= ~(mark << ((at & 7) << 2));
  }

  /** @hot It changes. */
  touch(at: number): void {
    if (this.is(at, MARK.dirty)) return;
    this.mark(at, MARK.dirty);
    if (this.#dirty === undefined) this.#dirty = [at];
    else this.#dirty.push(at);
  }

  /** Places of what is dirty, which is clean now. */
  takeDirty(): readonly number[] {
    const dirty = this.#dirty;
    if (dirty === undefined) return NONE;
    this.#dirty = undefined;
    for (const at of dirty) this.unmark(at, MARK.dirty);
    return dirty;
  }

  /** Places of those with a value. */
  presentPlaces(): number[] {
    const places: number[] = [];
    for (let at = 0; at < this.size; at++) if (this.is(at, MARK.present)) places.push(at);
    return places;
  }

  get isEmpty(): boolean {
    for (let at = 0; at < this.size; at++) if (this.is(at, MARK.present)) return false;
    return true;
  }

  clear(): void {
    this.#keys = [];
    this.#values = [];
    this.#marks = [0];
    this.#dirty = undefined;
    this.#index = undefined;
    this.#places?.clear();
  }

  #reindex(): void {
    const keys = this.#keys;
    const length = this.#index === undefined ? 4 * SCANNED_MAX : 2 * this.#index.length;
    const index = length <= SMALL_INDEX_MAX ? new Uint16Array(length) : new Uint32Array(length);
    this.#index = index;
    for (let at = 0; at < keys.length; at++) this.#place(index, keys[at] as number, at);
  }

  #place(index: Uint16Array | Uint32Array, key: number, at: number): void {
    const mask = index.length - 1;
    let slot = hashNumber(key + 0) & mask;
    while (index[slot] !== 0) slot = (slot + 1) & mask;
    index[slot] = at + 1;
  }
}
