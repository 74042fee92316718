/**
 * Merges sorted runs into new tables: a pure job over immutable inputs, in slices so that it can share a thread.
 *
 * Invariants
 *  K1  What a reader finds through the result and everything older is what it found through the inputs and everything older.
 *  K2  At the bottom nothing older exists: deletes, expired entries and range deletes go; operands become values when nothing is under them.
 *  K3  Operand lists are joined, never folded: folding needs the functions of the job.
 *
 * Cost: one comparison per source and entry, one copy of every byte that stays.
 */
import { copyOf } from '../../base/bytes.ts';
import type { BlockSource } from '../block-source.ts';
import { copyBytes } from '../data-block.ts';
import { type EntryCursor, TableCursor } from '../entry-cursor.ts';
import { fingerprint } from '../key-fingerprint.ts';
import { compareRanges } from '../key-order.ts';
import { joined, listOf } from '../memtable.ts';
import { OpenTable } from '../open-table.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { coversKey, type KeyRange, normalizeRanges } from '../table-format.ts';
import { placedTable, type TableFiles } from '../table-files.ts';
import { ENTRY, ENTRY_EXPIRES, type TableMeta } from '../table-meta.ts';
import { type TableOptions, TableWriter } from '../table-writer.ts';
import type { CompactionJob } from './pick-compaction.ts';
import { clippedRanges } from './clipped-ranges.ts';

/** Entries between two looks at other work: about 3 ms. */
const ENTRIES_PER_SLICE = 2048;
const NO_BYTES = new Uint8Array(0);
/** Of a buffer for a file, so that a small one has room for its index. */
const FILE_BYTES_LEAST = 65_536;

export interface CompactionParams {
  readonly store: ObjectStore;
  readonly blocks: BlockSource;
  readonly files: TableFiles;
  readonly table: TableOptions;
  readonly fileBytes: number;
  /** Expired entries are dropped by it. */
  readonly nowMs: number;
  readonly yieldToLoop: () => Promise<void>;
  readonly signal?: AbortSignal;
}

export interface CompactionOutput {
  readonly meta: TableMeta;
  /** The file as it was written, for caches. */
  readonly bytes: Uint8Array;
}

export async function runCompaction(
  job: CompactionJob,
  params: CompactionParams,
): Promise<readonly CompactionOutput[]> {
  const merge = new Merge(job, params);
  try {
    return await merge.run();
  } finally {
    merge.close();
  }
}

class Merge {
  readonly #job: CompactionJob;
  readonly #params: CompactionParams;
  readonly #tables: readonly OpenTable[];
  readonly #outputs: CompactionOutput[] = [];
  /** Newest first; tables of one run follow each other. */
  #sources: RunCursor[] = [];
  #ranges: readonly KeyRange[] = [];
  readonly #keys = new KeyArena();
  #writer: TableWriter | undefined;
  #writerFrom: Uint8Array = NO_BYTES;

  constructor(job: CompactionJob, params: CompactionParams) {
    this.#job = job;
    this.#params = params;
    this.#tables = job.inputs.flatMap(({ tables }) => tables.map((meta) => new OpenTable(meta)));
  }

  close(): void {
    for (const table of this.#tables) this.#params.blocks.forget(table);
  }

  async run(): Promise<readonly CompactionOutput[]> {
    const { store, signal } = this.#params;
    await Promise.all(this.#tables.map((table) => table.open(store, signal)));
    let at = 0;
    this.#sources = this.#job.inputs.map(({ tables }) => {
      const run = this.#tables.slice(at, at + tables.length);
      at += tables.length;
      return new RunCursor(run, this.#params.blocks);
    });
    for (const source of this.#sources) await source.next(signal);
    if (!this.#job.bottom) this.#ranges = normalizeRanges(this.#tables.flatMap(clippedRanges));
    await this.#merge();
    await this.#finish(undefined);
    return this.#outputs;
  }

  async #merge(): Promise<void> {
    let sinceYield = 0;
    for (;;) {
      const first = this.#smallest();
      if (first === -1) return;
      await this.#take(first);
      if (++sinceYield < ENTRIES_PER_SLICE) continue;
      sinceYield = 0;
      this.#params.signal?.throwIfAborted();
      await this.#params.yieldToLoop();
    }
  }

  /** @hot */
  #smallest(): number {
    const sources = this.#sources;
    let best = -1;
    for (let i = 0; i < sources.length; i++) {
      const cursor = sources[i]!.cursor;
      if (cursor === undefined) continue;
      if (best === -1) {
        best = i;
        continue;
      }
      const other = sources[best]!.cursor!;
      if (compareRanges(cursor.key, 0, cursor.keyLength, other.key, 0, other.keyLength) < 0)
        best = i;
    }
    return best;
  }

  /** Folds one key over all sources that have it, and writes what is left of it. */
  async #take(first: number): Promise<void> {
    const head = this.#sources[first]!.cursor!;
    const { keyLength } = head;
    // The cursor's key changes when it advances; the writer refers to keys until their block is written.
    const keyStart = this.#keys.add(head.key, keyLength);
    const key = this.#keys.bytes;
    const keyEnd = keyStart + keyLength;
    let kind = -1;
    let value: Uint8Array = NO_BYTES;
    let valueStart = 0;
    let valueEnd = 0;
    let expiryMs = Number.POSITIVE_INFINITY;
    let settled = this.#hidden(first, key, keyStart, keyEnd);
    for (let i = first; i < this.#sources.length; i++) {
      const other = this.#sources[i]!;
      const { cursor } = other;
      if (
        cursor !== undefined &&
        compareRanges(cursor.key, 0, cursor.keyLength, key, keyStart, keyEnd) === 0
      ) {
        if (!settled) {
          if (kind === -1) {
            kind = cursor.kind;
            value = cursor.value;
            valueStart = cursor.valueStart;
            valueEnd = cursor.valueEnd;
            expiryMs = cursor.expiryMs;
          } else {
            const older = cursor.value.subarray(cursor.valueStart, cursor.valueEnd);
            const newer = value.subarray(valueStart, valueEnd);
            [kind, value] = onto(cursor.kind, older, newer);
            valueStart = 0;
            valueEnd = value.length;
          }
          settled = kind !== ENTRY.merge;
        }
        const advanced = other.next(this.#params.signal);
        if (advanced !== undefined) await advanced;
      }
      if (!settled && other.hides(key, keyStart, keyEnd)) {
        settled = true;
        // Nothing is under it: the operands are all there is.
        if (kind === ENTRY.merge) kind = ENTRY.putMerge;
      }
    }
    if (kind === -1) return;
    if (this.#job.bottom) {
      if (kind === ENTRY.delete || expiryMs <= this.#params.nowMs) return;
      if (kind === ENTRY.merge) kind = ENTRY.putMerge;
    }
    if (this.#writer !== undefined && this.#writer.size >= this.#params.fileBytes)
      await this.#finish(copyOf(key, keyStart, keyEnd));
    this.#writer ??= new TableWriter(this.#params.table, this.#bytesExpected());
    const stored = expiryMs === Number.POSITIVE_INFINITY ? kind : kind | ENTRY_EXPIRES;
    this.#writer.add(
      key,
      keyStart,
      keyEnd,
      fingerprint(key, keyStart, keyEnd),
      stored,
      expiryMs,
      value,
      valueStart,
      valueEnd,
    );
  }

  /** Of a file that begins now: no more than there is to merge. */
  #bytesExpected(): number {
    const { fileBytes } = this.#params;
    const all = this.#tables.reduce((sum, { meta }) => sum + meta.length, 0);
    return Math.min(fileBytes + (fileBytes >> 3), all + (all >> 3) + FILE_BYTES_LEAST);
  }

  #hidden(first: number, key: Uint8Array, start: number, end: number): boolean {
    for (let i = 0; i < first; i++) if (this.#sources[i]!.hides(key, start, end)) return true;
    return false;
  }

  /** Ends a file; `next` is the first key of the one that follows: range deletes are cut there. */
  async #finish(next: Uint8Array | undefined): Promise<void> {
    const ranges = cut(this.#ranges, this.#writerFrom, next);
    if (next !== undefined) this.#writerFrom = next;
    const writer =
      this.#writer ?? (ranges.length > 0 ? new TableWriter(this.#params.table) : undefined);
    this.#writer = undefined;
    if (writer === undefined) return;
    writer.deleteRanges(ranges);
    const finished = writer.finish();
    const file = await this.#params.files.write(finished.bytes);
    const metas = this.#tables.map(({ meta }) => meta);
    const epochs = {
      minEpoch: Math.min(...metas.map(({ minEpoch }) => minEpoch)),
      maxEpoch: Math.max(...metas.map(({ maxEpoch }) => maxEpoch)),
    };
    this.#outputs.push({
      meta: placedTable(file, { ...finished, ...epochs }),
      bytes: finished.bytes,
    });
  }
}

/** What an older entry becomes under operands. */
function onto(olderKind: number, older: Uint8Array, newer: Uint8Array): [number, Uint8Array] {
  switch (olderKind) {
    case ENTRY.put:
      return [ENTRY.putMerge, joined(listOf(older), newer)];
    case ENTRY.delete:
      return [ENTRY.putMerge, newer];
    case ENTRY.putMerge:
      return [ENTRY.putMerge, joined(older, newer)];
    default:
      return [ENTRY.merge, joined(older, newer)];
  }
}

function cut(
  ranges: readonly KeyRange[],
  from: Uint8Array,
  to: Uint8Array | undefined,
): readonly KeyRange[] {
  const out: KeyRange[] = [];
  for (const range of ranges) {
    const low =
      compareRanges(range.from, 0, range.from.length, from, 0, from.length) < 0 ? from : range.from;
    const high =
      to !== undefined && compareRanges(range.to, 0, range.to.length, to, 0, to.length) > 0
        ? to
        : range.to;
    if (compareRanges(low, 0, low.length, high, 0, high.length) < 0)
      out.push({ from: low, to: high });
  }
  return out;
}

/** Keys side by side in large pieces: what the writer refers to stays where it is, and none of it is an object of its own. */
class KeyArena {
  static readonly #PIECE_BYTES = 256 * 1024;
  bytes: Uint8Array = new Uint8Array(KeyArena.#PIECE_BYTES);
  #used = 0;

  /** @returns where the copy starts in `bytes`, which may be another piece than before */
  add(key: Uint8Array, length: number): number {
    if (this.#used + length > this.bytes.length) {
      this.bytes = new Uint8Array(Math.max(KeyArena.#PIECE_BYTES, length));
      this.#used = 0;
    }
    const start = this.#used;
    copyBytes(key, 0, length, this.bytes, start);
    this.#used += length;
    return start;
  }
}

/** The tables of a run, one after the other. */
class RunCursor {
  readonly #tables: readonly OpenTable[];
  readonly #blocks: BlockSource;
  readonly #ranges: readonly KeyRange[];
  #at = -1;
  /** On an entry; undefined at the end. */
  cursor: EntryCursor | undefined;

  constructor(tables: readonly OpenTable[], blocks: BlockSource) {
    this.#tables = tables;
    this.#blocks = blocks;
    this.#ranges = normalizeRanges(tables.flatMap(clippedRanges));
  }

  /** Advances; a promise when something has to be fetched. */
  next(signal: AbortSignal | undefined): Promise<void> | undefined {
    const step = this.cursor?.advance() ?? 'end';
    if (step === 'entry') return undefined;
    return this.#slow(step, signal);
  }

  hides(key: Uint8Array, start: number, end: number): boolean {
    return this.#ranges.length > 0 && coversKey(this.#ranges, key, start, end);
  }

  async #slow(from: 'end' | 'load', signal: AbortSignal | undefined): Promise<void> {
    let step: 'end' | 'load' | 'entry' = from;
    for (;;) {
      if (step === 'entry') return;
      if (step === 'load') {
        await this.cursor!.load(signal);
      } else {
        const table = this.#tables[++this.#at];
        if (table === undefined) {
          this.cursor = undefined;
          return;
        }
        this.cursor = new TableCursor(table, this.#blocks, NO_BYTES, undefined);
      }
      step = this.cursor!.advance();
    }
  }
}
