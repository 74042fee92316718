/**
 * Where the records of a key are, as a small number: for the few keys that wait among the many that do not.
 *
 * Numbers are found in a table of chains, all of it in typed arrays; that one is not there costs mostly a single read. Other keys go into a
 * Map, behind a counting filter with one hash: most of them are not in it.
 *
 *   heads[hash]    the number of the newest key of a chain, or 0
 *   ids[n]         the key with that number; NaN where it is in the Map, and then `otherIds` says which
 *   nexts[n]       the number of the next key of its chain, or 0
 *
 * Cost: no object per key; chains hold half a key on average; taking a key out moves no other.
 */
import { hashNumber } from '../base/number-map.ts';

const CAPACITY_MIN = 64;
const SPARSE_MAX = 1 << 14;
const FILTER_SLOTS = 1 << 14;

export class KeyIndex {
  #heads = new Int32Array(CAPACITY_MIN);
  #ids = new Float64Array(CAPACITY_MIN);
  #nexts = new Int32Array(CAPACITY_MIN);
  #count = 0;
  readonly #others = new Map<unknown, number>();
  readonly #otherIds: unknown[] = [];
  readonly #filter = new Uint16Array(FILTER_SLOTS);

  get size(): number {
    return this.#count + this.#others.size;
  }

  /** @hot bench/aec.ts. 0: it has none. */
  find(id: unknown): number {
    if (!isNumber(id)) return this.#findOther(id);
    let n = this.#heads[this.#chainOf(id)]!;
    while (n !== 0 && this.#ids[n] !== id) n = this.#nexts[n]!;
    return n;
  }

  /** @hot bench/aec.ts. False: the key has none. A number is its own identity, or that is no number. */
  mayHold(key: unknown): boolean {
    if (typeof key !== 'number' || this.#others.size > 0) return true;
    return this.#heads[this.#chainOf(key)] !== 0;
  }

  /** `id` has none; `n` is above 0 and no other's. */
  add(id: unknown, n: number): void {
    if (n >= this.#ids.length) {
      this.#ids = grown(this.#ids, n);
      this.#nexts = grown(this.#nexts, n);
    }
    if (!isNumber(id)) {
      this.#ids[n] = Number.NaN;
      this.#otherIds[n] = id;
      this.#others.set(id, n);
      this.#filter[filterSlot(id)]!++;
      return;
    }
    this.#ids[n] = id;
    this.#count++;
    if (this.#count * this.#slotsPerKey > this.#heads.length) this.#grow();
    this.#link(n);
  }

  /** The key with that number has it no longer. */
  remove(n: number): void {
    const id = this.#ids[n]!;
    if (Number.isNaN(id)) {
      this.#removeOther(n);
      return;
    }
    this.#count--;
    const chain = this.#chainOf(id);
    const head = this.#heads[chain]!;
    if (head === n) {
      this.#heads[chain] = this.#nexts[n]!;
      return;
    }
    let before = head;
    while (this.#nexts[before] !== n) before = this.#nexts[before]!;
    this.#nexts[before] = this.#nexts[n]!;
  }

  /** The key with that number. */
  idOf(n: number): unknown {
    const id = this.#ids[n]!;
    return Number.isNaN(id) ? this.#otherIds[n] : id;
  }

  /** Of all keys, in no order. */
  *all(): Iterable<number> {
    for (const head of this.#heads) for (let n = head; n !== 0; n = this.#nexts[n]!) yield n;
    yield* this.#others.values();
  }

  #findOther(id: unknown): number {
    if (this.#filter[filterSlot(id)] === 0) return 0;
    return this.#others.get(id) ?? 0;
  }

  #removeOther(n: number): void {
    const id = this.#otherIds[n];
    this.#otherIds[n] = undefined;
    this.#others.delete(id);
    this.#filter[filterSlot(id)]!--;
  }

  #chainOf(id: number): number {
    const integer = id | 0;
    // Adding 0 makes -0 the 0 that it equals.
    const hash = integer === id ? Math.imul(integer, 0x9e37_79b1) : hashNumber(id + 0);
    return (hash ^ (hash >>> 15)) & (this.#heads.length - 1);
  }

  #link(n: number): void {
    const chain = this.#chainOf(this.#ids[n]!);
    this.#nexts[n] = this.#heads[chain]!;
    this.#heads[chain] = n;
  }

  /** While it fits the processor's nearest cache, a table is so sparse that most chains are empty. */
  get #slotsPerKey(): number {
    return this.#heads.length < SPARSE_MAX ? 16 : 2;
  }

  #grow(): void {
    const before = this.#heads;
    this.#heads = new Int32Array(before.length * 2);
    for (const head of before) {
      for (let n = head; n !== 0;) {
        const next = this.#nexts[n]!;
        this.#link(n);
        n = next;
      }
    }
  }
}

/** NaN, which equals nothing, is with the others. */
const isNumber = (id: unknown): id is number => typeof id === 'number' && !Number.isNaN(id);

/** A copy with room for index `n`, and for as much again. */
export function grown<T extends Float64Array | Int32Array | Uint8Array>(column: T, n: number): T {
  const copy = new (column.constructor as new (length: number) => T)(2 * n); // of the same class
  copy.set(column);
  return copy;
}

/** @hot Of texts, four places and the length: the others rarely tell keys apart. */
function filterSlot(id: unknown): number {
  const text = typeof id === 'string' ? id : String(id);
  const { length } = text;
  const last = length - 1;
  let hash = length;
  hash = Math.imul(hash, 31) + text.charCodeAt(0);
  hash = Math.imul(hash, 31) + text.charCodeAt(length >> 1);
  hash = Math.imul(hash, 31) + text.charCodeAt(last - 1);
  hash = Math.imul(hash, 31) + text.charCodeAt(last);
  return Math.imul(hash, 0x9e37_79b1) >>> 18;
}
