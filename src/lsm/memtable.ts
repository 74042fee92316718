/**
 * Writes that are not in a table yet: bytes in an arena, found by hash, sorted only when they are written out or scanned.
 *
 * Each key has one entry, its newest; an operand onto an entry that is here joins its operand list. Entries whose keys have a prefix
 * (`TableOptions.prefixLength`) are chained by it, so that reading or deleting what shares a prefix touches nothing else.
 *
 * Invariants
 *  M1  A sealed memtable never changes.
 *  M2  A prefix delete hides what older memtables and tables have, and took away what was here when it came.
 *  M3  Values and keys given to a write are copied.
 *
 * Cost: about 40 bytes an entry besides its key and value; a write about 0.2 us, a find about 0.1 us (`bench/state.ts`).
 */
import { copyOf } from '../base/bytes.ts';
import { internal } from '../base/errors.ts';
import { copyBytes } from './data-block.ts';
import { fingerprint } from './key-fingerprint.ts';
import { compareRanges } from './key-order.ts';
import { KEY_BYTES_MAX, type KeyRange, VALUE_BYTES_MAX } from './table-format.ts';
import { ENTRY, ENTRY_EXPIRES } from './table-meta.ts';
import { type TableOptions, tooLarge } from './table-writer.ts';

export interface MemtableSizes {
  readonly arenaBytes: number;
  /** A power of two. */
  readonly entries: number;
}

/** Up to so many entries are sorted as a whole. */
const ONE_GROUP_MAX = 1024;

const SMALL: MemtableSizes = { arenaBytes: 1 << 12, entries: 64 };

/** Kind of an entry that a prefix delete took away. */
const GONE = 0xff;
const NO_BYTES = new Uint8Array(0);

export class Memtable {
  readonly epoch: number;
  readonly #prefixLength: TableOptions['prefixLength'];
  arena: Uint8Array;
  #arenaUsed = 0;
  count = 0;
  keyStarts: Uint32Array;
  keyLengths: Uint16Array;
  valueStarts: Uint32Array;
  valueLengths: Uint32Array;
  kinds: Uint8Array;
  fingerprints: Uint32Array;
  expiries: Float64Array | undefined;
  #table: Int32Array;
  #prefixNext: Int32Array | undefined;
  #prefixHeads: Map<number, number> | undefined;
  readonly #prefixDeletes = new Map<string, KeyRange>();
  sealed = false;
  /** All entries in key order, once a scan of the sealed memtable has asked for it. */
  sorted: Promise<Uint32Array> | undefined;

  constructor(
    epoch: number,
    prefixLength: TableOptions['prefixLength'],
    { arenaBytes, entries }: MemtableSizes = SMALL,
  ) {
    this.epoch = epoch;
    this.#prefixLength = prefixLength;
    this.arena = new Uint8Array(arenaBytes);
    this.keyStarts = new Uint32Array(entries);
    this.keyLengths = new Uint16Array(entries);
    this.valueStarts = new Uint32Array(entries);
    this.valueLengths = new Uint32Array(entries);
    this.kinds = new Uint8Array(entries);
    this.fingerprints = new Uint32Array(entries);
    // Entries are a power of two, and a quarter of the places.
    this.#table = new Int32Array(4 * entries).fill(-1);
  }

  /** What the next memtable of the same tree may begin with. */
  get sizes(): MemtableSizes {
    return { arenaBytes: this.arena.length, entries: this.keyStarts.length };
  }

  /** Bytes of keys and values, those replaced since included. */
  get bytes(): number {
    return this.#arenaUsed;
  }

  get isEmpty(): boolean {
    return this.count === 0 && this.#prefixDeletes.size === 0;
  }

  /** Memory it takes. */
  get bytesInMemory(): number {
    return this.arena.length + this.keyStarts.length * 19 + this.#table.length * 4;
  }

  /** @hot The entry of a key, or -1. */
  find(key: Uint8Array, start: number, end: number, keyFingerprint: number): number {
    const table = this.#table;
    const mask = table.length - 1;
    for (let place = keyFingerprint & mask; ; place = (place + 1) & mask) {
      const entry = table[place]!;
      if (entry === -1) return -1;
      if (this.fingerprints[entry] !== keyFingerprint) continue;
      const at = this.keyStarts[entry]!;
      if (compareRanges(this.arena, at, at + this.keyLengths[entry]!, key, start, end) !== 0)
        continue;
      return this.kinds[entry] === GONE ? -1 : entry;
    }
  }

  /** Whether a prefix delete of this memtable hides what is older. */
  hidesOlder(key: Uint8Array, start: number, end: number): boolean {
    if (this.#prefixDeletes.size === 0) return false;
    const length = this.#prefixLength(key, start, end);
    return length > 0 && this.#prefixDeletes.has(nameOf(key, start, start + length));
  }

  /** Whether that very prefix was deleted here. */
  deletesPrefix(prefix: Uint8Array): boolean {
    return (
      this.#prefixDeletes.size > 0 && this.#prefixDeletes.has(nameOf(prefix, 0, prefix.length))
    );
  }

  rangeDeletes(): readonly KeyRange[] {
    return [...this.#prefixDeletes.values()];
  }

  /** @hot `value` is ignored for deletes. @throws `invalid` KEY_TOO_LARGE, VALUE_TOO_LARGE */
  write(
    key: Uint8Array,
    keyFingerprint: number,
    kind: number,
    value: Uint8Array,
    expiryMs: number,
  ): void {
    if (this.sealed) throw internal('MEMTABLE_SEALED', 'a sealed memtable was written to');
    if (key.length > KEY_BYTES_MAX) throw tooLarge('key', key.length, KEY_BYTES_MAX);
    if (value.length > VALUE_BYTES_MAX) throw tooLarge('value', value.length, VALUE_BYTES_MAX);
    const found = this.#slotOf(key, keyFingerprint);
    if (found === -1) this.#insert(key, keyFingerprint, kind, value, expiryMs);
    else this.#replace(found, kind, value, expiryMs);
  }

  /** Deletes every key that begins with `prefix`, which must be a prefix in the sense of `prefixLength`. */
  deletePrefix(prefix: Uint8Array): void {
    for (
      let entry = this.#prefixHeads?.get(fingerprint(prefix, 0, prefix.length)) ?? -1;
      entry !== -1;
      entry = this.#prefixNext![entry]!
    ) {
      if (this.#startsWith(entry, prefix)) this.kinds[entry] = GONE;
    }
    const name = nameOf(prefix, 0, prefix.length);
    if (this.#prefixDeletes.has(name)) return;
    const from = copyOf(prefix);
    this.#prefixDeletes.set(name, { from, to: afterPrefix(from) });
  }

  /** Whether some entry's key begins with `prefix`. */
  hasPrefix(prefix: Uint8Array, prefixFingerprint: number): boolean {
    let entry = this.#prefixHeads?.get(prefixFingerprint) ?? -1;
    for (; entry !== -1; entry = this.#prefixNext![entry]!)
      if (this.kinds[entry] !== GONE && this.#startsWith(entry, prefix)) return true;
    return false;
  }

  /** Entries whose keys begin with `prefix`, in key order. */
  entriesWithPrefix(prefix: Uint8Array): readonly number[] {
    const found: number[] = [];
    for (
      let entry = this.#prefixHeads?.get(fingerprint(prefix, 0, prefix.length)) ?? -1;
      entry !== -1;
      entry = this.#prefixNext![entry]!
    ) {
      if (this.kinds[entry] !== GONE && this.#startsWith(entry, prefix)) found.push(entry);
    }
    return found.sort((a, b) => this.compare(a, b));
  }

  /** All entries in key order. Groups by the first two bytes in one pass, so that sorting is of small groups; see `sortGroup`. */
  groups(): { readonly order: Uint32Array; readonly ends: Uint32Array } {
    const { arena, keyStarts, keyLengths, kinds, count } = this;
    if (count <= ONE_GROUP_MAX) return this.#oneGroup();
    const ends = new Uint32Array(65_536);
    const group = (entry: number): number => {
      const at = keyStarts[entry]!;
      return (
        ((keyLengths[entry]! > 0 ? arena[at]! : 0) << 8) |
        (keyLengths[entry]! > 1 ? arena[at + 1]! : 0)
      );
    };
    let live = 0;
    for (let i = 0; i < count; i++) {
      if (kinds[i] === GONE) continue;
      ends[group(i)]!++;
      live++;
    }
    let sum = 0;
    for (let i = 0; i < 65_536; i++) {
      const here = ends[i]!;
      ends[i] = sum;
      sum += here;
    }
    const order = new Uint32Array(live);
    for (let i = 0; i < count; i++) if (kinds[i] !== GONE) order[ends[group(i)]!++] = i;
    return { order, ends };
  }

  /** For few entries the pass over all possible groups would cost more than sorting. */
  #oneGroup(): { readonly order: Uint32Array; readonly ends: Uint32Array } {
    const order = new Uint32Array(this.count);
    let live = 0;
    for (let i = 0; i < this.count; i++) if (this.kinds[i] !== GONE) order[live++] = i;
    return { order: order.subarray(0, live), ends: Uint32Array.of(live) };
  }

  /** @hot Order of two entries' keys. */
  compare(a: number, b: number): number {
    const aStart = this.keyStarts[a]!;
    const bStart = this.keyStarts[b]!;
    return compareRanges(
      this.arena,
      aStart,
      aStart + this.keyLengths[a]!,
      this.arena,
      bStart,
      bStart + this.keyLengths[b]!,
    );
  }

  /** Takes an entry of another memtable over as it is, operands included. */
  copyEntry(from: Memtable, entry: number): void {
    const key = from.key(entry);
    const kind = from.kinds[entry]! & ~ENTRY_EXPIRES;
    // Written as a plain value, then given its kind: operand lists stay as they are.
    this.write(key, from.fingerprints[entry]!, ENTRY.put, from.value(entry), from.expiryOf(entry));
    this.kinds[this.count - 1] = kind | (this.kinds[this.count - 1]! & ENTRY_EXPIRES);
  }

  key(entry: number): Uint8Array {
    const at = this.keyStarts[entry]!;
    return this.arena.subarray(at, at + this.keyLengths[entry]!);
  }

  value(entry: number): Uint8Array {
    const at = this.valueStarts[entry]!;
    return this.arena.subarray(at, at + this.valueLengths[entry]!);
  }

  expiryOf(entry: number): number {
    return this.expiries?.[entry] ?? Number.POSITIVE_INFINITY;
  }

  #slotOf(key: Uint8Array, keyFingerprint: number): number {
    const table = this.#table;
    const mask = table.length - 1;
    for (let place = keyFingerprint & mask; ; place = (place + 1) & mask) {
      const entry = table[place]!;
      if (entry === -1) return -1;
      if (this.fingerprints[entry] !== keyFingerprint) continue;
      const at = this.keyStarts[entry]!;
      if (compareRanges(this.arena, at, at + this.keyLengths[entry]!, key, 0, key.length) === 0)
        return entry;
    }
  }

  #insert(
    key: Uint8Array,
    keyFingerprint: number,
    kind: number,
    value: Uint8Array,
    expiryMs: number,
  ): void {
    if (this.count === this.keyStarts.length) this.#growEntries();
    const entry = this.count++;
    const isOperand = kind === ENTRY.merge;
    this.#roomFor(key.length + value.length + 5);
    const at = this.#arenaUsed;
    copyBytes(key, 0, key.length, this.arena, at);
    this.keyStarts[entry] = at;
    this.keyLengths[entry] = key.length;
    this.fingerprints[entry] = keyFingerprint;
    this.#arenaUsed = at + key.length;
    this.#setValue(entry, kind, isOperand ? listOf(value) : value, expiryMs);
    const mask = this.#table.length - 1;
    let place = keyFingerprint & mask;
    while (this.#table[place] !== -1) place = (place + 1) & mask;
    this.#table[place] = entry;
    const prefix = this.#prefixLength(key, 0, key.length);
    if (prefix > 0) this.#chain(entry, fingerprint(key, 0, prefix));
  }

  #replace(entry: number, kind: number, value: Uint8Array, expiryMs: number): void {
    const stored = this.kinds[entry]!;
    const before = stored === GONE ? GONE : stored & ~ENTRY_EXPIRES;
    if (kind !== ENTRY.merge) {
      this.#setValue(entry, kind, value, expiryMs);
    } else if (before === ENTRY.merge || before === ENTRY.putMerge) {
      this.#setValue(entry, before, joined(this.value(entry), listOf(value)), expiryMs);
    } else if (before === ENTRY.put) {
      this.#setValue(
        entry,
        ENTRY.putMerge,
        joined(listOf(this.value(entry)), listOf(value)),
        expiryMs,
      );
    } else {
      // What is older is deleted: the operand is all there is. After a prefix delete older memtables are hidden too.
      this.#setValue(entry, ENTRY.putMerge, listOf(value), expiryMs);
    }
  }

  #setValue(entry: number, kind: number, value: Uint8Array, expiryMs: number): void {
    const bytes = kind === ENTRY.delete ? NO_BYTES : value;
    if (expiryMs === Number.POSITIVE_INFINITY) {
      this.kinds[entry] = kind;
    } else {
      this.expiries ??= new Float64Array(this.keyStarts.length).fill(Number.POSITIVE_INFINITY);
      this.expiries[entry] = expiryMs;
      this.kinds[entry] = kind | ENTRY_EXPIRES;
    }
    // A value that fits where the last one was takes its place.
    if (bytes.length > 0 && bytes.length <= this.valueLengths[entry]!) {
      copyBytes(bytes, 0, bytes.length, this.arena, this.valueStarts[entry]!);
      this.valueLengths[entry] = bytes.length;
      return;
    }
    this.#roomFor(bytes.length);
    copyBytes(bytes, 0, bytes.length, this.arena, this.#arenaUsed);
    this.valueStarts[entry] = this.#arenaUsed;
    this.valueLengths[entry] = bytes.length;
    this.#arenaUsed += bytes.length;
  }

  #chain(entry: number, prefixFingerprint: number): void {
    this.#prefixHeads ??= new Map();
    this.#prefixNext ??= new Int32Array(this.keyStarts.length).fill(-1);
    this.#prefixNext[entry] = this.#prefixHeads.get(prefixFingerprint) ?? -1;
    this.#prefixHeads.set(prefixFingerprint, entry);
  }

  #startsWith(entry: number, prefix: Uint8Array): boolean {
    const at = this.keyStarts[entry]!;
    return (
      this.keyLengths[entry]! >= prefix.length &&
      compareRanges(this.arena, at, at + prefix.length, prefix, 0, prefix.length) === 0
    );
  }

  #roomFor(bytes: number): void {
    const needed = this.#arenaUsed + bytes;
    if (needed <= this.arena.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.arena.length));
    grown.set(this.arena.subarray(0, this.#arenaUsed));
    this.arena = grown;
  }

  #growEntries(): void {
    const size = 2 * this.keyStarts.length;
    this.keyStarts = grown(this.keyStarts, new Uint32Array(size));
    this.keyLengths = grown(this.keyLengths, new Uint16Array(size));
    this.valueStarts = grown(this.valueStarts, new Uint32Array(size));
    this.valueLengths = grown(this.valueLengths, new Uint32Array(size));
    this.kinds = grown(this.kinds, new Uint8Array(size));
    this.fingerprints = grown(this.fingerprints, new Uint32Array(size));
    if (this.expiries !== undefined)
      this.expiries = grown(this.expiries, new Float64Array(size).fill(Number.POSITIVE_INFINITY));
    if (this.#prefixNext !== undefined)
      this.#prefixNext = grown(this.#prefixNext, new Int32Array(size).fill(-1));
    const table = new Int32Array(4 * size).fill(-1);
    const mask = table.length - 1;
    for (let entry = 0; entry < this.count; entry++) {
      let place = this.fingerprints[entry]! & mask;
      while (table[place] !== -1) place = (place + 1) & mask;
      table[place] = entry;
    }
    this.#table = table;
  }
}

function grown<A extends Uint32Array | Uint16Array | Uint8Array | Float64Array | Int32Array>(
  from: A,
  to: A,
): A {
  to.set(from);
  return to;
}

/** Bytes as a Map key. */
function nameOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

/** The first key after all that begin with `prefix`. */
export function afterPrefix(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) throw internal('UNBOUNDED_PREFIX', 'nothing comes after a prefix of all 0xff');
  const after = copyOf(prefix, 0, length);
  after[length - 1]!++;
  return after;
}

/** An operand list of one: its length as a varint, then its bytes. */
export function listOf(value: Uint8Array): Uint8Array {
  const header: number[] = [];
  let rest = value.length;
  while (rest >= 0x80) {
    header.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  header.push(rest);
  const list = new Uint8Array(header.length + value.length);
  list.set(header);
  list.set(value, header.length);
  return list;
}

export function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** The operands of a list, oldest first. */
export function operandsOf(list: Uint8Array): readonly Uint8Array[] {
  const operands: Uint8Array[] = [];
  let position = 0;
  while (position < list.length) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = list[position++]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    operands.push(list.subarray(position, position + length));
    position += length;
  }
  return operands;
}
