/**
 * Timers as bytes, in the order they are due: first the earliest of what is offered are kept,
 * as far as a limit allows, then taken out one by one.
 *
 *   times[slot], starts[slot], lengths[slot]   when it is due, and where its key in the tree lies in `arena`
 *   heap                                       slots; while timers are offered the latest is on top, then the earliest
 *
 * Keys of one state begin with key group and timestamp, so that timers of one timestamp are in the order of their bytes.
 *
 * Cost: O(1) for a timer that is too late, else O(log n); 20 bytes a timer and its key, half as much again for growth.
 */
import { copyOf } from '../../base/bytes.ts';
import { compareRanges } from '../../lsm/key-order.ts';

const FIRST_SLOTS = 8;
const FIRST_BYTES = 256;
const SLOT_BYTES = 20;
const GROWTH = 1.5;
/** Timers put in order between two looks at other work: a few ms. */
const TURNED_PER_SLICE = 8192;

export class PackedTimers {
  #most: number;
  readonly #bytesMost: number;
  #times = new Float64Array(FIRST_SLOTS);
  #starts = new Uint32Array(FIRST_SLOTS);
  #lengths = new Uint32Array(FIRST_SLOTS);
  #heap = new Uint32Array(FIRST_SLOTS);
  #arena = new Uint8Array(FIRST_BYTES);
  #used = 0;
  /** Bytes of the arena that timers have. */
  #live = 0;
  size = 0;
  /** 1: the latest is on top; -1: the earliest. */
  #order = 1;

  constructor({ most, bytesMost }: { readonly most: number; readonly bytesMost: number }) {
    this.#most = most;
    this.#bytesMost = bytesMost / GROWTH;
  }

  /** As many as may be: what comes takes the place of the latest. */
  get full(): boolean {
    return this.size >= this.#most;
  }

  get bytes(): number {
    return this.#arena.length + SLOT_BYTES * this.#times.length;
  }

  /** @hot Whether a timer would be among them. */
  wants(timestamp: number, key: Uint8Array, length: number): boolean {
    return !this.full || this.#compareTo(this.#heap[0]!, timestamp, key, length) > 0;
  }

  /** @hot Keeps a timer that is wanted. */
  offer(timestamp: number, key: Uint8Array, length: number): void {
    if (this.full) {
      const slot = this.#heap[0]!;
      this.#live -= this.#lengths[slot]!;
      this.#store(slot, timestamp, key, length);
      this.#down(0);
      return;
    }
    const slot = this.size;
    if (slot === this.#times.length) this.#growSlots();
    this.#store(slot, timestamp, key, length);
    this.size++;
    this.#up(slot);
    if (this.#live + SLOT_BYTES * this.size >= this.#bytesMost) this.#most = this.size;
  }

  /** From now on they are taken. */
  async turn(yieldToLoop: () => Promise<void>): Promise<void> {
    this.#order = -1;
    for (let at = (this.size >> 1) - 1; at >= 0; at--) {
      this.#down(at);
      if (at % TURNED_PER_SLICE === 0) await yieldToLoop();
    }
  }

  /** The key of the earliest. */
  first(): Uint8Array {
    const slot = this.#heap[0]!;
    const start = this.#starts[slot]!;
    return copyOf(this.#arena, start, start + this.#lengths[slot]!);
  }

  /** Takes the earliest out. */
  pop(): void {
    this.#heap[0] = this.#heap[--this.size]!;
    if (this.size > 0) this.#down(0);
  }

  #store(slot: number, timestamp: number, key: Uint8Array, length: number): void {
    if (this.#used + length > this.#arena.length) this.#makeRoom(slot, length);
    this.#times[slot] = timestamp;
    this.#starts[slot] = this.#used;
    this.#lengths[slot] = length;
    this.#arena.set(key.subarray(0, length), this.#used);
    this.#used += length;
    this.#live += length;
  }

  /** Leaves out what has been replaced; the slot is about to be written. */
  #makeRoom(slot: number, length: number): void {
    const before = this.#arena;
    const arena = new Uint8Array(
      Math.max(before.length, Math.ceil(GROWTH * (this.#live + length))),
    );
    let used = 0;
    for (let i = 0; i < this.size; i++) {
      if (i === slot) continue;
      const start = this.#starts[i]!;
      const end = start + this.#lengths[i]!;
      arena.set(before.subarray(start, end), used);
      this.#starts[i] = used;
      used += end - start;
    }
    this.#arena = arena;
    this.#used = used;
  }

  #growSlots(): void {
    const slots = Math.min(this.#most, Math.ceil(GROWTH * this.#times.length));
    const times = new Float64Array(slots);
    times.set(this.#times);
    this.#times = times;
    const [starts, heap] = [new Uint32Array(slots), new Uint32Array(slots)];
    starts.set(this.#starts);
    heap.set(this.#heap);
    this.#starts = starts;
    this.#heap = heap;
    const lengths = new Uint32Array(slots);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
  }

  /** @hot Puts a slot at the end of the heap. */
  #up(slot: number): void {
    const heap = this.#heap;
    let at = this.size - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isAbove(slot, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = slot;
  }

  /** @hot */
  #down(from: number): void {
    const heap = this.#heap;
    const slot = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && this.#isAbove(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isAbove(heap[child]!, slot)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = slot;
  }

  /** @hot */
  #isAbove(a: number, b: number): boolean {
    const difference = this.#times[a]! - this.#times[b]!;
    if (difference !== 0) return difference * this.#order > 0;
    return (
      this.#compareBytes(a, this.#arena, this.#starts[b]!, this.#lengths[b]!) * this.#order > 0
    );
  }

  #compareTo(slot: number, timestamp: number, key: Uint8Array, length: number): number {
    const difference = this.#times[slot]! - timestamp;
    return difference === 0 ? this.#compareBytes(slot, key, 0, length) : difference;
  }

  #compareBytes(slot: number, key: Uint8Array, from: number, length: number): number {
    const start = this.#starts[slot]!;
    const end = start + this.#lengths[slot]!;
    return compareRanges(this.#arena, start, end, key, from, from + length);
  }
}
