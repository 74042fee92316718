/**
 * Cursors over sorted entries: a memtable's or a table's. Synchronous while what they read is at hand; `load` fetches what is next.
 */
import type { BlockRead, BlockSource } from './block-source.ts';
import { DataBlockView } from './data-block.ts';
import { compareKeys, compareRanges } from './key-order.ts';
import type { Memtable } from './memtable.ts';
import type { OpenTable } from './open-table.ts';
import { coversKey, type KeyRange, type TableParts } from './table-format.ts';
import { ENTRY_EXPIRES } from './table-meta.ts';

export type Advance = 'entry' | 'end' | 'load';

/** After 'entry', the fields tell of it until the next `advance`. */
export interface EntryCursor {
  readonly key: Uint8Array;
  readonly keyLength: number;
  /** Without ENTRY_EXPIRES. */
  readonly kind: number;
  readonly expiryMs: number;
  readonly value: Uint8Array;
  readonly valueStart: number;
  readonly valueEnd: number;
  advance(): Advance;
  load(signal?: AbortSignal): Promise<void>;
  /** The next `advance` comes to the first entry from `key` on; false, and nothing is changed, if the cursor is there already. */
  seek(key: Uint8Array): boolean;
  /** Whether this source deletes that key from older ones by a range. */
  hides(key: Uint8Array, length: number): boolean;
}

/** Entries of a memtable as they were when the cursor was made: order and values are taken then. */
export class MemtableCursor implements EntryCursor {
  readonly #memtable: Memtable;
  readonly #entries: ArrayLike<number>;
  readonly #ranges: readonly KeyRange[];
  #at = -1;
  key: Uint8Array;
  keyLength = 0;
  kind = 0;
  expiryMs = 0;
  value: Uint8Array;
  valueStart = 0;
  valueEnd = 0;

  /** `entries` in key order; the memtable must not be written to while the cursor is used. */
  constructor(memtable: Memtable, entries: ArrayLike<number>, ranges: readonly KeyRange[]) {
    this.#memtable = memtable;
    this.#entries = entries;
    this.#ranges = ranges;
    this.key = memtable.arena;
    this.value = memtable.arena;
  }

  advance(): Advance {
    if (++this.#at >= this.#entries.length) return 'end';
    const entry = this.#entries[this.#at]!;
    const memtable = this.#memtable;
    this.key = memtable.key(entry);
    this.keyLength = this.key.length;
    this.kind = memtable.kinds[entry]! & ~ENTRY_EXPIRES;
    this.expiryMs = memtable.expiryOf(entry);
    this.value = memtable.arena;
    this.valueStart = memtable.valueStarts[entry]!;
    this.valueEnd = this.valueStart + memtable.valueLengths[entry]!;
    return 'entry';
  }

  load(): Promise<void> {
    return Promise.resolve();
  }

  seek(key: Uint8Array): boolean {
    const memtable = this.#memtable;
    if (this.#at >= 0 && compareKeys(this.key, key) >= 0) return false;
    let low = this.#at + 1;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareKeys(memtable.key(this.#entries[middle]!), key) < 0) low = middle + 1;
      else high = middle;
    }
    this.#at = low - 1;
    return true;
  }

  hides(key: Uint8Array, length: number): boolean {
    return this.#ranges.length > 0 && coversKey(this.#ranges, key, 0, length);
  }
}

/** Fetched ahead of a scan in one go, unless a cursor is told otherwise. */
const READ_AHEAD_BYTES = 256 * 1024;
/** The first fetch: a short scan needs no more. */
const FIRST_READ_BYTES = 16 * 1024;

export interface OpenedTable {
  readonly table: OpenTable;
  readonly parts: TableParts;
}

export interface CursorRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array | undefined;
  readonly readAheadBytes?: number;
}

/** Entries of an open table within bounds (from inclusive, to exclusive) and the table's clip. */
export class TableCursor implements EntryCursor {
  readonly #table: OpenTable;
  /** Its own, whatever the table drops meanwhile. */
  readonly #parts: TableParts;
  readonly #source: BlockSource;
  #from: Uint8Array;
  readonly #to: Uint8Array | undefined;
  readonly #view = new DataBlockView();
  readonly #loaded = new Map<number, Uint8Array>();
  #block: number;
  #lastBlock: number;
  #slot = -1;
  #inBlock = false;
  /** The next block is entered at `#from`. */
  #first = true;
  readonly #readAheadMax: number;
  #readAhead: number;
  key: Uint8Array = new Uint8Array(256);
  keyLength = 0;
  kind = 0;
  expiryMs = 0;
  value: Uint8Array = new Uint8Array(0);
  valueStart = 0;
  valueEnd = 0;

  constructor(
    { table, parts }: OpenedTable,
    source: BlockSource,
    { from, to, readAheadBytes }: CursorRange,
  ) {
    // Who says how much reads to the end.
    this.#readAheadMax = readAheadBytes ?? READ_AHEAD_BYTES;
    this.#readAhead = readAheadBytes ?? FIRST_READ_BYTES;
    this.#parts = parts;
    const { smallest, largest } = table.meta;
    this.#table = table;
    this.#source = source;
    this.#from = compareKeys(from, smallest) < 0 ? smallest : from;
    this.#to = to;
    const { index } = parts;
    this.#block = index.blockOf(this.#from, 0, this.#from.length);
    const end = to !== undefined && compareKeys(to, largest) < 0 ? to : largest;
    this.#lastBlock = Math.min(index.blocks - 1, index.blockOf(end, 0, end.length));
  }

  advance(): Advance {
    for (;;) {
      if (!this.#inBlock) {
        if (this.#block > this.#lastBlock) return 'end';
        if (!this.#enter()) return 'load';
      }
      if (this.#slot >= this.#view.count) {
        this.#inBlock = false;
        this.#block++;
        continue;
      }
      this.#view.read(this.#slot++);
      return this.#take() ? 'entry' : 'end';
    }
  }

  async load(signal?: AbortSignal): Promise<void> {
    const { index } = this.#parts;
    const reads: BlockRead[] = [];
    let bytes = 0;
    for (let block = this.#block; block <= this.#lastBlock; block++) {
      const address = index.address(block);
      bytes += address.length;
      if (reads.length > 0 && bytes > this.#readAhead) break;
      reads.push({ file: this.#table, block: address });
    }
    this.#readAhead = Math.min(this.#readAheadMax, this.#readAhead * 4);
    const options = signal === undefined ? { fill: false } : { fill: false, signal };
    const contents = await this.#source.read(reads, options);
    for (const [i, { block }] of reads.entries()) this.#loaded.set(block.index, contents[i]!);
  }

  seek(key: Uint8Array): boolean {
    const started = this.keyLength > 0;
    if (started && compareRanges(this.key, 0, this.keyLength, key, 0, key.length) >= 0)
      return false;
    if (compareKeys(key, this.#from) <= 0) return !started;
    this.#from = key;
    const block = this.#parts.index.blockOf(key, 0, key.length);
    // What was read ahead is of no use behind a gap.
    if (block > this.#block + 1) this.#readAhead = Math.min(this.#readAheadMax, FIRST_READ_BYTES);
    for (let passed = this.#block; passed < block && this.#loaded.size > 0; passed++)
      this.#loaded.delete(passed);
    if (block === this.#block && this.#inBlock) {
      this.#slot = this.#view.lowerBound(key, 0, key.length);
      return true;
    }
    this.#block = block;
    this.#inBlock = false;
    this.#first = true;
    return true;
  }

  hides(key: Uint8Array, length: number): boolean {
    const { rangeDeletes } = this.#parts;
    if (rangeDeletes.length === 0) return false;
    const { smallest, largest } = this.#table.meta;
    return (
      coversKey(rangeDeletes, key, 0, length) &&
      compareRanges(smallest, 0, smallest.length, key, 0, length) <= 0 &&
      compareRanges(key, 0, length, largest, 0, largest.length) <= 0
    );
  }

  #enter(): boolean {
    const loaded = this.#loaded.get(this.#block);
    const bytes =
      loaded ?? this.#source.resident(this.#table, this.#parts.index.address(this.#block), false);
    if (bytes === undefined) return false;
    this.#loaded.delete(this.#block);
    this.#view.open(bytes);
    this.#slot = this.#first ? this.#view.lowerBound(this.#from, 0, this.#from.length) : 0;
    this.#first = false;
    this.#inBlock = true;
    return true;
  }

  /** @hot Copies the entry's key out; false beyond the bounds. */
  #take(): boolean {
    const view = this.#view;
    const length = view.prefixLength + view.suffixEnd - view.suffixStart;
    if (length > this.key.length) this.key = new Uint8Array(2 * length);
    this.keyLength = view.copyKey(this.key);
    // Keys of earlier blocks are at most their separators, which are below the bounds.
    if (this.#block === this.#lastBlock && this.#isBeyond(length)) return this.#end();
    this.kind = view.kind & ~ENTRY_EXPIRES;
    this.expiryMs = view.expiryMs;
    this.value = view.bytes;
    this.valueStart = view.valueStart;
    this.valueEnd = view.valueEnd;
    return true;
  }

  #isBeyond(length: number): boolean {
    const { largest } = this.#table.meta;
    const to = this.#to;
    return (
      compareRanges(this.key, 0, length, largest, 0, largest.length) > 0 ||
      (to !== undefined && compareRanges(this.key, 0, length, to, 0, to.length) >= 0)
    );
  }

  #end(): boolean {
    this.#inBlock = false;
    this.#block = this.#lastBlock + 1;
    return false;
  }
}
