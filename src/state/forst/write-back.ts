/**
 * The write-back side of the object cache, one per backend: which cells differ from the tree, in which epoch, and which are evicted when
 * memory runs out.
 *
 * Invariants
 *  W1  A cell that changed in the closed epoch is written to the tree's closing memtable before it changes again: `touch` does it.
 *  W2  After the closing has ended, no cell is dirty in the closed epoch.
 *  W3  A dirty cell is written before it is evicted.
 *  W4  `evictions` and `folds` count what left the cache for the tree: whoever reads the tree across them reads again. Folds are no maps.
 *      Who watches is told of which keys something left.
 *  W5  Of `#dirty`, what lies before `#ahead` has been written, or is listed again behind it.
 *  W6  After an eviction fewer than half of the cells in `#dirty`, or fewer than GONE_MAX, have left the cache: a list does not keep what was evicted in memory.
 *  W7  While `holdsAll`, the tree has nothing of what the cache does not know: it began empty, and no cell with a value, present or stored,
 *      has left.
 *
 * Cost: a barrier is one list swapped; a change, one comparison and once an epoch one push; eviction, CLOCK (Corbató 1968).
 */
import type { ForstCell } from './forst-cell.ts';

/** Cells written between two looks at other work: about 2 ms. */
const CELLS_PER_SLICE = 1024;
/** Cells in use that one eviction passes; the next one goes on behind them. There may be many while much that was loaded waits to be run. */
const IN_USE_PASSED_MAX = 1024;
/** Cells that have left the cache and are still listed. */
const GONE_MAX = 4096;
/** Keys kept in mind for those who watch, who may take turns for ever; beyond it everything counts as evicted. */
const EVICTED_KEYS_MAX = 16_384;

export class WriteBack {
  epoch = 1;
  /** Cells that became dirty in the current epoch. */
  #dirty: ForstCell[] = [];
  /** W5 */
  #ahead = 0;
  /** W6. In `#dirty`; some of them before `#ahead`. */
  #gone = 0;
  #closing: ForstCell[] | undefined;
  #closingAt = 0;
  readonly #ring: ForstCell[] = [];
  #hand = 0;
  readonly #budgetBytes: () => number;
  bytes = 0;
  /** W7. Once it is false it stays so. */
  holdsAll: boolean;
  /** W4. Cells that were dirty when they were dropped. */
  evictions = 0;
  /** W4. Folds that were written, and are cached no longer. */
  folds = 0;
  #watchers = 0;
  /** W4. While somebody watches: which eviction was the last of a key. */
  readonly #evicted = new Map<unknown, number>();
  #allEvicted = 0;

  /** `holdsAll`: the tree is empty. Default false. */
  constructor(budgetBytes: () => number, holdsAll = false) {
    this.#budgetBytes = budgetBytes;
    this.holdsAll = holdsAll;
  }

  get cells(): number {
    return this.#ring.length;
  }

  /** Cells that are kept in mind as dirty in the current epoch. */
  get listed(): number {
    return this.#dirty.length;
  }

  /** @hot Before a cell changes. */
  touch(cell: ForstCell): void {
    if (cell.dirtyEpoch === this.epoch) return;
    if (cell.dirtyEpoch !== 0) this.#write(cell, true);
    cell.dirtyEpoch = this.epoch;
    this.#dirty.push(cell);
  }

  /** @hot A cell joins the cache. */
  admit(cell: ForstCell, bytes: number): void {
    cell.bytes = bytes;
    this.bytes += bytes;
    cell.slot = this.#ring.push(cell) - 1;
  }

  grow(cell: ForstCell, bytes: number): void {
    if (cell.slot === -1) return;
    cell.bytes += bytes;
    this.bytes += bytes;
  }

  /** A cell leaves the cache. */
  release(cell: ForstCell): void {
    cell.gone = true;
    if (cell.dirtyEpoch === this.epoch) this.#gone++;
    if (cell.slot === -1) return;
    this.bytes -= cell.bytes;
    const last = this.#ring.pop()!;
    if (last !== cell) {
      this.#ring[cell.slot] = last;
      last.slot = cell.slot;
    }
    cell.slot = -1;
  }

  /** The barrier: from now on changes belong to the next epoch. O(1), unless an earlier closing is still under way. */
  beginEpoch(): void {
    this.endEpochNow();
    this.#closing = this.#dirty;
    this.#closingAt = this.#ahead;
    this.#dirty = [];
    this.#ahead = 0;
    this.#gone = 0;
    this.epoch++;
  }

  /** Writes what is dirty in the closed epoch, in slices. */
  async endEpoch(yieldToLoop: () => Promise<void>): Promise<void> {
    while (this.#closing !== undefined) {
      if (this.#writeSlice(CELLS_PER_SLICE)) return;
      await yieldToLoop();
    }
  }

  /** The same, at once. */
  endEpochNow(): void {
    if (this.#closing !== undefined) this.#writeSlice(Number.POSITIVE_INFINITY);
  }

  /** Writes everything that is dirty, so that the tree holds all there is. */
  writeAll(): void {
    this.endEpochNow();
    this.writeAhead(0);
    this.#allEvicted = ++this.evictions;
  }

  /** W4. What is evicted until `unwatch` is kept in mind. @returns evictions so far, for `evictedSince` */
  watch(): number {
    this.#watchers++;
    return this.evictions;
  }

  unwatch(): void {
    if (--this.#watchers === 0) this.#evicted.clear();
  }

  /** W4. Whether something of the key was dirty when it was dropped, after so many evictions. */
  evictedSince(keyId: unknown, evictions: number): boolean {
    return Math.max(this.#evicted.get(keyId) ?? 0, this.#allEvicted) > evictions;
  }

  /** Writes what changed in this epoch, the longest ago first, until at most `keep` changes are left for the barrier. */
  writeAhead(keep: number): void {
    const dirty = this.#dirty;
    const end = dirty.length - keep;
    for (; this.#ahead < end; this.#ahead++) {
      const cell = dirty[this.#ahead]!;
      if (!cell.gone && cell.dirtyEpoch !== 0) this.#write(cell, false);
    }
    // Else the list grows until the barrier.
    if (2 * this.#ahead > dirty.length) this.#shorten();
  }

  /** W5, W6 */
  #shorten(): void {
    const dirty = this.#dirty;
    const kept: ForstCell[] = [];
    for (let i = this.#ahead; i < dirty.length; i++) if (!dirty[i]!.gone) kept.push(dirty[i]!);
    this.#dirty = kept;
    this.#ahead = 0;
    this.#gone = 0;
  }

  /** Writes a cell of the closed epoch ahead of its turn (W1). */
  writeEarly(cell: ForstCell): void {
    if (cell.dirtyEpoch !== 0 && cell.dirtyEpoch !== this.epoch) this.#write(cell, true);
  }

  /** Evicts until the budget is kept; cells that were used since the hand came by get a second chance, those in use stay: as far as it gets. */
  evict(inUse?: (keyId: unknown) => boolean): void {
    const budget = this.#budgetBytes();
    // Two rounds see every cell without its second chance.
    let steps = 2 * this.#ring.length;
    let passes = IN_USE_PASSED_MAX;
    // Timers take from the budget, which may be less than nothing then: the ring can run empty.
    while (this.bytes > budget && this.#ring.length > 0 && steps-- > 0) {
      if (this.#hand >= this.#ring.length) this.#hand = 0;
      const cell = this.#ring[this.#hand]!;
      if (cell.referenced) {
        cell.referenced = false;
        this.#hand++;
        continue;
      }
      if (inUse?.(cell.keyId) === true) {
        this.#hand++;
        if (--passes === 0) return;
      } else this.#drop(cell);
    }
    if (this.#gone >= GONE_MAX && 2 * this.#gone >= this.#dirty.length) this.#shorten();
  }

  #drop(cell: ForstCell): void {
    if (cell.present || cell.inTree) this.holdsAll = false;
    if (cell.dirtyEpoch !== 0) {
      const closing = cell.dirtyEpoch !== this.epoch;
      cell.owner.writeCell(cell, closing);
      cell.dirtyEpoch = 0;
      if (!closing && !cell.gone) this.#gone++;
      this.evictions++;
      if (this.#watchers > 0) this.#noteEvicted(cell.keyId);
    }
    // Writing may have dropped it already.
    if (!cell.gone) cell.owner.forgetCell(cell);
  }

  /** W4 */
  #noteEvicted(keyId: unknown): void {
    if (this.#evicted.size >= EVICTED_KEYS_MAX) {
      this.#evicted.clear();
      this.#allEvicted = this.evictions;
    }
    this.#evicted.set(keyId, this.evictions);
  }

  /** `closing`: it is dirty in the closed epoch, else in this one. */
  #write(cell: ForstCell, closing: boolean): void {
    cell.owner.writeCell(cell, closing);
    cell.dirtyEpoch = 0;
    if (!cell.gone) return;
    this.folds++;
    this.holdsAll = false;
  }

  /** @returns true when the closing is over */
  #writeSlice(limit: number): boolean {
    const closing = this.#closing!;
    const end = Math.min(closing.length, this.#closingAt + limit);
    for (; this.#closingAt < end; this.#closingAt++) {
      const cell = closing[this.#closingAt]!;
      if (!cell.gone && cell.dirtyEpoch !== 0 && cell.dirtyEpoch !== this.epoch)
        this.#write(cell, true);
    }
    if (this.#closingAt < closing.length) return false;
    this.#closing = undefined;
    return true;
  }
}
