/**
 * A table: a sorted, immutable file. Layout, version 1 (docs/reference/table-format.md), every part sealed by `block-trailer.ts`:
 *
 *   data block*  |  filter  |  range deletes  |  index  |  footer
 *
 *   range deletes   count u32 | (fromLength u16 | from | toLength u16 | to)*          from inclusive, to exclusive, in order, apart
 *   index           blocks u32 | (offset u32 | length u32 | separatorLength u16 | separator)*
 *                   a separator is at or above its block's last key and below the next block's first
 *   footer          magic u32 | version u16 | filterLength u32 | rangeDeletesLength u32 | indexLength u32     (lengths with trailers)
 *
 * Offsets are from the start of the file. The three parts before the footer and the footer are read in one request.
 */
import { copyOf } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import type { BlockAddress } from './block-source.ts';
import { openBlock, TRAILER_BYTES } from './block-trailer.ts';
import { copyBytes } from './data-block.ts';
import { compareKeys, compareRanges } from './key-order.ts';

export const TABLE_MAGIC = 0x4d52_5442;
export const TABLE_VERSION = 1;
export const FOOTER_BYTES = 18 + TRAILER_BYTES;
export const KEY_BYTES_MAX = 32 * 1024;
export const VALUE_BYTES_MAX = 64 * 1024 * 1024;

export interface KeyRange {
  readonly from: Uint8Array;
  /** Exclusive. */
  readonly to: Uint8Array;
}

/** Index of a table in memory: block places and separators, without an object per block. */
export class TableIndex {
  readonly blocks: number;
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  readonly #keys: Uint8Array;
  /** And where the last ends. */
  readonly #keyStarts: Uint32Array;

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.blocks = view.getUint32(0, true);
    this.offsets = new Uint32Array(this.blocks);
    this.lengths = new Uint32Array(this.blocks);
    this.#keyStarts = new Uint32Array(this.blocks + 1);
    // A copy: the index stays in memory, what it was read from need not.
    this.#keys = new Uint8Array(bytes.length - 4 - 10 * this.blocks);
    let position = 4;
    let keyAt = 0;
    for (let i = 0; i < this.blocks; i++) {
      this.offsets[i] = view.getUint32(position, true);
      this.lengths[i] = view.getUint32(position + 4, true);
      const length = view.getUint16(position + 8, true);
      copyBytes(bytes, position + 10, position + 10 + length, this.#keys, keyAt);
      keyAt += length;
      this.#keyStarts[i + 1] = keyAt;
      position += 10 + length;
    }
  }

  get bytesInMemory(): number {
    return this.#keys.length + 12 * this.blocks;
  }

  address(block: number): BlockAddress {
    return { index: block, offset: this.offsets[block]!, length: this.lengths[block]! };
  }

  /** A key at or above the block's last and below the next block's first. */
  separator(block: number): Uint8Array {
    return this.#keys.subarray(this.#keyStarts[block], this.#keyStarts[block + 1]);
  }

  /** Whether there is such a block and it may hold keys within these bounds. */
  meets(block: number, bounds: { smallest: Uint8Array; largest: Uint8Array }): boolean {
    return (
      block < this.blocks &&
      compareKeys(this.separator(block), bounds.smallest) >= 0 &&
      (block === 0 || compareKeys(this.separator(block - 1), bounds.largest) < 0)
    );
  }

  /** @hot The block that may hold the key; `blocks` if the key is beyond the last. */
  blockOf(key: Uint8Array, start: number, end: number): number {
    const starts = this.#keyStarts;
    let low = 0;
    let high = this.blocks;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = compareRanges(
        this.#keys,
        starts[middle]!,
        starts[middle + 1]!,
        key,
        start,
        end,
      );
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What is kept in memory of an open table. */
export interface TableParts {
  readonly filter: Uint8Array;
  readonly rangeDeletes: readonly KeyRange[];
  readonly index: TableIndex;
}

/**
 * Reads the end of a file, from `metaOffset` on.
 * @throws `data` TABLE_CORRUPT or BLOCK_CORRUPT, TABLE_VERSION
 */
export function openParts(meta: Uint8Array, place: { object: string; offset: number }): TableParts {
  if (meta.length < FOOTER_BYTES) throw corruptTable(place, 'is too short');
  const footer = openBlock(meta.subarray(meta.length - FOOTER_BYTES), place);
  const view = new DataView(footer.buffer, footer.byteOffset, footer.byteLength);
  if (view.getUint32(0, true) !== TABLE_MAGIC) throw corruptTable(place, 'is not a table');
  const version = view.getUint16(4, true);
  if (version !== TABLE_VERSION)
    throw corruptTable(place, `has version ${version}; this release reads ${TABLE_VERSION}`);
  const lengths = [6, 10, 14].map((at) => view.getUint32(at, true));
  if (lengths.reduce((a, b) => a + b, FOOTER_BYTES) !== meta.length)
    throw corruptTable(place, 'has parts that do not add up');
  let position = 0;
  const [filter, deletes, index] = lengths.map((length) => {
    const part = openBlock(meta.subarray(position, position + length), place);
    position += length;
    return part;
  });
  return {
    filter: copyOf(filter!),
    rangeDeletes: decodeRanges(deletes!),
    index: new TableIndex(index!),
  };
}

function corruptTable(place: { object: string; offset: number }, what: string): MillraceError {
  return new MillraceError(
    'data',
    'TABLE_CORRUPT',
    `the table at ${place.offset} of ${place.object} ${what}. Nothing was deleted; restore from another retained checkpoint, or from a copy of this object`,
    { details: { object: place.object, offset: place.offset } },
  );
}

export function encodeRanges(ranges: readonly KeyRange[]): Uint8Array {
  const size = ranges.reduce((sum, { from, to }) => sum + 4 + from.length + to.length, 4);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ranges.length, true);
  let position = 4;
  for (const range of ranges) {
    for (const key of [range.from, range.to]) {
      view.setUint16(position, key.length, true);
      bytes.set(key, position + 2);
      position += 2 + key.length;
    }
  }
  return bytes;
}

function decodeRanges(bytes: Uint8Array): readonly KeyRange[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ranges: KeyRange[] = [];
  let position = 4;
  const key = (): Uint8Array => {
    const length = view.getUint16(position, true);
    const start = position + 2;
    position = start + length;
    return copyOf(bytes, start, position);
  };
  for (let i = view.getUint32(0, true); i > 0; i--) {
    const from = key();
    ranges.push({ from, to: key() });
  }
  return ranges;
}

/** @hot Whether one of these sorted, disjoint ranges covers the key. */
export function coversKey(
  ranges: readonly KeyRange[],
  key: Uint8Array,
  start: number,
  end: number,
): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { from } = ranges[middle]!;
    if (compareRanges(from, 0, from.length, key, start, end) <= 0) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return false;
  const { to } = ranges[low - 1]!;
  return compareRanges(key, start, end, to, 0, to.length) < 0;
}

/** Sorted, disjoint ranges that cover what the given ones cover. */
export function normalizeRanges(ranges: readonly KeyRange[]): readonly KeyRange[] {
  const out: KeyRange[] = [];
  for (const range of ranges.toSorted((a, b) => compareKeys(a.from, b.from))) {
    if (compareKeys(range.from, range.to) >= 0) continue;
    const last = out.at(-1);
    if (last === undefined || compareKeys(last.to, range.from) < 0) out.push(range);
    else if (compareKeys(last.to, range.to) < 0)
      out[out.length - 1] = { from: last.from, to: range.to };
  }
  return out;
}
