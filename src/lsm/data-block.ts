/**
 * A block of sorted entries. Layout (little-endian), before the trailer of `block-trailer.ts`:
 *
 *   prefixLength u16 | prefix                          what all keys of the block begin with
 *   entry*   suffixLength varint | kind u8 | expiry f64 if ENTRY_EXPIRES | valueLength varint | suffix | value
 *   slot*    u16: where each entry starts, in key order
 *   bucket*  u16: slot of the key whose fingerprint mod buckets is this place; EMPTY, or SHARED by several
 *   count u16 | buckets u16
 *
 * A point read is one hash probe and one comparison; only keys that share a bucket are searched by halving. A block is cut before an entry
 * would start beyond 64 KiB; a single large entry has a block of its own.
 */
import { MillraceError } from '../base/errors.ts';
import { compareRanges } from './key-order.ts';
import { ENTRY_EXPIRES } from './table-meta.ts';

const EMPTY = 0xffff;
const SHARED = 0xfffe;
const ENTRIES_MAX = 0xfff0;
const ENTRY_START_MAX = 0xffff;
/** Copying fewer bytes than this in a loop beats a call. */
const LOOP_COPY_MAX = 40;

/** @hot */
export function copyBytes(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): void {
  if (end - start <= LOOP_COPY_MAX) {
    for (let i = start, j = at; i < end; i++, j++) to[j] = from[i]!;
  } else {
    to.set(from.subarray(start, end), at);
  }
}

/**
 * Collects the entries of one block by reference, then writes it. What was added must stay as it is until `write`.
 */
export class DataBlockBuilder {
  readonly #sources: Uint8Array[] = [];
  readonly #values: Uint8Array[] = [];
  /** keyStart, keyEnd, valueStart, valueEnd, kind, fingerprint per entry. */
  #numbers = new Float64Array(6 * 256);
  #expiries = new Float64Array(256);
  #starts = new Uint32Array(256);
  count = 0;
  /** Upper bound of what `write` needs. */
  sizeMax = 16;

  get lastKeyStart(): number {
    return this.#numbers[6 * (this.count - 1)]!;
  }

  /** Whether the block would still be well-formed with one more entry. */
  get full(): boolean {
    return this.count >= ENTRIES_MAX || this.sizeMax >= ENTRY_START_MAX;
  }

  /** @hot */
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
    const i = this.count++;
    if (6 * i === this.#numbers.length) this.#grow();
    this.#sources[i] = keySource;
    this.#values[i] = valueSource;
    const n = this.#numbers;
    const at = 6 * i;
    n[at] = keyStart;
    n[at + 1] = keyEnd;
    n[at + 2] = valueStart;
    n[at + 3] = valueEnd;
    n[at + 4] = kind;
    n[at + 5] = keyFingerprint;
    this.#expiries[i] = expiryMs;
    this.sizeMax += keyEnd - keyStart + valueEnd - valueStart + 25;
  }

  firstKey(): Uint8Array {
    return this.#sources[0]!.subarray(this.#numbers[0], this.#numbers[1]);
  }

  lastKey(): Uint8Array {
    const at = 6 * (this.count - 1);
    return this.#sources[this.count - 1]!.subarray(this.#numbers[at], this.#numbers[at + 1]);
  }

  /** Writes the block at `at` (there must be room for `sizeMax`) and starts anew. @returns where it ends */
  write(out: Uint8Array, at: number): number {
    const { count } = this;
    const prefix = this.#commonPrefix();
    let position = at;
    out[position++] = prefix;
    out[position++] = prefix >>> 8;
    copyBytes(this.#sources[0]!, this.#numbers[0]!, this.#numbers[0]! + prefix, out, position);
    position = this.#writeEntries(out, at, position + prefix, prefix);
    for (let i = 0; i < count; i++) {
      const start = this.#starts[i]!;
      out[position++] = start;
      out[position++] = start >>> 8;
    }
    position = this.#writeBuckets(out, position);
    this.count = 0;
    this.sizeMax = 16;
    return position;
  }

  /** @hot */
  #writeEntries(out: Uint8Array, blockStart: number, from: number, prefix: number): number {
    let position = from;
    for (let i = 0; i < this.count; i++) {
      const at = 6 * i;
      const keyStart = this.#numbers[at]! + prefix;
      const keyEnd = this.#numbers[at + 1]!;
      const valueStart = this.#numbers[at + 2]!;
      const valueEnd = this.#numbers[at + 3]!;
      const kind = this.#numbers[at + 4]!;
      this.#starts[i] = position - blockStart;
      position = writeLength(out, position, keyEnd - keyStart);
      out[position++] = kind;
      if ((kind & ENTRY_EXPIRES) !== 0) {
        writeFloat(out, position, this.#expiries[i]!);
        position += 8;
      }
      position = writeLength(out, position, valueEnd - valueStart);
      copyBytes(this.#sources[i]!, keyStart, keyEnd, out, position);
      position += keyEnd - keyStart;
      copyBytes(this.#values[i]!, valueStart, valueEnd, out, position);
      position += valueEnd - valueStart;
    }
    return position;
  }

  #writeBuckets(out: Uint8Array, from: number): number {
    const { count } = this;
    const buckets = Math.min(EMPTY, Math.ceil((count * 4) / 3)) | 1;
    const end = from + 2 * buckets;
    out.fill(0xff, from, end);
    for (let i = 0; i < count; i++) {
      const place = from + 2 * (this.#numbers[6 * i + 5]! % buckets);
      const slot = out[place] === 0xff && out[place + 1] === 0xff ? i : SHARED;
      out[place] = slot;
      out[place + 1] = slot >>> 8;
    }
    out[end] = count;
    out[end + 1] = count >>> 8;
    out[end + 2] = buckets;
    out[end + 3] = buckets >>> 8;
    return end + 4;
  }

  /** Keys are sorted: what the first and the last share, all share. */
  #commonPrefix(): number {
    const last = this.count - 1;
    const a = this.#sources[0]!;
    const b = this.#sources[last]!;
    const aStart = this.#numbers[0]!;
    const bStart = this.#numbers[6 * last]!;
    const length = Math.min(this.#numbers[1]! - aStart, this.#numbers[6 * last + 1]! - bStart);
    let i = 0;
    while (i < length && a[aStart + i] === b[bStart + i]) i++;
    return i;
  }

  #grow(): void {
    const numbers = new Float64Array(this.#numbers.length * 2);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
    const expiries = new Float64Array(this.#expiries.length * 2);
    expiries.set(this.#expiries);
    this.#expiries = expiries;
    this.#starts = new Uint32Array(this.#starts.length * 2);
  }
}

/** @hot LEB128 */
function writeLength(out: Uint8Array, at: number, length: number): number {
  let position = at;
  let rest = length;
  while (rest >= 0x80) {
    out[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[position++] = rest;
  return position;
}

const FLOAT = new Float64Array(1);
const FLOAT_BYTES = new Uint8Array(FLOAT.buffer);

function writeFloat(out: Uint8Array, at: number, value: number): void {
  FLOAT[0] = value;
  for (let i = 0; i < 8; i++) out[at + i] = FLOAT_BYTES[i]!;
}

/** A reading glass over one block at a time: fields tell of the entry that was read last. */
export class DataBlockView {
  bytes: Uint8Array = new Uint8Array(0);
  count = 0;
  kind = 0;
  expiryMs = 0;
  suffixStart = 0;
  suffixEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  prefixLength = 0;
  #buckets = 0;
  #slots = 0;
  #bucketsAt = 0;

  /** @hot @throws `data` BLOCK_MALFORMED; a checksum was verified before, so this is a bug or a forgery */
  open(bytes: Uint8Array): void {
    const { length } = bytes;
    this.bytes = bytes;
    this.prefixLength = bytes[0]! | (bytes[1]! << 8);
    this.count = bytes[length - 4]! | (bytes[length - 3]! << 8);
    this.#buckets = bytes[length - 2]! | (bytes[length - 1]! << 8);
    this.#bucketsAt = length - 4 - 2 * this.#buckets;
    this.#slots = this.#bucketsAt - 2 * this.count;
    if (
      length < 8 ||
      this.count === 0 ||
      this.#buckets === 0 ||
      this.#slots < 2 + this.prefixLength
    )
      throw malformed();
  }

  /** @hot The slot of a key, or -1; the entry's fields are set when it is found. */
  find(key: Uint8Array, start: number, end: number, keyFingerprint: number): number {
    const { bytes } = this;
    const place = this.#bucketsAt + 2 * (keyFingerprint % this.#buckets);
    const slot = bytes[place]! | (bytes[place + 1]! << 8);
    if (slot === EMPTY) return -1;
    if (!this.#hasPrefix(key, start, end)) return -1;
    const from = start + this.prefixLength;
    if (slot === SHARED) {
      const found = this.lowerBound(key, start, end);
      if (found === this.count) return -1;
      return compareRanges(bytes, this.suffixStart, this.suffixEnd, key, from, end) === 0
        ? found
        : -1;
    }
    this.read(slot);
    return compareRanges(bytes, this.suffixStart, this.suffixEnd, key, from, end) === 0 ? slot : -1;
  }

  /** The first slot whose key is not below the given one, its entry read; `count` if there is none. */
  lowerBound(key: Uint8Array, start: number, end: number): number {
    const { bytes, prefixLength } = this;
    const shared = Math.min(prefixLength, end - start);
    const order = compareRanges(bytes, 2, 2 + prefixLength, key, start, start + shared);
    if (order > 0) return this.#readFirst();
    if (order < 0) return this.count;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      this.read(middle);
      if (compareRanges(bytes, this.suffixStart, this.suffixEnd, key, start + shared, end) < 0)
        low = middle + 1;
      else high = middle;
    }
    if (low < this.count) this.read(low);
    return low;
  }

  /** @hot */
  read(slot: number): void {
    const { bytes } = this;
    const at = this.#slots + 2 * slot;
    let position = bytes[at]! | (bytes[at + 1]! << 8);
    let byte = bytes[position++]!;
    let suffix = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[position++]!;
      suffix |= (byte & 0x7f) << shift;
    }
    this.kind = bytes[position++]!;
    if ((this.kind & ENTRY_EXPIRES) === 0) {
      this.expiryMs = Number.POSITIVE_INFINITY;
    } else {
      for (let i = 0; i < 8; i++) FLOAT_BYTES[i] = bytes[position + i]!;
      this.expiryMs = FLOAT[0]!;
      position += 8;
    }
    byte = bytes[position++]!;
    let value = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[position++]!;
      value |= (byte & 0x7f) << shift;
    }
    this.suffixStart = position;
    this.suffixEnd = position + suffix;
    this.valueStart = this.suffixEnd;
    this.valueEnd = this.suffixEnd + value;
  }

  /** @hot Writes the whole key of the entry read last. @returns its length */
  copyKey(out: Uint8Array): number {
    const { bytes, prefixLength } = this;
    copyBytes(bytes, 2, 2 + prefixLength, out, 0);
    copyBytes(bytes, this.suffixStart, this.suffixEnd, out, prefixLength);
    return prefixLength + this.suffixEnd - this.suffixStart;
  }

  #readFirst(): number {
    this.read(0);
    return 0;
  }

  #hasPrefix(key: Uint8Array, start: number, end: number): boolean {
    const { bytes, prefixLength } = this;
    if (end - start < prefixLength) return false;
    for (let i = 0; i < prefixLength; i++) if (bytes[2 + i] !== key[start + i]) return false;
    return true;
  }
}

const malformed = (): MillraceError =>
  new MillraceError(
    'data',
    'BLOCK_MALFORMED',
    'a data block does not have the layout of this release, although its checksum is right; it was written by another release or another program',
  );
