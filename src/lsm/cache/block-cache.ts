/**
 * Blocks in memory, under a budget in bytes that all trees of a worker share. S3-FIFO (Yang et al., SOSP 2023): a small queue that new
 * blocks pass through, a main queue for those used again, and a memory of what the small queue has dropped, whose return goes to main at
 * once. A scan that fills therefore costs a tenth of the cache and no more; a hit moves nothing.
 *
 *   file ─► places[block]   0 unknown │ slot + 1 │ -(stamp + 1): dropped from the small queue at that count of drops
 *   slot ─► contents, file, block, uses (0..3), queue; previous and next in its queue, as a ring through the queue's own slot
 *
 * Invariants
 *  C1  bytes = sum of contents and ENTRY_BYTES over all slots; bytes + pinned <= budget after every call, unless the pinned alone exceed it;
 *      bytes <= blocksMax.
 *  C2  A slot is in exactly one of: the small queue, the main queue, the list of free slots.
 *
 * Cost: a hit is a Map lookup by small integer and three typed-array accesses, without allocation; insertion and eviction are O(1)
 * amortised; dropping a file is O(its blocks). Guarded by `bench -- cache`.
 */
import { assert } from '../../base/errors.ts';

/** Of a view, its buffer's header and a slot. */
export const ENTRY_BYTES = 150;
export const BLOCKS_PER_FILE_MAX = 2 ** 20;
const SMALL_SHARE = 0.1;
const USES_MAX = 3;
/** Uses after arrival that take a block from the small queue to main. */
const USES_FOR_MAIN = 2;
/** Slots 0 and 1 are the ends of the queues. */
const SMALL = 0;
const MAIN = 1;
const STAMP_MAX = 2 ** 30;

interface CachedFile {
  places: Int32Array;
  blocks: number;
}

export class BlockCache {
  readonly #files = new Map<number, CachedFile>();
  #contents: (Uint8Array | undefined)[] = [undefined, undefined];
  #fileNos: number[] = [0, 0];
  #blocks = new Int32Array(1024);
  #uses = new Uint8Array(1024);
  #queues = new Uint8Array(1024);
  #previous = new Int32Array(1024);
  #next = new Int32Array(1024);
  readonly #free: number[] = [];
  readonly #queueBytes = [0, 0];
  #count = 0;
  #drops = 0;
  readonly #budgetBytes: number;
  readonly #blocksMax: number;
  #pinnedBytes = 0;

  /** `blocksMax`: bytes of blocks, however little is pinned. Default the budget. */
  constructor(budgetBytes: number, blocksMax = budgetBytes) {
    this.#budgetBytes = budgetBytes;
    this.#blocksMax = blocksMax;
    this.#previous[MAIN] = MAIN;
    this.#next[MAIN] = MAIN;
  }

  get bytes(): number {
    return this.#queueBytes[SMALL]! + this.#queueBytes[MAIN]!;
  }

  get blocks(): number {
    return this.#count;
  }

  get pinnedBytes(): number {
    return this.#pinnedBytes;
  }

  get budgetBytes(): number {
    return this.#budgetBytes;
  }

  /** @hot `use` false: looks without making the block any hotter. */
  get(fileNo: number, block: number, use: boolean): Uint8Array | undefined {
    const file = this.#files.get(fileNo);
    if (file === undefined || block >= file.places.length) return undefined;
    const slot = file.places[block]! - 1;
    if (slot < 0) return undefined;
    if (use && this.#uses[slot]! < USES_MAX) this.#uses[slot]!++;
    return this.#contents[slot];
  }

  has(fileNo: number, block: number): boolean {
    return (this.#files.get(fileNo)?.places[block] ?? 0) > 0;
  }

  /** Takes a block in, or leaves it as it is if it is there. `hot`: past the small queue. */
  insert(fileNo: number, block: number, contents: Uint8Array, hot = false): void {
    assert(block < BLOCKS_PER_FILE_MAX, `a file has at most ${BLOCKS_PER_FILE_MAX} blocks`);
    const file = this.#fileFor(fileNo, block);
    const place = file.places[block]!;
    if (place > 0) return;
    const returns = place < 0 && this.#drops + place + 1 <= this.#count;
    const slot = this.#takeSlot();
    this.#contents[slot] = contents;
    this.#fileNos[slot] = fileNo;
    this.#blocks[slot] = block;
    this.#uses[slot] = 0;
    file.places[block] = slot + 1;
    file.blocks++;
    this.#count++;
    this.#append(slot, hot || returns ? MAIN : SMALL);
    this.#evict();
  }

  /** Removes all blocks of a file, and what is remembered of it. */
  dropFile(fileNo: number): void {
    const file = this.#files.get(fileNo);
    if (file === undefined) return;
    this.#files.delete(fileNo);
    if (file.blocks === 0) return;
    for (const place of file.places) if (place > 0) this.#release(place - 1);
  }

  /** Blocks of a file that are here, the hottest first, at most `limit`. */
  hotBlocks(fileNo: number, limit: number): readonly number[] {
    const file = this.#files.get(fileNo);
    if (file === undefined || file.blocks === 0) return [];
    const slots: number[] = [];
    for (const place of file.places) if (place > 0) slots.push(place - 1);
    const heat = (slot: number): number => this.#queues[slot]! * (USES_MAX + 1) + this.#uses[slot]!;
    slots.sort((a, b) => heat(b) - heat(a));
    return slots.slice(0, limit).map((slot) => this.#blocks[slot]!);
  }

  /** Memory that is held elsewhere and counts here: indexes and filters of open files. Negative to give it back. */
  pin(bytes: number): void {
    this.#pinnedBytes += bytes;
    assert(this.#pinnedBytes >= 0, 'more memory was unpinned than had been pinned');
    this.#evict();
  }

  clear(): void {
    for (const fileNo of this.#files.keys()) this.dropFile(fileNo);
  }

  #fileFor(fileNo: number, block: number): CachedFile {
    let file = this.#files.get(fileNo);
    if (file === undefined) {
      file = { places: new Int32Array(Math.max(16, block + 1)), blocks: 0 };
      this.#files.set(fileNo, file);
    } else if (block >= file.places.length) {
      const grown = new Int32Array(Math.max(2 * file.places.length, block + 1));
      grown.set(file.places);
      file.places = grown;
    }
    return file;
  }

  /** C1 */
  #evict(): void {
    const room = Math.min(this.#blocksMax, Math.max(0, this.#budgetBytes - this.#pinnedBytes));
    while (this.#count > 0 && this.bytes > room) {
      if (this.#queueBytes[SMALL]! > SMALL_SHARE * room || this.#next[MAIN] === MAIN)
        this.#evictSmall();
      else this.#evictMain();
    }
  }

  #evictSmall(): void {
    const slot = this.#next[SMALL]!;
    if (this.#uses[slot]! >= USES_FOR_MAIN) {
      this.#unlink(slot);
      this.#uses[slot] = 0;
      this.#append(slot, MAIN);
      return;
    }
    const file = this.#files.get(this.#fileNos[slot]!)!;
    file.places[this.#blocks[slot]!] = -(this.#drops + 1);
    file.blocks--;
    this.#release(slot);
    if (++this.#drops === STAMP_MAX) this.#forgetDrops();
  }

  #evictMain(): void {
    const slot = this.#next[MAIN]!;
    if (this.#uses[slot]! > 0) {
      this.#uses[slot]!--;
      this.#unlink(slot);
      this.#append(slot, MAIN);
      return;
    }
    const file = this.#files.get(this.#fileNos[slot]!)!;
    file.places[this.#blocks[slot]!] = 0;
    file.blocks--;
    this.#release(slot);
  }

  #forgetDrops(): void {
    this.#drops = 0;
    for (const { places } of this.#files.values())
      for (let i = 0; i < places.length; i++) if (places[i]! < 0) places[i] = 0;
  }

  #takeSlot(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const slot = this.#contents.length;
    this.#contents.push(undefined);
    this.#fileNos.push(0);
    if (slot === this.#blocks.length) this.#grow();
    return slot;
  }

  #grow(): void {
    const capacity = 2 * this.#blocks.length;
    this.#blocks = grown(this.#blocks, new Int32Array(capacity));
    this.#uses = grown(this.#uses, new Uint8Array(capacity));
    this.#queues = grown(this.#queues, new Uint8Array(capacity));
    this.#previous = grown(this.#previous, new Int32Array(capacity));
    this.#next = grown(this.#next, new Int32Array(capacity));
  }

  /** C2 */
  #append(slot: number, queue: number): void {
    const last = this.#previous[queue]!;
    this.#next[last] = slot;
    this.#previous[slot] = last;
    this.#next[slot] = queue;
    this.#previous[queue] = slot;
    this.#queues[slot] = queue;
    this.#queueBytes[queue]! += this.#contents[slot]!.length + ENTRY_BYTES;
  }

  #unlink(slot: number): void {
    const previous = this.#previous[slot]!;
    const next = this.#next[slot]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#queueBytes[this.#queues[slot]!]! -= this.#contents[slot]!.length + ENTRY_BYTES;
  }

  #release(slot: number): void {
    this.#unlink(slot);
    this.#contents[slot] = undefined;
    this.#free.push(slot);
    this.#count--;
  }
}

function grown<T extends Int32Array | Uint8Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
