/**
 * Reads one file from a position to its end, in chunks, one chunk ahead.
 *
 * A position is the byte offset and the number of lines right after the last record delivered: reading on from it yields exactly
 * the records that follow. A header is read again whenever a file is opened, and is no record.
 *
 * Memory per open file: two chunks, and the lines of one.
 */
import { MillraceError } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { LineFormat } from '../../src/connector/format.ts';
import type { PollResult, SourceReaderContext, SplitReader } from '../../src/connector/source.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import type { FileSplit } from './file-enumerator.ts';
import { FileReads } from './file-reads.ts';
import { type Line, LineSplitter } from './line-splitter.ts';
import type { RateLimiter } from './rate-limiter.ts';

export interface Position {
  readonly offset: number;
  /** Lines before the offset. */
  readonly line: number;
}

export interface FileSplitParams<T> {
  readonly store: ObjectStore;
  readonly file: FileSplit;
  readonly format: LineFormat<T>;
  readonly lineBytesMax: number;
  readonly chunkBytes: number;
  readonly context: SourceReaderContext;
  readonly limiter: RateLimiter | undefined;
}

const RAW_CHARACTERS_MAX = 64 * 1024;
const BYTE_ORDER_MARK = '\uFEFF';

/** A record's text, which may be several lines, and where it ends. */
interface RecordText {
  readonly text: string;
  readonly fault: string | undefined;
  readonly end: Position;
}

export class FileSplitReader<T> implements SplitReader<T> {
  readonly #params: FileSplitParams<T>;
  readonly #reads: FileReads;
  #format: LineFormat<T>;
  #splitter: LineSplitter;
  #lines: readonly Line[] = [];
  #next = 0;
  /** Bytes asked for so far. */
  #requested: number;
  #ahead: Promise<Uint8Array> | undefined;
  #ended = false;
  /** Lines of a record that is not complete. */
  #open: string[] = [];
  #openCharacters = 0;
  /** After the last line looked at; the position is after the last record. */
  #scanned: Position;
  #position: Position;

  private constructor(params: FileSplitParams<T>, start: Position) {
    this.#params = params;
    this.#reads = new FileReads(params.store, params.file.key, params.context.timers);
    this.#format = params.format;
    this.#splitter = new LineSplitter(start.offset, params.lineBytesMax);
    this.#requested = start.offset;
    this.#scanned = start;
    this.#position = start;
  }

  static async open<T>(
    params: FileSplitParams<T>,
    start: Position = { offset: 0, line: 0 },
  ): Promise<FileSplitReader<T>> {
    if (params.format.readHeader === undefined) return new FileSplitReader(params, start);
    const fromStart = new FileSplitReader(params, { offset: 0, line: 0 });
    const header = await fromStart.#readHeader();
    if (start.offset <= header.end.offset) return fromStart;
    await fromStart.close();
    const reader = new FileSplitReader(params, start);
    reader.#format = fromStart.#format;
    return reader;
  }

  poll(max: number): PollResult<T> {
    const { limiter } = this.#params;
    if (limiter === undefined && this.#next < this.#lines.length) return this.#batch(max);
    return this.#fetchAndBatch(limiter === undefined ? max : Math.min(max, limiter.batchSize));
  }

  position(): JsonValue {
    return { offset: this.#position.offset, line: this.#position.line };
  }

  async close(): Promise<void> {
    this.#reads.close();
    this.#lines = [];
    this.#ended = true;
  }

  async #fetchAndBatch(max: number): Promise<RecordBatch<T> | null> {
    while (this.#next === this.#lines.length) {
      if (this.#ended) return this.#open.length > 0 ? this.#lastBatch() : null;
      await this.#fetch();
    }
    const batch = this.#batch(max);
    const waitMs = this.#params.limiter?.book(batch.values.length) ?? 0;
    if (waitMs > 0) await this.#reads.pause(waitMs);
    return batch;
  }

  /** The file ends inside a record. */
  #lastBatch(): RecordBatch<T> {
    const values: T[] = [];
    this.#decode(this.#closeRecord(undefined), values);
    return { values, timestamps: null };
  }

  async #readHeader(): Promise<RecordText> {
    for (;;) {
      if (this.#next < this.#lines.length) {
        const record = this.#nextRecord();
        if (record === undefined) continue;
        if (record.fault !== undefined) throw this.#badHeader(record.fault);
        this.#format = this.#params.format.readHeader!(withoutMark(record.text));
        this.#position = record.end;
        return record;
      }
      if (this.#ended) return { text: '', fault: undefined, end: this.#scanned };
      await this.#fetch();
    }
  }

  #badHeader(fault: string): MillraceError {
    const { key } = this.#params.file;
    return new MillraceError('data', 'BAD_FILE_HEADER', `${key}: ${fault}`, { details: { key } });
  }

  async #fetch(): Promise<void> {
    this.#next = 0;
    this.#lines = [];
    const ahead = this.#ahead ?? this.#read();
    this.#ahead = undefined;
    if (ahead === undefined) {
      this.#ended = true;
      const last = this.#splitter.end();
      if (last !== undefined) this.#lines = [last];
      return;
    }
    const chunk = await ahead;
    if (this.#reads.closed) return;
    this.#lines = this.#splitter.push(chunk);
    this.#ahead = this.#read();
    // Whoever needs it will see how it ended.
    this.#ahead?.catch(() => {});
  }

  /** The next chunk; undefined at the end. */
  #read(): Promise<Uint8Array> | undefined {
    const { file, chunkBytes } = this.#params;
    const offset = this.#requested;
    const length = Math.min(chunkBytes, file.size - offset);
    if (length <= 0) return undefined;
    this.#requested += length;
    return this.#reads.read(offset, length);
  }

  /** May be empty, when every line was malformed or blank, or a record goes on in the next chunk. */
  #batch(max: number): RecordBatch<T> {
    const values: T[] = [];
    while (values.length < max && this.#next < this.#lines.length) {
      const record = this.#nextRecord();
      if (record !== undefined) this.#decode(record, values);
    }
    return { values, timestamps: null };
  }

  /** Takes a line; the record that it completes, if it does. */
  #nextRecord(): RecordText | undefined {
    const line = this.#lines[this.#next++]!;
    this.#scanned = { offset: line.nextOffset, line: this.#scanned.line + 1 };
    const isOpen = this.#open.length > 0;
    const flips = this.#format.flipsContinuation?.(line.text) ?? false;
    this.#open.push(line.text);
    this.#openCharacters += line.text.length;
    const tooLong = this.#openCharacters > this.#params.lineBytesMax;
    const goesOn = isOpen !== flips && !tooLong && line.fault === undefined;
    if (goesOn) return undefined;
    return this.#closeRecord(line.fault ?? (tooLong ? 'the record is too long' : undefined));
  }

  #closeRecord(fault: string | undefined): RecordText {
    const text = this.#open.length === 1 ? this.#open[0]! : this.#open.join('\n');
    this.#open = [];
    this.#openCharacters = 0;
    return { text, fault, end: this.#scanned };
  }

  #decode({ text, fault, end }: RecordText, values: T[]): void {
    const at = this.#position;
    this.#position = end;
    const record = at.offset === 0 ? withoutMark(text) : text;
    if (record === '' && fault === undefined) return;
    const decoded =
      fault === undefined ? this.#format.decode(record) : { ok: false as const, reason: fault };
    if (decoded.ok) {
      values.push(decoded.value);
      return;
    }
    const { key } = this.#params.file;
    this.#params.context.onMalformed({
      splitId: key,
      position: { file: key, line: at.line + 1, offset: at.offset },
      reason: decoded.reason,
      raw: record.slice(0, RAW_CHARACTERS_MAX),
    });
  }
}

const withoutMark = (text: string): string =>
  text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
