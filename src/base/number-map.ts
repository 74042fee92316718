/**
 * A map from keys that are mostly numbers: open addressing over a Float64Array, several times as fast as a Map for numbers beyond 31 bits
 * and about twice as fast for small ones when there are many. Keys that are no numbers, and NaN, go into a Map.
 *
 *   keys[slot]    the number; meaningful where values[slot] is not undefined
 *   values[slot]  what it maps to
 *
 * Linear probing, at most half full; deletion closes the gap by moving later entries of the run back, so that there are no tombstones.
 *
 * A map that has grown moves its entries to the larger arrays a few slots at a time, with each change, so that no call copies everything.
 *
 * Invariants
 *  M1  A number is in the arrays or, while entries are moved, in the old ones; never in both.
 *  M2  In the old arrays a slot that was given up holds `MOVED` and no number, so that what lies behind it is still found.
 *
 * Cost: a hit is one slot of either array on average; a miss while entries are moved looks twice.
 */
const CAPACITY_MIN = 16;
/** Smaller maps move all at once. */
const MOVED_AT_ONCE = 4096;
/** Slots looked at with each change: those of a map that doubles are all moved long before it doubles again. */
const MOVED_PER_CHANGE = 16;
const MOVED = Object.freeze({});

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

/** @hot Numbers of all sizes spread over 32 bits: Murmur3's finaliser over both halves of the double. */
export function hashNumber(value: number): number {
  float[0] = value;
  let h = words[0]! ^ Math.imul(words[1]!, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

export class NumberMap<V extends object> {
  #keys = new Float64Array(CAPACITY_MIN);
  #values: (V | undefined)[] = emptySlots(CAPACITY_MIN);
  #mask = CAPACITY_MIN - 1;
  #numbers = 0;
  readonly #others = new Map<unknown, V>();
  /** M1; undefined: nothing is left to move. */
  #old: OldSlots<V> | undefined;

  get size(): number {
    return this.#numbers + this.#others.size;
  }

  /** @hot */
  get(key: unknown): V | undefined {
    if (typeof key !== 'number') return this.#others.get(key);
    const keys = this.#keys;
    const values = this.#values;
    const mask = this.#mask;
    const h = hashNumber(key + 0);
    for (let slot = h & mask; ; slot = (slot + 1) & mask) {
      const value = values[slot];
      if (value === undefined)
        return this.#old === undefined && key === key ? undefined : this.#elsewhere(key, h);
      if (keys[slot] === key) return value;
    }
  }

  has(key: unknown): boolean {
    return this.get(key) !== undefined;
  }

  /** All at the time of the call, in no order. */
  values(): readonly V[] {
    const all: V[] = [];
    for (const value of this.#values) if (value !== undefined) all.push(value);
    for (const value of this.#old?.values ?? [])
      if (value !== undefined && value !== MOVED) all.push(value);
    for (const value of this.#others.values()) all.push(value);
    return all;
  }

  set(key: unknown, value: V): this {
    if (typeof key !== 'number' || Number.isNaN(key)) {
      this.#others.set(key, value);
      return this;
    }
    const h = hashNumber(key + 0);
    const slot = this.#slotOf(key, h);
    if (this.#values[slot] === undefined) {
      this.#keys[slot] = key;
      if (this.#old === undefined || this.#old.takeOut(key, h) === undefined) this.#numbers++;
    }
    this.#values[slot] = value;
    if (this.#old !== undefined) this.#move(MOVED_PER_CHANGE);
    if (this.#numbers * 2 > this.#values.length) this.#grow();
    return this;
  }

  delete(key: unknown): boolean {
    if (typeof key !== 'number' || Number.isNaN(key)) return this.#others.delete(key);
    const h = hashNumber(key + 0);
    const slot = this.#slotOf(key, h);
    if (this.#values[slot] !== undefined) this.#close(slot);
    else if (this.#old?.takeOut(key, h) === undefined) return false;
    this.#numbers--;
    if (this.#old !== undefined) this.#move(MOVED_PER_CHANGE);
    return true;
  }

  /** Where the number is in the arrays, or would be. Adding 0 has made -0 the 0 that it equals. */
  #slotOf(key: number, h: number): number {
    const keys = this.#keys;
    const values = this.#values;
    const mask = this.#mask;
    let slot = h & mask;
    while (values[slot] !== undefined && keys[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  /** Of what is not in the arrays. */
  #elsewhere(key: number, h: number): V | undefined {
    if (key !== key) return this.#others.get(key);
    const old = this.#old!; // asked where there is one
    return old.values[old.slotOf(key, h)];
  }

  /** Empties a slot and moves those behind it up. */
  #close(at: number): void {
    const mask = this.#mask;
    let gap = at;
    for (let slot = (gap + 1) & mask; this.#values[slot] !== undefined; slot = (slot + 1) & mask) {
      const home = hashNumber(this.#keys[slot]! + 0) & mask;
      // An entry may move to the gap when its home does not lie between the two.
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      this.#keys[gap] = this.#keys[slot]!;
      this.#values[gap] = this.#values[slot];
      gap = slot;
    }
    this.#values[gap] = undefined;
  }

  #grow(): void {
    // Nothing is left to move by now: as many changes as half the old slots lie between.
    this.#old = new OldSlots(this.#keys, this.#values);
    const capacity = this.#values.length * 2;
    this.#keys = new Float64Array(capacity);
    this.#values = emptySlots(capacity);
    this.#mask = capacity - 1;
    if (capacity <= MOVED_AT_ONCE) this.#move(capacity);
  }

  /** M1 */
  #move(slots: number): void {
    const old = this.#old!; // asked where there is one
    const { keys, values } = old;
    const end = Math.min(old.next + slots, values.length);
    for (let from = old.next; from < end; from++) {
      const value = values[from];
      if (value === undefined || value === MOVED) continue;
      const key = keys[from]!;
      const to = this.#slotOf(key, hashNumber(key + 0));
      this.#keys[to] = key;
      this.#values[to] = value;
      old.giveUp(from);
    }
    old.next = end;
    if (end === values.length) this.#old = undefined;
  }
}

/** The arrays of a map before it grew. */
class OldSlots<V extends object> {
  readonly keys: Float64Array;
  readonly values: (V | undefined)[];
  readonly #mask: number;
  /** Slots before it have been moved. */
  next = 0;

  constructor(keys: Float64Array, values: (V | undefined)[]) {
    this.keys = keys;
    this.values = values;
    this.#mask = values.length - 1;
  }

  slotOf(key: number, h: number): number {
    let slot = h & this.#mask;
    while (this.values[slot] !== undefined && this.keys[slot] !== key)
      slot = (slot + 1) & this.#mask;
    return slot;
  }

  /** @returns what it mapped to */
  takeOut(key: number, h: number): V | undefined {
    const slot = this.slotOf(key, h);
    const value = this.values[slot];
    if (value !== undefined) this.giveUp(slot);
    return value;
  }

  /** M2 */
  giveUp(slot: number): void {
    this.keys[slot] = NaN;
    this.values[slot] = MOVED as V; // told by identity, never given out
  }
}

/** Filled, so that reading an empty slot is a plain load. */
const emptySlots = <V>(capacity: number): (V | undefined)[] =>
  new Array<V | undefined>(capacity).fill(undefined);
