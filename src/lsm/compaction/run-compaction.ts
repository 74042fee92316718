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
import { inTurn } from '../../base/in-turn.ts';
import type { BlockSource } from '../block-source.ts';
import { copyBytes } from '../data-block.ts';
import { type EntryCursor, type OpenedTable, TableCursor } from '../entry-cursor.ts';
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

const NO_BYTES = new Uint8Array(0);
/** Entries between two looks at other work: about 3 ms. */
const ENTRIES_PER_SLICE = 2048;
/** Of each run. */
const READ_AHEAD_BYTES = 1 << 20;
const WHOLE_TABLE = { from: NO_BYTES, to: undefined, readAheadBytes: READ_AHEAD_BYTES };
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
  readonly written?: OutputWritten;
}

/** Is given each file of a result once it is durable: caches want what is in it. Answers whether it keeps `bytes`. */
export type OutputWritten = (meta: TableMeta, bytes: Uint8Array) => Promise<boolean>;

export async function runCompaction(
  job: CompactionJob,
  params: CompactionParams,
): Promise<readonly TableMeta[]> {
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
  readonly #outputs: TableMeta[] = [];
  /** Newest first; tables of one run follow each other. */
  #sources: readonly RunCursor[] = [];
  /** Those that are not at their end, by key; of equal keys the newest first. */
  readonly #order: RunCursor[] = [];
  /** Whether any source deletes ranges. */
  #ranged = false;
  #ranges: readonly KeyRange[] = [];
  readonly #keys = new KeyArena();
  #writer: TableWriter | undefined;
  #writerFrom: Uint8Array = NO_BYTES;
  /** What is left of the key at hand; kind -1: nothing. */
  #kind = -1;
  #keyStart = 0;
  #keyEnd = 0;
  #expiryMs = 0;
  #value: Uint8Array = NO_BYTES;
  #valueStart = 0;
  #valueEnd = 0;

  constructor(job: CompactionJob, params: CompactionParams) {
    this.#job = job;
    this.#params = params;
    const turn = inTurn(params.yieldToLoop);
    this.#tables = job.inputs.flatMap(({ tables }) =>
      tables.map((meta) => new OpenTable(meta, params.blocks.tails, turn)),
    );
  }

  close(): void {
    for (const table of this.#tables) {
      table.close();
      this.#params.blocks.forget(table);
    }
  }

  async run(): Promise<readonly TableMeta[]> {
    const { store, signal } = this.#params;
    const opened = await Promise.all(
      this.#tables.map(async (table) => ({ table, parts: await table.open(store, signal) })),
    );
    let at = 0;
    this.#sources = this.#job.inputs.map(({ tables }, rank) => {
      const run = opened.slice(at, at + tables.length);
      at += tables.length;
      return new RunCursor(run, this.#params.blocks, rank);
    });
    this.#ranged = this.#sources.some((source) => source.hasRanges);
    for (const source of this.#sources) {
      await source.next(signal);
      this.#enter(source);
    }
    if (!this.#job.bottom) this.#ranges = normalizeRanges(opened.flatMap(clippedRanges));
    await this.#merge();
    await this.#finish(undefined);
    return this.#outputs;
  }

  async #merge(): Promise<void> {
    let sinceYield = 0;
    while (this.#order.length > 0) {
      const holders = this.#fold();
      if (this.#kind !== -1) {
        if (this.#writer !== undefined && this.#writer.size >= this.#params.fileBytes)
          await this.#finish(copyOf(this.#keys.bytes, this.#keyStart, this.#keyEnd));
        this.#write();
      }
      const waits = this.#advance(holders);
      if (waits !== undefined) await waits;
      if (++sinceYield < ENTRIES_PER_SLICE) continue;
      sinceYield = 0;
      this.#params.signal?.throwIfAborted();
      await this.#params.yieldToLoop();
    }
  }

  /** @hot Folds the first key over all sources that have it. @returns how many have: they come first in `#order` */
  #fold(): number {
    const order = this.#order;
    const head = order[0]!.cursor!;
    // The cursor's key changes when it advances; the writer refers to keys until their block is written.
    const start = this.#keys.add(head.key, head.keyLength);
    const key = this.#keys.bytes;
    const end = start + head.keyLength;
    this.#keyStart = start;
    this.#keyEnd = end;
    this.#kind = -1;
    let holders = 1;
    while (holders < order.length) {
      const other = order[holders]!.cursor!;
      if (compareRanges(other.key, 0, other.keyLength, key, start, end) !== 0) break;
      holders++;
    }
    if (this.#ranged) {
      this.#takeUnderRanges(holders, key);
    } else {
      for (let i = 0; i < holders; i++) if (this.#take(order[i]!.cursor!)) break;
    }
    if (this.#job.bottom && this.#kind !== -1) {
      if (this.#kind === ENTRY.delete || this.#expiryMs <= this.#params.nowMs) this.#kind = -1;
      else if (this.#kind === ENTRY.merge) this.#kind = ENTRY.putMerge;
    }
    return holders;
  }

  #takeUnderRanges(holders: number, key: Uint8Array): void {
    let held = 0;
    for (const source of this.#sources) {
      if (held < holders && this.#order[held] === source) {
        held++;
        if (this.#take(source.cursor!)) return;
      }
      if (!source.hides(key, this.#keyStart, this.#keyEnd)) continue;
      // Nothing is under it: the operands are all there is.
      if (this.#kind === ENTRY.merge) this.#kind = ENTRY.putMerge;
      return;
    }
  }

  /** @hot Takes the next older entry of the key. @returns true when nothing older matters */
  #take(cursor: EntryCursor): boolean {
    if (this.#kind === -1) {
      this.#kind = cursor.kind;
      this.#value = cursor.value;
      this.#valueStart = cursor.valueStart;
      this.#valueEnd = cursor.valueEnd;
      this.#expiryMs = cursor.expiryMs;
    } else {
      const older = cursor.value.subarray(cursor.valueStart, cursor.valueEnd);
      const newer = this.#value.subarray(this.#valueStart, this.#valueEnd);
      [this.#kind, this.#value] = onto(cursor.kind, older, newer);
      this.#valueStart = 0;
      this.#valueEnd = this.#value.length;
    }
    return this.#kind !== ENTRY.merge;
  }

  /** @hot */
  #write(): void {
    this.#writer ??= new TableWriter(this.#params.table, this.#bytesExpected());
    const key = this.#keys.bytes;
    const expiryMs = this.#expiryMs;
    this.#writer.add(
      key,
      this.#keyStart,
      this.#keyEnd,
      fingerprint(key, this.#keyStart, this.#keyEnd),
      expiryMs === Number.POSITIVE_INFINITY ? this.#kind : this.#kind | ENTRY_EXPIRES,
      expiryMs,
      this.#value,
      this.#valueStart,
      this.#valueEnd,
    );
  }

  /** Of a file that begins now: no more than there is to merge. */
  #bytesExpected(): number {
    const { fileBytes } = this.#params;
    const all = this.#tables.reduce((sum, { meta }) => sum + meta.length, 0);
    return Math.min(fileBytes + (fileBytes >> 3), all + (all >> 3) + FILE_BYTES_LEAST);
  }

  /** @hot Moves the first sources on to their next keys; a promise when something has to be fetched. */
  #advance(holders: number): Promise<void> | undefined {
    const order = this.#order;
    if (holders > 1) return this.#advanceAll(order.splice(0, holders), 0);
    const source = order[0]!;
    const waits = source.next(this.#params.signal);
    if (waits === undefined) {
      this.#settle(source);
      return undefined;
    }
    order.shift();
    return this.#enterLater([source], 0, waits);
  }

  #advanceAll(sources: readonly RunCursor[], from: number): Promise<void> | undefined {
    for (let i = from; i < sources.length; i++) {
      const waits = sources[i]!.next(this.#params.signal);
      if (waits !== undefined) return this.#enterLater(sources, i, waits);
      this.#enter(sources[i]!);
    }
    return undefined;
  }

  async #enterLater(
    sources: readonly RunCursor[],
    at: number,
    waits: Promise<void>,
  ): Promise<void> {
    await waits;
    this.#enter(sources[at]!);
    await this.#advanceAll(sources, at + 1);
  }

  /** @hot The first source has a new key: sources that are before it now move up. */
  #settle(source: RunCursor): void {
    const order = this.#order;
    let at = 0;
    while (at + 1 < order.length && order[at + 1]!.isBefore(source)) {
      order[at] = order[at + 1]!;
      at++;
    }
    order[at] = source;
  }

  #enter(source: RunCursor): void {
    if (source.cursor === undefined) return;
    this.#order.unshift(source);
    this.#settle(source);
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
    const finished = await writer.finish(this.#params.yieldToLoop);
    const file = await this.#params.files.write(finished.bytes);
    const metas = this.#tables.map(({ meta }) => meta);
    const epochs = {
      minEpoch: Math.min(...metas.map(({ minEpoch }) => minEpoch)),
      maxEpoch: Math.max(...metas.map(({ maxEpoch }) => maxEpoch)),
    };
    const meta = placedTable(file, { ...finished, ...epochs });
    this.#outputs.push(meta);
    await this.#params.written?.(meta, finished.bytes);
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
  readonly #tables: readonly OpenedTable[];
  readonly #blocks: BlockSource;
  readonly #ranges: readonly KeyRange[];
  readonly #rank: number;
  #at = -1;
  /** On an entry; undefined at the end. */
  cursor: EntryCursor | undefined;

  /** `rank`: lower ones are newer. */
  constructor(tables: readonly OpenedTable[], blocks: BlockSource, rank: number) {
    this.#tables = tables;
    this.#blocks = blocks;
    this.#rank = rank;
    this.#ranges = normalizeRanges(tables.flatMap(clippedRanges));
  }

  get hasRanges(): boolean {
    return this.#ranges.length > 0;
  }

  /** @hot Neither is at its end. */
  isBefore(other: RunCursor): boolean {
    const a = this.cursor!;
    const b = other.cursor!;
    const order = compareRanges(a.key, 0, a.keyLength, b.key, 0, b.keyLength);
    return order < 0 || (order === 0 && this.#rank < other.#rank);
  }

  /** @hot Advances; a promise when something has to be fetched. */
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
        this.cursor = new TableCursor(table, this.#blocks, WHOLE_TABLE);
      }
      step = this.cursor!.advance();
    }
  }
}
