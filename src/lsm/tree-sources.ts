/** Where a tree's answers come from: tables of a run by key, and memtables as they are now. */
import { copyOf } from '../base/bytes.ts';
import { MemtableCursor } from './entry-cursor.ts';
import { compareKeys, compareRanges } from './key-order.ts';
import type { Lookup } from './lookup.ts';
import { Memtable } from './memtable.ts';
import type { OpenTable } from './open-table.ts';
import { normalizeRanges } from './table-format.ts';
import { ENTRY_EXPIRES, type TableMeta } from './table-meta.ts';
import type { TableOptions } from './table-writer.ts';

/** @hot The first table of a run that does not end before the key. */
export function firstTable(tables: readonly OpenTable[], key: Uint8Array): number {
  let low = 0;
  let high = tables.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { largest } = tables[middle]!.meta;
    if (compareRanges(largest, 0, largest.length, key, 0, key.length) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @hot The table of a run whose bounds hold the key. */
export function tableOf(tables: readonly OpenTable[], key: Uint8Array): OpenTable | undefined {
  const first = firstTable(tables, key);
  // A key that ends one table and begins the next is the next one's (V2).
  const next = tables[first + 1];
  const table =
    next !== undefined && compareKeys(next.meta.smallest, key) <= 0 ? next : tables[first];
  if (table === undefined) return undefined;
  const { smallest } = table.meta;
  return compareRanges(smallest, 0, smallest.length, key, 0, key.length) <= 0 ? table : undefined;
}

export function meets(meta: TableMeta, from: Uint8Array, to: Uint8Array | undefined): boolean {
  return (
    compareKeys(meta.largest, from) >= 0 && (to === undefined || compareKeys(meta.smallest, to) < 0)
  );
}

const PART_ENTRIES_LEAST = 8;
const PART_BYTES_PER_ENTRY = 64;

/** The entries of a memtable that begin with `prefix`, as a memtable of their own: the other goes on changing. */
export function frozenPart(
  memtable: Memtable,
  prefix: Uint8Array,
  options: TableOptions,
): Memtable {
  const entries = memtable.entriesWithPrefix(prefix);
  const room = 2 ** Math.ceil(Math.log2(Math.max(PART_ENTRIES_LEAST, entries.length)));
  const sizes = { entries: room, arenaBytes: PART_BYTES_PER_ENTRY * room };
  const part = new Memtable(memtable.epoch, options.prefixLength, sizes);
  for (const entry of entries) part.copyEntry(memtable, entry);
  part.sealed = true;
  return part;
}

/** Entries sorted between two looks at other work: about 2 ms. */
const SORTED_PER_SLICE = 8192;

interface RangeOptions {
  readonly table: TableOptions;
  readonly yieldToLoop: () => Promise<void>;
}

/** What memtables hold within a range at the time of the call. A sealed one is sorted once, whoever asks. */
export function rangeCursors(
  memtables: readonly Memtable[],
  range: { readonly from: Uint8Array; readonly to: Uint8Array | undefined },
  { table, yieldToLoop }: RangeOptions,
): Promise<readonly MemtableCursor[]> {
  return Promise.all(
    memtables.map(async (memtable) => {
      const ranges = normalizeRanges(memtable.rangeDeletes());
      const fixed = memtable.sealed ? memtable : frozen(memtable, table);
      fixed.sorted ??= sortEntries(fixed, yieldToLoop);
      const order = await fixed.sorted;
      const start = lowerBound(fixed, order, range.from);
      const end = range.to === undefined ? order.length : lowerBound(fixed, order, range.to);
      return new MemtableCursor(fixed, order.subarray(start, end), ranges);
    }),
  );
}

/** A memtable that still takes writes, as it is now. */
function frozen(memtable: Memtable, options: TableOptions): Memtable {
  const part = new Memtable(memtable.epoch, options.prefixLength);
  const { order } = memtable.groups();
  for (const entry of order) part.copyEntry(memtable, entry);
  part.sealed = true;
  return part;
}

async function sortEntries(
  memtable: Memtable,
  yieldToLoop: () => Promise<void>,
): Promise<Uint32Array> {
  const { order, ends } = memtable.groups();
  let start = 0;
  let sinceYield = 0;
  for (const end of ends) {
    if (end - start > 1) order.subarray(start, end).sort((a, b) => memtable.compare(a, b));
    sinceYield += end - start;
    start = end;
    if (sinceYield < SORTED_PER_SLICE) continue;
    sinceYield = 0;
    await yieldToLoop();
  }
  return order;
}

function lowerBound(memtable: Memtable, order: Uint32Array, key: Uint8Array): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(memtable.key(order[middle]!), key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @hot What a memtable says of a key; true when nothing older matters. `copy`: the answer has to outlive the next write. */
export function probeMemtable(
  memtable: Memtable,
  key: Uint8Array,
  print: number,
  lookup: Lookup,
  copy: boolean,
): boolean {
  const entry = memtable.find(key, 0, key.length, print);
  if (entry !== -1) {
    const kind = memtable.kinds[entry]! & ~ENTRY_EXPIRES;
    const value = copy ? copyOf(memtable.value(entry)) : memtable.value(entry);
    if (lookup.take(kind, value, memtable.expiryOf(entry))) return true;
  }
  return memtable.hidesOlder(key, 0, key.length);
}
