/**
 * From a sealed memtable to a table. Sorting and writing go in slices, so that the thread is never held for long: groups by the first two
 * bytes come from one pass, each group is sorted when its turn comes.
 */
import type { Memtable } from './memtable.ts';
import { normalizeRanges } from './table-format.ts';
import { type FinishedTable, type TableOptions, TableWriter } from './table-writer.ts';

/** Entries between two looks at other work: about 3 ms. */
const ENTRIES_PER_SLICE = 4096;

export async function writeMemtable(
  memtable: Memtable,
  options: TableOptions,
  yieldToLoop: () => Promise<void>,
): Promise<FinishedTable> {
  const writer = new TableWriter(options, memtable.bytes + (memtable.bytes >> 2) + 65_536);
  writer.deleteRanges(normalizeRanges(memtable.rangeDeletes()));
  const { order, ends } = memtable.groups();
  await yieldToLoop();
  const compare = (a: number, b: number): number => memtable.compare(a, b);
  let start = 0;
  let sinceYield = 0;
  for (let group = 0; group < ends.length; group++) {
    const end = ends[group]!;
    if (end === start) continue;
    const entries = order.subarray(start, end);
    if (entries.length > 1) entries.sort(compare);
    addEntries(writer, memtable, entries);
    sinceYield += entries.length;
    start = end;
    if (sinceYield >= ENTRIES_PER_SLICE) {
      sinceYield = 0;
      await yieldToLoop();
    }
  }
  return writer.finish(yieldToLoop);
}

/** @hot */
function addEntries(writer: TableWriter, memtable: Memtable, entries: Uint32Array): void {
  const { arena, keyStarts, keyLengths, valueStarts, valueLengths, kinds, fingerprints } = memtable;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    const keyStart = keyStarts[entry]!;
    const valueStart = valueStarts[entry]!;
    writer.add(
      arena,
      keyStart,
      keyStart + keyLengths[entry]!,
      fingerprints[entry]!,
      kinds[entry]!,
      memtable.expiryOf(entry),
      arena,
      valueStart,
      valueStart + valueLengths[entry]!,
    );
  }
}
