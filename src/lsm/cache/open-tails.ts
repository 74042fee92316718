/**
 * Indexes and filters of open files in memory: they come before blocks, up to three quarters of the budget that they share; beyond that
 * those that were not read for longest are dropped (FIFO with a second chance), to come back from local disk or the store.
 *
 * Invariant: `pinned` in the block cache is what is held here; more than the share is held only by the newest alone.
 */
import type { BlockAddress, StoredFile, TailHolder, Tails } from '../block-source.ts';
import type { BlockCache } from './block-cache.ts';
import type { DiskCache } from './disk-cache.ts';

const SHARE = 0.75;

export class OpenTails implements Tails {
  readonly #memory: BlockCache;
  readonly #disk: DiskCache | undefined;
  /** Oldest first. */
  readonly #held = new Map<TailHolder, number>();
  #bytes = 0;

  constructor(memory: BlockCache, disk: DiskCache | undefined) {
    this.#memory = memory;
    this.#disk = disk;
  }

  get bytes(): number {
    return this.#bytes;
  }

  isOnDisk(file: StoredFile, tail: BlockAddress): boolean {
    return this.#disk?.has(file, tail) === true;
  }

  read(file: StoredFile, tail: BlockAddress): Uint8Array | undefined {
    return this.#disk?.readStored(file, tail);
  }

  write(file: StoredFile, tail: BlockAddress, bytes: Uint8Array): void {
    this.#disk?.putBlock(file, tail, bytes);
  }

  hold(holder: TailHolder, bytes: number): void {
    this.release(holder);
    this.#held.set(holder, bytes);
    this.#bytes += bytes;
    this.#evict();
    this.#memory.pin(this.#bytes - this.#memory.pinnedBytes);
  }

  release(holder: TailHolder): void {
    this.#bytes -= this.#held.get(holder) ?? 0;
    this.#held.delete(holder);
    this.#memory.pin(this.#bytes - this.#memory.pinnedBytes);
  }

  #evict(): void {
    const limit = SHARE * this.#memory.budgetBytes;
    let chances = this.#held.size;
    for (const [holder, bytes] of this.#held) {
      if (this.#bytes <= limit || this.#held.size === 1) return;
      this.#held.delete(holder);
      if (holder.tailUsed && chances-- > 0) {
        holder.tailUsed = false;
        this.#held.set(holder, bytes);
        continue;
      }
      this.#bytes -= bytes;
      holder.dropTail();
    }
  }
}
