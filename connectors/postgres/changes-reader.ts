/**
 * Reads one slot: its tables as they are, one after another, then what changes in them.
 *
 * Invariants
 *  R1  A position in the first reading is the last key that was delivered, and in which snapshots the rows before it were read. Going on reads the rest in a
 *      new snapshot; the stream then judges each change by the snapshot that its row was read in (`seen-rows.ts`).
 *  R2  The slot's reader is the one that opened last: it ends the session of its predecessor. When its connection breaks it comes back, but not
 *      against another that has taken over.
 *  R3  What was confirmed to the server is in a completed checkpoint. A slot that is further than the position has lost changes, and is refused.
 */
import type { JsonValue } from '../../src/base/json.ts';
import type { PollResult, SourceReaderContext, SplitReader } from '../../src/connector/source.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import type { Schema } from '../../src/types/schema.ts';
import type { Change } from './change.ts';
import { ChangeStream } from './change-stream.ts';
import type { Database, Session, TextRow } from './database.ts';
import { tableText } from './identifiers.ts';
import { LastingSession } from './lasting-session.ts';
import { lsnText, parseLsn } from './lsn.ts';
import type { PostgresPosition, PostgresSplit, Segment } from './postgres-split.ts';
import { RowDecoder } from './row-decoder.ts';
import { SeenRows } from './seen-rows.ts';
import { SlotStream } from './slot-stream.ts';
import { type Key, readSourceTable, type SourceTable } from './source-table.ts';
import { TableSnapshot } from './table-snapshot.ts';

export interface ReaderOptions<T> {
  readonly database: Database;
  readonly publication: string;
  readonly schema: Schema<T> | undefined;
  readonly before: 'key' | 'full';
  readonly bufferBytes: number;
  readonly persistMs: number;
  /** Ends where the log is when the split is opened. */
  readonly untilNow: boolean;
}

interface Reached {
  readonly key: Key;
  readonly snapshot: string;
  readonly lsn: string;
}

interface Reading {
  readonly table: number;
  after: Reached | null;
  page: readonly TextRow[];
  at: number;
}

type Batch<T> = RecordBatch<Change<T>>;

const RAW_CHARACTERS_MAX = 64 * 1024;

export class ChangesReader<T> implements SplitReader<Change<T>> {
  readonly #options: ReaderOptions<T>;
  readonly #context: SourceReaderContext;
  readonly #split: PostgresSplit;
  readonly #tables: readonly SourceTable[];
  readonly #name: string;
  readonly #slot: SlotStream;
  /** Where the stream ends. */
  readonly #stop: bigint | undefined;
  #segments: (readonly Segment[])[];
  /** The first reading, while it goes on. */
  #reading: Reading | undefined;
  #snapshot: TableSnapshot | undefined;
  #decoder: RowDecoder<T> | undefined;
  #stream: ChangeStream<T> | undefined;
  #closed = false;

  private constructor(
    options: ReaderOptions<T>,
    context: SourceReaderContext,
    split: PostgresSplit,
    tables: readonly SourceTable[],
    position: PostgresPosition,
    stop: bigint | undefined,
  ) {
    this.#options = options;
    this.#context = context;
    this.#split = split;
    this.#tables = tables;
    this.#stop = stop;
    const { clock, subtaskIndex } = context;
    this.#name = `millrace reader ${subtaskIndex} ${clock.wallMs().toString(36)} ${Math.trunc(clock.monotonicMs() * 1000).toString(36)}`;
    const { database, publication, bufferBytes, persistMs } = options;
    this.#slot = new SlotStream({
      ...{ database, publication, bufferBytes, persistMs, split },
      ...{ applicationName: this.#name, services: context },
    });
    this.#segments = [...position.segments];
    if (position.phase === 'snapshot') {
      const { table, after } = position;
      this.#reading = { table, after, page: [], at: 0 };
    } else this.#startStream(position);
  }

  static async open<T>(
    options: ReaderOptions<T>,
    context: SourceReaderContext,
    split: PostgresSplit,
    position: PostgresPosition,
  ): Promise<ChangesReader<T>> {
    const { database, persistMs, before, untilNow } = options;
    const session = new LastingSession({
      ...{ database, persistMs, applicationName: 'millrace reader', services: context },
    });
    try {
      const tables = await session.persist((open) =>
        Promise.all(split.tables.map((table) => readSourceTable(open, table, before))),
      );
      const stop = untilNow ? await session.persist(currentLsn) : undefined;
      const reader = new ChangesReader(options, context, split, tables, position, stop);
      const from = position.phase === 'stream' ? position.lsn : split.startLsn;
      await reader.#slot.take(parseLsn(from)).catch(async (error: unknown) => {
        await reader.close();
        throw error;
      });
      return reader;
    } finally {
      await session.close();
    }
  }

  get grows(): boolean {
    return this.#options.untilNow;
  }

  poll(max: number): PollResult<Change<T>> {
    const ready = this.#reading === undefined ? this.#readStream(max) : this.#readPage(max);
    return ready === undefined ? this.#wait(max) : ready;
  }

  position(): JsonValue {
    const reading = this.#reading;
    const segments = this.#segments;
    const position: PostgresPosition =
      reading === undefined
        ? {
            phase: 'stream',
            ...this.#place(),
            segments: this.#stream?.leavesOut === true ? segments : [],
          }
        : { phase: 'snapshot', table: reading.table, after: reading.after, segments };
    return position as unknown as JsonValue; // plain data
  }

  /** The checkpoint that carried this position is complete; also of a split that has ended. */
  async confirm(position: PostgresPosition): Promise<void> {
    if (position.phase === 'stream') await this.#slot.confirm(parseLsn(position.lsn));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#slot.close();
    await this.#snapshot?.close();
  }

  #place(): { lsn: string; within: { commitLsn: string; changes: number } | null } {
    const { lsn, within } = this.#stream!.place; // there is a stream when there is no reading
    return {
      lsn: lsnText(lsn),
      within:
        within === undefined
          ? null
          : { commitLsn: lsnText(within.commitLsn), changes: within.changes },
    };
  }

  async #wait(max: number): Promise<Batch<T> | null> {
    while (!this.#closed) {
      try {
        if (this.#reading === undefined) await this.#slot.ready(this.#stream!); // set with the end of the reading
        else await this.#nextPage(this.#reading);
      } catch (error) {
        if (this.#closed) break; // closing ends what is under way
        throw error;
      }
      if (this.#closed) break;
      const ready = this.#reading === undefined ? this.#readStream(max) : this.#readPage(max);
      if (ready !== undefined) return ready;
    }
    return null;
  }

  #startStream({ lsn, within }: PostgresPosition & { phase: 'stream' }): void {
    this.#stream = new ChangeStream(
      this.#tables,
      this.#options.schema,
      {
        lsn: parseLsn(lsn),
        within: within === null ? undefined : { ...within, commitLsn: parseLsn(within.commitLsn) },
      },
      this.#segments.length === 0 ? undefined : new SeenRows(this.#tables, this.#segments),
    );
  }

  /** The next rows of the table, or of the next table; or the end of the first reading. */
  async #nextPage(reading: Reading): Promise<void> {
    const table = this.#tables[reading.table];
    if (table === undefined) {
      this.#reading = undefined;
      const { startLsn: lsn } = this.#split;
      this.#startStream({ phase: 'stream', lsn, within: null, segments: [] });
      return;
    }
    if (this.#snapshot?.done !== true)
      await this.#slot.persist(() => this.#fetchPage(reading, table));
    if (reading.at < reading.page.length || this.#closed) return;
    const { snapshot, lsn } = this.#snapshot!; // opened by fetching
    this.#addSegment(reading.table, { upTo: null, snapshot, lsn });
    this.#snapshot = undefined;
    this.#decoder = undefined;
    this.#reading = { table: reading.table + 1, after: null, page: [], at: 0 };
  }

  async #fetchPage(reading: Reading, table: SourceTable): Promise<void> {
    try {
      this.#snapshot ??= await this.#openSnapshot(this.#options.database, table, reading.after);
      reading.page = await this.#snapshot.nextPage();
      reading.at = 0;
    } catch (error) {
      await this.#snapshot?.close();
      this.#snapshot = undefined; // R1: what follows is read in another one
      throw error;
    }
  }

  async #openSnapshot(
    database: Database,
    table: SourceTable,
    after: Reached | null,
  ): Promise<TableSnapshot> {
    const snapshot = await TableSnapshot.open(database, this.#name, table, after?.key ?? null);
    if (after !== null && after.snapshot !== snapshot.snapshot)
      this.#addSegment(this.#reading!.table, {
        // reading goes on
        upTo: after.key,
        snapshot: after.snapshot,
        lsn: after.lsn,
      });
    return snapshot;
  }

  #addSegment(table: number, segment: Segment): void {
    const of = this.#segments[table] ?? [];
    this.#segments = [...this.#segments];
    this.#segments[table] = [...of, segment];
  }

  #readPage(max: number): Batch<T> | undefined {
    const reading = this.#reading!; // asked by the caller
    const table = this.#tables[reading.table];
    if (table === undefined || reading.at >= reading.page.length) return undefined;
    this.#decoder ??= new RowDecoder(table.columns, table.key, this.#options.schema);
    const decoder = this.#decoder;
    const values: Change<T>[] = [];
    const name = tableText(table.name);
    const { startLsn } = this.#split;
    const end = Math.min(reading.page.length, reading.at + max);
    let tuple: (string | null)[] = [];
    for (; reading.at < end; reading.at++) {
      const row = reading.page[reading.at]!; // below the length
      tuple = [];
      for (const column of table.columns) tuple.push(row[column.name] ?? null);
      const decoded = decoder.decode(tuple);
      if (decoded.ok)
        values.push({
          kind: 'insert',
          table: name,
          after: decoded.value,
          snapshot: true,
          lsn: startLsn,
        });
      else
        this.#onMalformed(
          { table: name, key: decoder.keyOf(tuple) },
          decoded.reason,
          JSON.stringify(row),
        );
    }
    const key = decoder.keyOf(tuple); // of the last row
    const { snapshot, lsn } = this.#snapshot!; // the page is of it
    reading.after = { key, snapshot, lsn };
    return { values, timestamps: null };
  }

  /** What the stream has by now; undefined: nothing is there yet; null: it has come to where it ends. */
  #readStream(max: number): Batch<T> | null | undefined {
    const stream = this.#stream!; // asked by the caller
    const before = stream.place.lsn;
    const values: Change<T>[] = [];
    const timestamps = new Float64Array(max);
    let malformed = 0;
    while (values.length < max) {
      const unit = stream.take();
      if (unit === undefined) {
        if (this.#isAtEnd(stream)) break;
        const message = this.#slot.next();
        if (message === undefined) break;
        stream.read(message);
      } else if (unit?.ok === true) {
        timestamps[values.length] = unit.timeMs;
        values.push(unit.value);
      } else if (unit !== null && ++malformed)
        this.#onMalformed({ table: unit.table, lsn: lsnText(before) }, unit.reason, '');
    }
    // An empty batch takes the position to where the log is.
    if (values.length > 0 || malformed > 0) return { values, timestamps };
    if (this.#isAtEnd(stream)) return null;
    return stream.place.lsn > before ? { values, timestamps } : undefined;
  }

  #isAtEnd({ place, nextCommitLsn }: ChangeStream<T>): boolean {
    const stop = this.#stop;
    if (stop === undefined) return false;
    return (
      (nextCommitLsn !== undefined && nextCommitLsn >= stop) ||
      (place.within === undefined && nextCommitLsn === undefined && place.lsn >= stop)
    );
  }

  #onMalformed(position: Record<string, JsonValue>, reason: string, raw: string): void {
    this.#context.onMalformed({
      splitId: this.#split.slot,
      ...{ position, reason, raw: raw.slice(0, RAW_CHARACTERS_MAX) },
    });
  }
}

const currentLsn = async (session: Session): Promise<bigint> => {
  const [row] = await session.query('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  return parseLsn(row?.['lsn'] ?? '');
};
