/**
 * All live keys of a range in order, or from one place to the next, folded over sources from newest to oldest. Used by prefix reads, restores and inspection.
 *
 * With a handful of sources a linear choice of the smallest key beats a heap. Cost: one comparison per source and key; nothing is awaited but what has to be fetched.
 */
import { copyOf } from '../base/bytes.ts';
import { compareRanges } from './key-order.ts';
import type { EntryCursor } from './entry-cursor.ts';
import { Lookup } from './lookup.ts';
import { ENTRY } from './table-meta.ts';

export interface ScannedEntry {
  readonly key: Uint8Array;
  readonly lookup: Lookup;
}

export class MergedScan {
  /** Newest first. */
  readonly #cursors: readonly EntryCursor[];
  readonly #ended: boolean[];
  /** Cursors whose entry has been taken. */
  readonly #taken: boolean[];
  #anyTaken = true;
  readonly #signal: AbortSignal | undefined;

  constructor(cursors: readonly EntryCursor[], signal?: AbortSignal) {
    this.#cursors = cursors;
    this.#ended = cursors.map(() => false);
    this.#taken = cursors.map(() => true);
    this.#signal = signal;
  }

  /** The next live entries, at most `limit`; empty at the end. Their bytes are their own. */
  async next(limit: number): Promise<readonly ScannedEntry[]> {
    const batch: ScannedEntry[] = [];
    while (batch.length < limit) {
      if (this.#anyTaken && !this.#advance()) {
        await this.#load();
        continue;
      }
      const smallest = this.#smallest();
      if (smallest === -1) break;
      const cursor = this.#cursors[smallest]!;
      const key = copyOf(cursor.key, 0, cursor.keyLength);
      const lookup = new Lookup();
      if (this.#fold(key, key.length, { first: smallest, lookup })) batch.push({ key, lookup });
    }
    return batch;
  }

  /**
   * Shows the next `limit` keys that are not deleted, or all there are; `visit` may answer where to go on. The bytes it sees are good until it returns.
   * @returns false at the end
   */
  async walk(
    limit: number,
    visit: (key: Uint8Array, length: number) => Uint8Array | undefined,
  ): Promise<boolean> {
    for (let seen = 0; seen < limit;) {
      if (this.#anyTaken && !this.#advance()) {
        await this.#load();
        continue;
      }
      const smallest = this.#smallest();
      if (smallest === -1) return false;
      seen++;
      const { key, keyLength } = this.#cursors[smallest]!;
      if (!this.#fold(key, keyLength, { first: smallest, lookup: undefined })) continue;
      const to = visit(key, keyLength);
      if (to !== undefined) this.seek(to);
    }
    return true;
  }

  /** Goes on at the first key from `key` on; never goes back. */
  seek(key: Uint8Array): void {
    for (let i = 0; i < this.#cursors.length; i++) {
      if (this.#ended[i] === true || !this.#cursors[i]!.seek(key)) continue;
      this.#taken[i] = true;
      this.#anyTaken = true;
    }
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

  /** Takes the key from every source that has it; without `lookup` only to see whether something lives. */
  #fold(
    key: Uint8Array,
    length: number,
    { first, lookup }: { readonly first: number; readonly lookup: Lookup | undefined },
  ): boolean {
    let settled = this.#hiddenBefore(key, length, first);
    let lives = false;
    for (let i = first; i < this.#cursors.length; i++) {
      const cursor = this.#cursors[i]!;
      if (
        this.#ended[i] !== true &&
        compareRanges(cursor.key, 0, cursor.keyLength, key, 0, length) === 0
      ) {
        if (!settled) {
          lives ||= cursor.kind !== ENTRY.delete;
          settled =
            lookup === undefined
              ? true
              : lookup.take(
                  cursor.kind,
                  copyOf(cursor.value, cursor.valueStart, cursor.valueEnd),
                  cursor.expiryMs,
                );
        }
        this.#taken[i] = true;
        this.#anyTaken = true;
      }
      if (!settled && cursor.hides(key, length)) settled = true;
    }
    return lives;
  }

  #hiddenBefore(key: Uint8Array, length: number, first: number): boolean {
    for (let i = 0; i < first; i++) if (this.#cursors[i]!.hides(key, length)) return true;
    return false;
  }

  /** Moves on those that were taken; false: some have to load. */
  #advance(): boolean {
    this.#anyTaken = false;
    for (let i = 0; i < this.#cursors.length; i++) {
      if (this.#taken[i] !== true || this.#ended[i] === true) continue;
      const step = this.#cursors[i]!.advance();
      if (step === 'load') {
        this.#anyTaken = true;
        continue;
      }
      this.#taken[i] = false;
      if (step === 'end') this.#ended[i] = true;
    }
    return !this.#anyTaken;
  }

  /** After `advance` has found some that have to: only those are still taken. */
  async #load(): Promise<void> {
    const waiting = this.#cursors.filter((_, i) => this.#taken[i] === true && !this.#ended[i]!);
    await Promise.all(waiting.map((cursor) => cursor.load(this.#signal)));
  }
}
