/**
 * The tree: an active memtable, sealed ones that wait to be written, and a version of tables on the object store. One writer, no log:
 * what is not in a table when the process dies is the business of whoever replays it.
 *
 * Owns its memtables, its open tables and the order of its version edits. Does not own the store, the block source or the files.
 *
 * Invariants
 *  L1  Sources from new to old: active memtable, those sealed since the epoch closed, the closing memtable, sealed memtables, runs. A read
 *      sees every write made before it began.
 *  L2  Writes never wait. `unflushedBytes` tells how far behind writing out is; whoever writes holds back by it.
 *  L3  Sealed memtables are written in the order in which they were sealed; a version never holds a later one without an earlier one.
 *  L4  Between `beginEpoch` and `endEpoch` writes to the closed epoch still come in, through the closing memtable: entries that were
 *      held back by a cache. The version that `endEpoch` settles with holds the closed epoch and nothing later.
 *  L5  A read that is under way keeps reading the version it began with: tables that left it stay readable until it ends.
 *
 * Requests: a flush puts one file; opening a table gets one range; a point read gets one block, found by filter in nearly all cases at
 * the first try; blocks that are adjacent share a request.
 */
import { internal } from '../base/errors.ts';
import { inTurn } from '../base/in-turn.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { BlockSource } from './block-source.ts';
import { mayContain } from './bloom-filter.ts';
import { admitHot, type Heat, heatOf } from './cache/hot-outputs.ts';
import { DataBlockView } from './data-block.ts';
import { type EntryCursor, MemtableCursor, TableCursor } from './entry-cursor.ts';
import { fingerprint } from './key-fingerprint.ts';
import { Lookup } from './lookup.ts';
import { Wants } from './wants.ts';
import { afterPrefix, Memtable, type MemtableSizes } from './memtable.ts';
import { writeMemtable } from './memtable-flush.ts';
import { MergedScan } from './merged-scan.ts';
import { OpenTable } from './open-table.ts';
import { coversKey, type TableParts } from './table-format.ts';
import { placedTable, type TableFiles } from './table-files.ts';
import { ENTRY, ENTRY_EXPIRES, type TableMeta } from './table-meta.ts';
import { TABLE_DEFAULTS, type TableOptions } from './table-writer.ts';
import {
  firstTable,
  frozenPart,
  meets,
  probeMemtable,
  rangeCursors,
  tableOf,
} from './tree-sources.ts';
import { applyEdit, EMPTY_VERSION, type TreeVersion, type VersionEdit } from './tree-version.ts';

export interface TreeOptions {
  readonly table: TableOptions;
  /** The active memtable is sealed beyond this. Default 8 MiB. */
  readonly memtableBytes: number;
}

export const TREE_DEFAULTS: TreeOptions = { table: TABLE_DEFAULTS, memtableBytes: 8 << 20 };

export interface TreeParams {
  readonly store: ObjectStore;
  readonly blocks: BlockSource;
  readonly files: TableFiles;
  readonly yieldToLoop: () => Promise<void>;
  readonly options?: Partial<TreeOptions>;
  readonly version?: TreeVersion;
  /** Told of every table that leaves although no version given out had it, neither at the beginning nor by `endEpoch`. */
  readonly unnamed?: ((table: TableMeta) => void) | undefined;
  /** First epoch of this tree: above all epochs of `version`. Default 1. */
  readonly epoch?: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const NO_VALUE = new Uint8Array(0);
interface OpenRun {
  readonly tables: readonly OpenTable[];
}

/** A part of a prefix: `to` is left out. What is in memory may lie outside. */
export interface ScanBounds {
  readonly from?: Uint8Array;
  readonly to?: Uint8Array;
}

export class LsmTree {
  readonly #store: ObjectStore;
  readonly #blocks: BlockSource;
  readonly #files: TableFiles;
  readonly #yieldToLoop: () => Promise<void>;
  readonly #turn: () => Promise<void>;
  readonly #options: TreeOptions;
  readonly #unnamed: TreeParams['unnamed'];
  readonly #open = new Map<string, OpenTable>();
  /** Outputs of a compaction that is under way. */
  readonly #prepared = new Map<string, OpenTable>();
  readonly #view = new DataBlockView();
  #active: Memtable;
  /** Sealed while an epoch is closing, newest first: they come before it. */
  #newer: readonly Memtable[] = [];
  /** L4 */
  #closing: Memtable | undefined;
  /** Newest first. */
  #sealed: readonly Memtable[] = [];
  readonly #marks = new Map<Memtable, PromiseWithResolvers<TreeVersion>>();
  #version: TreeVersion;
  #runs: readonly OpenRun[] = [];
  #epoch: number;
  #lastSizes: MemtableSizes = { arenaBytes: 1 << 16, entries: 1024 };
  #flushing: Promise<void> | undefined;
  #readers = 0;
  #retired: OpenTable[] = [];
  /** Memtables that were written out, and the bytes of their tables. */
  flushes = 0;
  flushedBytes = 0;

  constructor(params: TreeParams) {
    this.#store = params.store;
    this.#blocks = params.blocks;
    this.#files = params.files;
    this.#yieldToLoop = params.yieldToLoop;
    this.#turn = inTurn(params.yieldToLoop);
    this.#options = { ...TREE_DEFAULTS, ...params.options };
    this.#unnamed = params.unnamed;
    this.#epoch = params.epoch ?? 1;
    this.#active = this.#newMemtable();
    this.#version = EMPTY_VERSION;
    if (params.version !== undefined) this.#install(params.version);
    this.#giveOut();
  }

  get version(): TreeVersion {
    return this.#version;
  }

  /** The epoch that writes go to now. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Bytes in memtables. */
  get unflushedBytes(): number {
    let sum = this.#active.bytes + (this.#closing?.bytes ?? 0);
    for (const { bytes } of this.#newer) sum += bytes;
    for (const { bytes } of this.#sealed) sum += bytes;
    return sum;
  }

  /** Of these, bytes in the memtable that is being filled. */
  get activeBytes(): number {
    return this.#active.bytes;
  }

  /** Keys in memtables. */
  get unflushedEntries(): number {
    return this.#memtables().reduce((sum, { count }) => sum + count, 0);
  }

  get sealedMemtables(): number {
    return this.#sealed.length;
  }

  /** Memory of memtables, indexes and filters. */
  get bytesInMemory(): number {
    let sum = 0;
    for (const memtable of this.#memtables()) sum += memtable.bytesInMemory;
    for (const table of this.#open.values()) sum += table.bytesInMemory;
    return sum;
  }

  /** @hot */
  put(key: Uint8Array, value: Uint8Array, expiryMs = NEVER): void {
    this.#write(key, ENTRY.put, value, expiryMs);
  }

  /** @hot */
  delete(key: Uint8Array): void {
    this.#write(key, ENTRY.delete, NO_VALUE, NEVER);
  }

  /** @hot Adds an operand on top of whatever the key holds, without reading it. */
  merge(key: Uint8Array, operand: Uint8Array, expiryMs = NEVER): void {
    this.#write(key, ENTRY.merge, operand, expiryMs);
  }

  /** Deletes all keys that begin with `prefix`, a prefix in the sense of `TableOptions.prefixLength`. */
  deletePrefix(prefix: Uint8Array): void {
    this.#active.deletePrefix(prefix);
  }

  /**
   * @hot What the tree says of a key, if memory or local disk can tell; undefined if something has to be fetched. Bytes of the answer are
   * good until the next write.
   */
  lookupResident(key: Uint8Array): Lookup | undefined {
    return this.#probe(key, fingerprint(key, 0, key.length), undefined);
  }

  /**
   * The same for many keys, fetching what is missing: keys in order share blocks, adjacent blocks share requests. Answers in the order of
   * the keys, their bytes their own or immutable.
   * @throws `data` BLOCK_CORRUPT, TABLE_CORRUPT, TABLE_MISSING; `unavailable`
   */
  async lookupAll(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<readonly Lookup[]> {
    const answers: (Lookup | undefined)[] = Array.from({ length: keys.length }, () => undefined);
    const wants = new Wants();
    let open = keys.map((_, i) => i);
    this.#readers++;
    try {
      for (;;) {
        open = open.filter((i) => {
          const key = keys[i]!;
          const lookup = this.#probe(key, fingerprint(key, 0, key.length), wants);
          answers[i] = lookup;
          return lookup === undefined;
        });
        if (open.length === 0) return answers as readonly Lookup[]; // all are answered
        await wants.supply(this.#store, this.#blocks, signal);
      }
    } finally {
      this.#endRead();
    }
  }

  /** Whether certainly no key begins with `prefix`, as far as memory can tell. */
  prefixIsAbsent(prefix: Uint8Array): boolean {
    const print = fingerprint(prefix, 0, prefix.length);
    for (const memtable of this.#memtables()) {
      if (memtable.hasPrefix(prefix, print)) return false;
      if (memtable.deletesPrefix(prefix)) return true;
    }
    const after = afterPrefix(prefix);
    for (const { tables } of this.#runs) {
      for (let i = firstTable(tables, prefix); i < tables.length; i++) {
        const { meta, parts } = tables[i]!;
        if (!meets(meta, prefix, after)) break;
        if (parts === undefined || mayContain(parts.filter, print)) return false;
      }
    }
    return true;
  }

  /** All live keys that begin with `prefix`, a prefix in the sense of `prefixLength`, in order. */
  async scanPrefix(
    prefix: Uint8Array,
    signal?: AbortSignal,
    { from = prefix, to = afterPrefix(prefix) }: ScanBounds = {},
  ): Promise<MergedScan> {
    const cursors: EntryCursor[] = [];
    for (const memtable of this.#memtables()) {
      const frozen = memtable.sealed ? memtable : frozenPart(memtable, prefix, this.#options.table);
      const entries = memtable.sealed
        ? memtable.entriesWithPrefix(prefix)
        : Array.from({ length: frozen.count }, (_, i) => i);
      const ranges = memtable.deletesPrefix(prefix)
        ? [{ from: prefix, to: afterPrefix(prefix) }]
        : [];
      cursors.push(new MemtableCursor(frozen, entries, ranges));
      if (ranges.length > 0) return new MergedScan(cursors, signal);
    }
    const print = fingerprint(prefix, 0, prefix.length);
    return this.#scan(cursors, this.#tablesWithin(from, to), {
      from,
      to,
      signal,
      skip: ({ filter }) => !mayContain(filter, print),
    });
  }

  /** All live keys from `from` (inclusive) to `to` (exclusive; absent: to the end), in order. Seals the active memtable. */
  async scanRange(
    from: Uint8Array,
    to: Uint8Array | undefined,
    signal?: AbortSignal,
  ): Promise<MergedScan> {
    if (!this.#active.isEmpty) this.seal();
    const tables = this.#tablesWithin(from, to);
    const cursors = await rangeCursors(
      this.#memtables(),
      { from, to },
      { yieldToLoop: this.#yieldToLoop, table: this.#options.table },
    );
    return this.#scan(cursors, tables, { from, to, signal, skip: () => false });
  }

  /** Closes the epoch: later writes go to a new memtable. O(1). @returns the epoch that was closed */
  seal(): number {
    const closed = this.#epoch++;
    if (this.#active.isEmpty) {
      this.#active = this.#newMemtable();
      return closed;
    }
    this.#active.sealed = true;
    this.#lastSizes = this.#active.sizes;
    if (this.#closing === undefined) this.#sealed = [this.#active, ...this.#sealed];
    else this.#newer = [this.#active, ...this.#newer];
    this.#active = this.#newMemtable();
    return closed;
  }

  /** L4. What is written now belongs to the next epoch. O(1). */
  beginEpoch(): void {
    if (this.#closing !== undefined)
      throw internal('EPOCH_CLOSING', 'an epoch begins while the last one is still closing');
    this.#closing = this.#active;
    this.#epoch++;
    this.#active = this.#newMemtable();
  }

  /** A write that belongs to the closing epoch. */
  writeClosing(kind: number, key: Uint8Array, value: Uint8Array, expiryMs = NEVER): void {
    const closing = this.#closing!;
    closing.write(key, fingerprint(key, 0, key.length), kind, value, expiryMs);
    if (closing.bytes < this.#options.memtableBytes) return;
    closing.sealed = true;
    this.#sealed = [closing, ...this.#sealed];
    this.#closing = new Memtable(closing.epoch, this.#options.table.prefixLength);
  }

  /** L4. Settles when everything of the closed epoch is durable; rejects if the last of it cannot be written, to be tried again. */
  async endEpoch(): Promise<TreeVersion> {
    const closing = this.#closing!;
    if (!closing.isEmpty) {
      closing.sealed = true;
      this.#sealed = [closing, ...this.#sealed];
    }
    const last = this.#sealed[0];
    this.#sealed = [...this.#newer, ...this.#sealed];
    this.#newer = [];
    this.#closing = undefined;
    if (last === undefined) return this.#giveOut();
    // An epoch without writes ends where the one before it does.
    const mark = this.#marks.get(last) ?? Promise.withResolvers<TreeVersion>();
    this.#marks.set(last, mark);
    await this.#flushUpTo(last);
    return mark.promise;
  }

  #giveOut(): TreeVersion {
    for (const { tables } of this.#runs) for (const table of tables) table.givenOut = true;
    return this.#version;
  }

  /** Writes out what is sealed by now; settles when it is durable and in the version. */
  async flush(): Promise<void> {
    const last = this.#sealed[0];
    if (last !== undefined) await this.#flushUpTo(last);
  }

  async #flushUpTo(last: Memtable): Promise<void> {
    while (this.#sealed.includes(last)) {
      this.#flushing ??= this.#flushOldest().finally(() => {
        this.#flushing = undefined;
      });
      await this.#flushing;
    }
  }

  /** What is hot in these tables now, as far as they are here. */
  heatOf(ids: ReadonlySet<string>): Promise<Heat> {
    const tables = [...ids].flatMap((id) => this.#open.get(id) ?? []);
    return heatOf(tables, this.#blocks, this.#turn);
  }

  /** An output of a compaction that may be adopted later: what is hot in it goes to the caches. @returns as `BlockSource.admitFile` */
  prepare(meta: TableMeta, bytes: Uint8Array, heat: Heat): Promise<boolean> {
    const table = new OpenTable(meta, this.#blocks.tails, this.#turn);
    table.openFrom(bytes);
    this.#prepared.set(meta.id, table);
    return admitHot(table, bytes, { heat, blocks: this.#blocks, turn: this.#turn });
  }

  /**
   * Takes the result of a compaction in; ends what was prepared and is not part of it.
   * @throws `internal` TREE_VERSION_BROKEN if the edit does not fit this version
   */
  adopt(edit: VersionEdit): void {
    const version = applyEdit(this.#version, edit);
    for (const { id } of edit.added) {
      const table = this.#prepared.get(id);
      if (table === undefined) continue;
      this.#prepared.delete(id);
      this.#open.set(id, table);
    }
    this.#discardPrepared();
    this.#install(version);
  }

  /** The blocks of a table that memory holds, the hottest first, at most `limit`. */
  hotBlocks(id: string, limit: number): readonly number[] {
    const table = this.#open.get(id);
    return table === undefined ? [] : this.#blocks.hotBlocks(table, limit);
  }

  /** Fetches blocks of a file ahead of need, as far as they are part of this tree. @throws as `lookupAll` */
  async prefetch(
    { object, offset }: Pick<TableMeta, 'object' | 'offset'>,
    blocks: readonly number[],
    signal: AbortSignal,
  ): Promise<void> {
    this.#readers++;
    try {
      for (const table of this.#open.values()) {
        if (table.object !== object || table.offset !== offset) continue;
        const { index } = await table.open(this.#store, signal);
        const within = blocks.filter((block) => index.meets(block, table.meta));
        const reads = within.map((block) => ({ file: table, block: index.address(block) }));
        await this.#blocks.read(reads, { fill: true, signal });
      }
    } finally {
      this.#endRead();
    }
  }

  /** Opens every table's index and filter ahead of need. */
  async openTables(signal?: AbortSignal): Promise<void> {
    await Promise.all([...this.#open.values()].map((table) => table.open(this.#store, signal)));
  }

  close(): void {
    for (const table of this.#open.values()) this.#forget(table, false);
    for (const table of this.#retired) this.#forget(table, true);
    this.#discardPrepared();
    this.#open.clear();
    this.#retired = [];
  }

  #discardPrepared(): void {
    for (const table of this.#prepared.values()) this.#forget(table, true);
    this.#prepared.clear();
  }

  /** @hot */
  #write(key: Uint8Array, kind: number, value: Uint8Array, expiryMs: number): void {
    this.#active.write(key, fingerprint(key, 0, key.length), kind, value, expiryMs);
    if (this.#active.bytes >= this.#options.memtableBytes) this.seal();
  }

  #newMemtable(): Memtable {
    // As large as the last one became: trees of one operator go on as they have been.
    return new Memtable(this.#epoch, this.#options.table.prefixLength, this.#lastSizes);
  }

  /** @hot L1. Undefined if something is missing; it is noted in `wants`, speculatively for all sources that may have the key. */
  #probe(key: Uint8Array, print: number, wants: Wants | undefined): Lookup | undefined {
    const lookup = new Lookup();
    if (probeMemtable(this.#active, key, print, lookup, wants !== undefined)) return lookup;
    for (const memtable of this.#newer)
      if (probeMemtable(memtable, key, print, lookup, false)) return lookup;
    const closing = this.#closing;
    if (closing !== undefined)
      if (probeMemtable(closing, key, print, lookup, wants !== undefined)) return lookup;
    for (const memtable of this.#sealed)
      if (probeMemtable(memtable, key, print, lookup, false)) return lookup;
    let missing = false;
    for (const { tables } of this.#runs) {
      const table = tableOf(tables, key);
      if (table === undefined) continue;
      const outcome = this.#probeTable(table, key, print, wants, missing ? undefined : lookup);
      if (outcome === 'settled' && !missing) return lookup;
      if (outcome === 'missing') {
        if (wants === undefined) return undefined;
        missing = true;
      }
    }
    return missing ? undefined : lookup;
  }

  /** `lookup` undefined: only note what would be needed. */
  #probeTable(
    table: OpenTable,
    key: Uint8Array,
    print: number,
    wants: Wants | undefined,
    lookup: Lookup | undefined,
  ): 'settled' | 'older' | 'missing' {
    const parts = table.parts ?? wants?.partsOf(table);
    if (parts === undefined) {
      wants?.noteTable(table);
      return 'missing';
    }
    table.tailUsed = true;
    const covered =
      parts.rangeDeletes.length > 0 && coversKey(parts.rangeDeletes, key, 0, key.length);
    const passed = covered ? 'settled' : 'older';
    if (!mayContain(parts.filter, print)) return passed;
    const block = parts.index.blockOf(key, 0, key.length);
    if (block === parts.index.blocks) return passed;
    const address = parts.index.address(block);
    const bytes = wants?.blockOf(table, block) ?? this.#blocks.resident(table, address);
    if (bytes === undefined) {
      wants?.noteBlock(table, address);
      return 'missing';
    }
    if (lookup === undefined) return passed;
    const view = this.#view;
    view.open(bytes);
    if (view.find(key, 0, key.length, print) === -1) return passed;
    const value = bytes.subarray(view.valueStart, view.valueEnd);
    return lookup.take(view.kind & ~ENTRY_EXPIRES, value, view.expiryMs) ? 'settled' : passed;
  }

  #tablesWithin(from: Uint8Array, to: Uint8Array | undefined): readonly OpenTable[] {
    return this.#runs.flatMap((run) => run.tables.filter(({ meta }) => meets(meta, from, to)));
  }

  async #scan(
    memtables: readonly EntryCursor[],
    tables: readonly OpenTable[],
    options: {
      readonly from: Uint8Array;
      readonly to: Uint8Array | undefined;
      readonly signal: AbortSignal | undefined;
      readonly skip: (parts: TableParts) => boolean;
    },
  ): Promise<MergedScan> {
    const opened = await Promise.all(
      tables.map(async (table) => ({
        table,
        parts: await table.open(this.#store, options.signal),
      })),
    );
    const cursors = opened
      .filter(({ parts }) => parts.rangeDeletes.length > 0 || !options.skip(parts))
      .map((one) => new TableCursor(one, this.#blocks, options));
    return new MergedScan([...memtables, ...cursors], options.signal);
  }

  /** L3 */
  async #flushOldest(): Promise<void> {
    const memtable = this.#sealed.at(-1);
    if (memtable === undefined) return;
    const finished = await writeMemtable(memtable, this.#options.table, this.#yieldToLoop);
    const file = await this.#files.write(finished.bytes);
    const epochs = { minEpoch: memtable.epoch, maxEpoch: memtable.epoch };
    const meta = placedTable(file, { ...finished, ...epochs });
    const table = new OpenTable(meta, this.#blocks.tails, this.#turn);
    table.openFrom(finished.bytes);
    this.#open.set(meta.id, table);
    // Its blocks were just written by the task that is likely to read them again.
    this.#blocks.admitFile(table, finished.bytes, false);
    this.#install(applyEdit(this.#version, { removed: new Set(), added: [meta], level: 0 }));
    if (this.#sealed.at(-1) !== memtable)
      throw internal('FLUSH_ORDER', 'memtables were written out of order');
    this.#sealed = this.#sealed.slice(0, -1);
    this.flushes++;
    this.flushedBytes += meta.length;
    const mark = this.#marks.get(memtable);
    if (mark === undefined) return;
    mark.resolve(this.#giveOut());
    this.#marks.delete(memtable);
  }

  /** L1: all memtables, newest first. */
  #memtables(): readonly Memtable[] {
    const closing = this.#closing === undefined ? [] : [this.#closing];
    return [this.#active, ...this.#newer, ...closing, ...this.#sealed];
  }

  #install(version: TreeVersion): void {
    const names = new Set<string>();
    const runs = version.runs.map(({ tables }) => ({
      tables: tables.map((meta) => {
        names.add(meta.id);
        let table = this.#open.get(meta.id);
        if (table === undefined) {
          table = new OpenTable(meta, this.#blocks.tails, this.#turn);
          this.#open.set(meta.id, table);
        }
        return table;
      }),
    }));
    for (const [id, table] of this.#open) {
      if (names.has(id)) continue;
      this.#open.delete(id);
      this.#retired.push(table);
    }
    this.#version = version;
    this.#runs = runs;
    if (this.#readers === 0) this.#forgetRetired();
  }

  /** L5 */
  #endRead(): void {
    this.#readers--;
    if (this.#readers === 0) this.#forgetRetired();
  }

  #forgetRetired(): void {
    for (const table of this.#retired) {
      this.#forget(table, true);
      if (!table.givenOut) this.#unnamed?.(table.meta);
    }
    this.#retired = [];
  }

  #forget(table: OpenTable, superseded: boolean): void {
    table.close();
    this.#blocks.forget(table, superseded);
  }
}
