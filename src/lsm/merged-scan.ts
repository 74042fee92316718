/**
 * All live keys of a range in order, or from one place to the next, folded over sources from newest to oldest. Used by prefix reads, restores and inspection.
 *
 * With a handful of sources a linear choice of the smallest key beats a heap. Cost: one comparison per source and key.
 */
import { copyOf } from '../base/bytes.ts';
import { compareRanges } from './key-order.ts';
import type { EntryCursor } from './entry-cursor.ts';
import { Lookup } from './lookup.ts';

export interface ScannedEntry {
  readonly key: Uint8Array;
  readonly lookup: Lookup;
}

export class MergedScan {
  /** Newest first. */
  readonly #cursors: readonly EntryCursor[];
  readonly #ended: boolean[];
  readonly #signal: AbortSignal | undefined;
  #started = false;

  constructor(cursors: readonly EntryCursor[], signal?: AbortSignal) {
    this.#cursors = cursors;
    this.#ended = cursors.map(() => false);
    this.#signal = signal;
  }

  /** The next live entries, at most `limit`; empty at the end. Their bytes are their own. */
  async next(limit: number): Promise<readonly ScannedEntry[]> {
    if (!this.#started) {
      this.#started = true;
      for (let i = 0; i < this.#cursors.length; i++) await this.#advance(i);
    }
    const batch: ScannedEntry[] = [];
    while (batch.length < limit) {
      const smallest = this.#smallest();
      if (smallest === -1) break;
      const key = this.#keyOf(smallest);
      const lookup = new Lookup();
      if (await this.#fold(key, smallest, lookup)) batch.push({ key, lookup });
    }
    return batch;
  }

  /** Goes on at the first key from `key` on; never goes back. */
  async seek(key: Uint8Array): Promise<void> {
    this.#started = true;
    const moved = this.#cursors.flatMap((cursor, i) =>
      this.#ended[i] !== true && cursor.seek(key) ? [i] : [],
    );
    await Promise.all(moved.map((i) => this.#advance(i)));
  }

  #smallest(): number {
    let best = -1;
    for (let i = 0; i < this.#cursors.length; i++) {
      if (this.#ended[i] === true) continue;
      if (best === -1) {
        best = i;
        continue;
      }
      const a = this.#cursors[i]!;
      const b = this.#cursors[best]!;
      if (compareRanges(a.key, 0, a.keyLength, b.key, 0, b.keyLength) < 0) best = i;
    }
    return best;
  }

  #keyOf(index: number): Uint8Array {
    const cursor = this.#cursors[index]!;
    return copyOf(cursor.key, 0, cursor.keyLength);
  }

  /** Takes the key from every source that has it. @returns whether something lives */
  async #fold(key: Uint8Array, first: number, lookup: Lookup): Promise<boolean> {
    let settled = this.#hiddenBefore(key, first);
    for (let i = first; i < this.#cursors.length; i++) {
      const cursor = this.#cursors[i]!;
      if (
        this.#ended[i] !== true &&
        compareRanges(cursor.key, 0, cursor.keyLength, key, 0, key.length) === 0
      ) {
        if (!settled)
          settled = lookup.take(
            cursor.kind,
            copyOf(cursor.value, cursor.valueStart, cursor.valueEnd),
            cursor.expiryMs,
          );
        await this.#advance(i);
      }
      if (!settled && cursor.hides(key, key.length)) settled = true;
    }
    return lookup.exists;
  }

  #hiddenBefore(key: Uint8Array, first: number): boolean {
    for (let i = 0; i < first; i++) if (this.#cursors[i]!.hides(key, key.length)) return true;
    return false;
  }

  async #advance(index: number): Promise<void> {
    const cursor = this.#cursors[index]!;
    for (;;) {
      const step = cursor.advance();
      if (step === 'load') {
        await cursor.load(this.#signal);
        continue;
      }
      if (step === 'end') this.#ended[index] = true;
      return;
    }
  }
}
