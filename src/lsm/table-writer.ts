/**
 * Writes a table from entries in key order. The file is built in memory: its size is bounded by the target of whoever writes.
 *
 * Cost: one copy of every key and value; about 400 MB/s a thread (`bench/state.ts`).
 */
import { copyOf } from '../base/bytes.ts';
import { deflateRawSync, zstdCompressSync } from 'node:zlib';
import { internal, MillraceError } from '../base/errors.ts';
import type { BlockAddress } from './block-source.ts';
import { COMPRESSION, sealBlock, TRAILER_BYTES } from './block-trailer.ts';
import { addToFilter, emptyFilter } from './bloom-filter.ts';
import { DataBlockBuilder } from './data-block.ts';
import { fingerprint } from './key-fingerprint.ts';
import { compareKeys, compareRanges } from './key-order.ts';
import {
  encodeRanges,
  FOOTER_BYTES,
  KEY_BYTES_MAX,
  type KeyRange,
  TABLE_MAGIC,
  TABLE_VERSION,
  VALUE_BYTES_MAX,
} from './table-format.ts';
import { ENTRY, ENTRY_EXPIRES } from './table-meta.ts';

/** Keys of a filter between two looks at other work: about 3 ms. */
const KEYS_PER_SLICE = 65_536;

export type Compression = keyof typeof COMPRESSION;

export interface TableOptions {
  /** Contents of a data block before compression. Default 4 KiB. */
  readonly blockBytes: number;
  readonly compression: Compression;
  /**
   * Length of the part of a key that prefix scans ask for; 0 for none. What it returns for a key is part of the format: readers ask
   * the filter for the same prefixes.
   */
  readonly prefixLength: (key: Uint8Array, start: number, end: number) => number;
}

export const TABLE_DEFAULTS: TableOptions = {
  blockBytes: 4 * 1024,
  compression: 'none',
  prefixLength: () => 0,
};

export interface FinishedTable {
  readonly bytes: Uint8Array;
  readonly metaOffset: number;
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
  readonly entries: number;
  readonly deletes: number;
  readonly merges: number;
  readonly rangeDeletes: number;
  readonly maxExpiryMs: number;
  readonly blocks: readonly BlockAddress[];
}

export class TableWriter {
  readonly #options: TableOptions;
  readonly #block = new DataBlockBuilder();
  readonly #blocks: BlockAddress[] = [];
  readonly #separators: Uint8Array[] = [];
  #out: Uint8Array;
  #position = 0;
  #fingerprints = new Uint32Array(4096);
  #fingerprintCount = 0;
  #prefix: Uint8Array | undefined;
  #rangeDeletes: readonly KeyRange[] = [];
  #smallest: Uint8Array | undefined;
  #entries = 0;
  #deletes = 0;
  #merges = 0;
  #maxExpiryMs = Number.NEGATIVE_INFINITY;

  constructor(options: TableOptions, bytesExpected = 1 << 20) {
    this.#options = options;
    this.#out = new Uint8Array(bytesExpected);
  }

  get entries(): number {
    return this.#entries;
  }

  /** Bytes of the file so far, without its index. */
  get size(): number {
    return this.#position + this.#block.sizeMax;
  }

  /** Ranges that hide what older tables have; sorted and disjoint. Entries of this table are not affected. */
  deleteRanges(ranges: readonly KeyRange[]): void {
    this.#rangeDeletes = ranges;
  }

  /**
   * @hot Adds an entry above all added before. Key and value are referred to until their block is written.
   * @throws `invalid` KEY_TOO_LARGE, VALUE_TOO_LARGE
   */
  add(
    keySource: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyFingerprint: number,
    kind: number,
    expiryMs: number,
    valueSource: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const size = keyEnd - keyStart + valueEnd - valueStart;
    checkSizes(keyEnd - keyStart, valueEnd - valueStart);
    const block = this.#block;
    if (block.count > 0 && (block.sizeMax + size > this.#options.blockBytes || block.full))
      this.#writeBlock(keySource.subarray(keyStart, keyEnd));
    this.#smallest ??= copyOf(keySource, keyStart, keyEnd);
    block.add(
      keySource,
      keyStart,
      keyEnd,
      keyFingerprint,
      kind,
      expiryMs,
      valueSource,
      valueStart,
      valueEnd,
    );
    this.#note(keyFingerprint);
    const prefix = this.#options.prefixLength(keySource, keyStart, keyEnd);
    if (prefix > 0) this.#notePrefix(keySource, keyStart, keyStart + prefix);
    this.#entries++;
    const plain = kind & ~ENTRY_EXPIRES;
    if (plain === ENTRY.delete) this.#deletes++;
    else if (plain === ENTRY.merge) this.#merges++;
    // A delete hides older entries for ever: it keeps nothing alive that it does not hide.
    const lives = (kind & ENTRY_EXPIRES) === 0 ? Number.POSITIVE_INFINITY : expiryMs;
    if (lives > this.#maxExpiryMs) this.#maxExpiryMs = lives;
  }

  /** The finished file, in slices so that the thread is never held for long; the writer is used up. */
  async finish(yieldToLoop: () => Promise<void>): Promise<FinishedTable> {
    const filter = emptyFilter(this.#fingerprintCount);
    for (let start = 0; start < this.#fingerprintCount; start += KEYS_PER_SLICE) {
      const end = Math.min(start + KEYS_PER_SLICE, this.#fingerprintCount);
      addToFilter(filter, this.#fingerprints, start, end);
      if (end < this.#fingerprintCount) await yieldToLoop();
    }
    return this.#finish(filter);
  }

  #finish(filterBits: Uint8Array): FinishedTable {
    const largest = this.#block.count > 0 ? copyOf(this.#block.lastKey()) : undefined;
    if (this.#block.count > 0) this.#writeBlock(undefined);
    const bounds = this.#bounds(largest);
    const metaOffset = this.#position;
    const filter = this.#part(filterBits);
    const deletes = this.#part(encodeRanges(this.#rangeDeletes));
    const index = this.#part(this.#encodeIndex());
    this.#footer(filter, deletes, index);
    return {
      bytes: this.#out.subarray(0, this.#position),
      metaOffset,
      ...bounds,
      entries: this.#entries,
      deletes: this.#deletes,
      merges: this.#merges,
      rangeDeletes: this.#rangeDeletes.length,
      maxExpiryMs: this.#rangeDeletes.length > 0 ? Number.POSITIVE_INFINITY : this.#maxExpiryMs,
      blocks: this.#blocks,
    };
  }

  /** Range deletes reach beyond the entries. */
  #bounds(last: Uint8Array | undefined): { smallest: Uint8Array; largest: Uint8Array } {
    let smallest = this.#smallest;
    let largest = last;
    for (const { from, to } of this.#rangeDeletes) {
      if (smallest === undefined || compareKeys(from, smallest) < 0) smallest = from;
      if (largest === undefined || compareKeys(to, largest) > 0) largest = to;
    }
    if (smallest === undefined || largest === undefined)
      throw internal('EMPTY_TABLE', 'a table without entries and range deletes was finished');
    return { smallest, largest };
  }

  #writeBlock(next: Uint8Array | undefined): void {
    const block = this.#block;
    const separator = shortestSeparator(block.lastKey(), next);
    this.#room(block.sizeMax + 64 + TRAILER_BYTES);
    const offset = this.#position;
    const end = block.write(this.#out, offset);
    this.#position = this.#seal(offset, end);
    this.#separators.push(separator);
    this.#blocks.push({
      index: this.#blocks.length,
      offset,
      length: this.#position - offset,
    });
  }

  /** Compresses a part that has been written in place, if that makes it smaller, and seals it. @returns where it ends */
  #seal(start: number, end: number): number {
    const { compression } = this.#options;
    let length = end - start;
    let kind: number = COMPRESSION.none;
    if (compression !== 'none') {
      const plain = this.#out.subarray(start, end);
      const packed = compression === 'zstd' ? zstdCompressSync(plain) : deflateRawSync(plain);
      if (packed.length < length) {
        this.#out.set(packed, start);
        length = packed.length;
        kind = COMPRESSION[compression];
      }
    }
    sealBlock(this.#out.subarray(start, start + length + TRAILER_BYTES), length, kind);
    return start + length + TRAILER_BYTES;
  }

  #part(contents: Uint8Array): number {
    this.#room(contents.length + TRAILER_BYTES);
    this.#out.set(contents, this.#position);
    const end = this.#seal(this.#position, this.#position + contents.length);
    const length = end - this.#position;
    this.#position = end;
    return length;
  }

  #footer(filter: number, deletes: number, index: number): void {
    this.#room(FOOTER_BYTES);
    const footer = this.#out.subarray(this.#position, this.#position + FOOTER_BYTES);
    const view = new DataView(footer.buffer, footer.byteOffset, FOOTER_BYTES);
    view.setUint32(0, TABLE_MAGIC, true);
    view.setUint16(4, TABLE_VERSION, true);
    view.setUint32(6, filter, true);
    view.setUint32(10, deletes, true);
    view.setUint32(14, index, true);
    sealBlock(footer, FOOTER_BYTES - TRAILER_BYTES, COMPRESSION.none);
    this.#position += FOOTER_BYTES;
  }

  #encodeIndex(): Uint8Array {
    const size = this.#separators.reduce((sum, key) => sum + 10 + key.length, 4);
    const bytes = new Uint8Array(size);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#blocks.length, true);
    let position = 4;
    for (const [i, { offset, length }] of this.#blocks.entries()) {
      const separator = this.#separators[i]!;
      view.setUint32(position, offset, true);
      view.setUint32(position + 4, length, true);
      view.setUint16(position + 8, separator.length, true);
      bytes.set(separator, position + 10);
      position += 10 + separator.length;
    }
    return bytes;
  }

  #note(keyFingerprint: number): void {
    if (this.#fingerprintCount === this.#fingerprints.length) {
      const grown = new Uint32Array(2 * this.#fingerprints.length);
      grown.set(this.#fingerprints);
      this.#fingerprints = grown;
    }
    this.#fingerprints[this.#fingerprintCount++] = keyFingerprint;
  }

  #notePrefix(source: Uint8Array, start: number, end: number): void {
    const last = this.#prefix;
    if (last !== undefined && compareRanges(last, 0, last.length, source, start, end) === 0) return;
    this.#prefix = copyOf(source, start, end);
    this.#note(fingerprint(source, start, end));
  }

  #room(bytes: number): void {
    const needed = this.#position + bytes;
    if (needed <= this.#out.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#out.length));
    grown.set(this.#out.subarray(0, this.#position));
    this.#out = grown;
  }
}

function checkSizes(key: number, value: number): void {
  if (key <= KEY_BYTES_MAX && value <= VALUE_BYTES_MAX) return;
  if (key > KEY_BYTES_MAX) throw tooLarge('key', key, KEY_BYTES_MAX);
  throw tooLarge('value', value, VALUE_BYTES_MAX);
}

export function tooLarge(what: 'key' | 'value', size: number, limit: number): MillraceError {
  return new MillraceError(
    'invalid',
    what === 'key' ? 'KEY_TOO_LARGE' : 'VALUE_TOO_LARGE',
    `a ${what} of ${size} bytes is larger than the ${limit} that state may have; ${what === 'key' ? 'key by something shorter, such as a hash' : 'split it, or keep it in map or list state'}`,
    { details: { size, limit } },
  );
}

/** The shortest key at or above `last` and below `next`. */
function shortestSeparator(last: Uint8Array, next: Uint8Array | undefined): Uint8Array {
  if (next === undefined) return copyOf(last);
  const length = Math.min(last.length, next.length);
  let i = 0;
  while (i < length && last[i] === next[i]) i++;
  // next > last, so the first difference is an increase, or last is a prefix of next.
  if (i >= last.length || last[i]! + 1 >= next[i]!) return copyOf(last);
  const separator = copyOf(last, 0, i + 1);
  separator[i]!++;
  return separator;
}
