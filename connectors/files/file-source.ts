/**
 * Files of lines as a bounded source: one split a file, read in order, in ranges. A position is a byte offset and a line number.
 */
import { invalid } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import { localFolder } from '../../src/storage/local-folder.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { LineFormat } from '../../src/connector/format.ts';
import type {
  EnumeratorContext,
  MalformedPolicy,
  MalformedRecord,
  Source,
  SourceReader,
  SourceReaderContext,
  SplitEnumerator,
  SplitReader,
  SplitState,
} from '../../src/connector/source.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../../src/types/record-batch.ts';
import { type Line, LineSplitter } from './line-splitter.ts';

export interface FileSourceOptions<T> {
  /** A local folder; or pass `store`. */
  readonly path?: string;
  readonly store?: ObjectStore;
  /** Only objects under this prefix. Default: all. */
  readonly prefix?: string;
  readonly format: LineFormat<T>;
  /** What happens with a line that cannot be read. Default 'fail', naming file, line and offset. */
  readonly malformed?: MalformedPolicy;
  /** Records per second and subtask. Default: no limit. */
  readonly rateLimit?: number;
  /** Longest line in bytes. Default 16 MiB. */
  readonly lineBytesMax?: number;
}

interface FileSplit {
  readonly key: string;
  readonly size: number;
}

interface Position {
  readonly offset: number;
  /** Lines before the offset. */
  readonly line: number;
}

const CHUNK_BYTES = 1024 * 1024;
const LINE_BYTES_MAX = 16 * 1024 * 1024;
const RAW_CHARACTERS_MAX = 64 * 1024;

/** @public */
export function fileSource<T>(options: FileSourceOptions<T>): Source<T> {
  if ((options.path === undefined) === (options.store === undefined))
    throw invalid('BAD_FILE_SOURCE', 'a file source reads either a path or a store');
  const store = options.store ?? localFolder(options.path!);
  const { schema } = options.format;
  return {
    boundedness: 'bounded',
    ...(schema === undefined ? {} : { schema }),
    ...(options.malformed === undefined ? {} : { malformed: options.malformed }),
    createEnumerator: (context, restored) =>
      new FileEnumerator(store, options.prefix ?? '', context, restored),
    createReader: (context) => new FileReader(store, options, context),
  };
}

/** Lists the files once; what was listed is in the checkpoint, so that a restart does not list again. */
class FileEnumerator implements SplitEnumerator {
  readonly #store: ObjectStore;
  readonly #prefix: string;
  readonly #context: EnumeratorContext;
  readonly #discovered: boolean;

  constructor(
    store: ObjectStore,
    prefix: string,
    context: EnumeratorContext,
    restored: JsonValue | undefined,
  ) {
    this.#store = store;
    this.#prefix = prefix;
    this.#context = context;
    this.#discovered = restored !== undefined;
  }

  async start(): Promise<void> {
    if (!this.#discovered) await this.#assignAll();
    this.#context.noMoreSplits();
  }

  requestSplit(): void {}

  /** A snapshot is taken when everybody runs: everything listed has been handed out by then, in the same turn. */
  snapshot(): JsonValue {
    return { discovered: true };
  }

  async close(): Promise<void> {}

  async #assignAll(): Promise<void> {
    const splits: SplitState[] = [];
    for await (const { key, size } of this.#store.list(this.#prefix)) {
      if (!key.split('/').some((segment) => segment.startsWith('.')))
        splits.push({ split: { id: key, data: { key, size } }, position: undefined });
    }
    if (splits.length === 0)
      throw invalid(
        'NO_INPUT_FILES',
        `no files to read under "${this.#prefix}"; is the path right?`,
      );
    const shares = Array.from({ length: this.#context.parallelism }, (): SplitState[] => []);
    splits.forEach((split, i) => shares[i % shares.length]!.push(split));
    shares.forEach((share, subtask) => {
      if (share.length > 0) this.#context.assign(subtask, share);
    });
  }
}

class FileReader<T> implements SourceReader<T> {
  readonly #store: ObjectStore;
  readonly #options: FileSourceOptions<T>;
  readonly #context: SourceReaderContext;
  readonly #limiter: RateLimiter | undefined;

  constructor(store: ObjectStore, options: FileSourceOptions<T>, context: SourceReaderContext) {
    this.#store = store;
    this.#options = options;
    this.#context = context;
    if (options.rateLimit !== undefined)
      this.#limiter = new RateLimiter(options.rateLimit, context);
  }

  async openSplit({ split, position }: SplitState): Promise<SplitReader<T>> {
    const file = split.data as unknown as FileSplit; // made by FileEnumerator
    const start = (position as unknown as Position | undefined) ?? { offset: 0, line: 0 }; // made by FileSplitReader
    return new FileSplitReader({
      store: this.#store,
      options: this.#options,
      context: this.#context,
      limiter: this.#limiter,
      file,
      start,
    });
  }

  async close(): Promise<void> {}
}

/** At most `perSecond` records, shared by the splits of a subtask. */
class RateLimiter {
  readonly #perSecond: number;
  readonly #context: SourceReaderContext;
  #nextMs: number;

  constructor(perSecond: number, context: SourceReaderContext) {
    this.#perSecond = perSecond;
    this.#context = context;
    this.#nextMs = context.clock.monotonicMs();
  }

  /** How many records a batch should have, so that output is smooth. */
  get batchSize(): number {
    return Math.max(1, Math.min(BATCH_SIZE_MAX, Math.floor(this.#perSecond / 20)));
  }

  async acquire(records: number): Promise<void> {
    const now = this.#context.clock.monotonicMs();
    const waitMs = this.#nextMs - now;
    this.#nextMs = Math.max(this.#nextMs, now) + (records * 1000) / this.#perSecond;
    if (waitMs > 0)
      await new Promise<void>((resolve) => void this.#context.timers.after(waitMs, resolve));
  }
}

interface SplitParams<T> {
  readonly store: ObjectStore;
  readonly options: FileSourceOptions<T>;
  readonly context: SourceReaderContext;
  readonly limiter: RateLimiter | undefined;
  readonly file: FileSplit;
  readonly start: Position;
}

class FileSplitReader<T> implements SplitReader<T> {
  readonly #params: SplitParams<T>;
  readonly #splitter: LineSplitter;
  #lines: readonly Line[] = [];
  #next = 0;
  #fetched: number;
  #position: Position;
  #ended = false;

  constructor(params: SplitParams<T>) {
    this.#params = params;
    this.#splitter = new LineSplitter(
      params.start.offset,
      params.options.lineBytesMax ?? LINE_BYTES_MAX,
    );
    this.#fetched = params.start.offset;
    this.#position = params.start;
  }

  poll(max: number): RecordBatch<T> | null | Promise<RecordBatch<T> | null> {
    const { limiter } = this.#params;
    if (limiter === undefined && this.#next < this.#lines.length) return this.#batch(max);
    return this.#fetchAndBatch(limiter === undefined ? max : Math.min(max, limiter.batchSize));
  }

  position(): JsonValue {
    return { offset: this.#position.offset, line: this.#position.line };
  }

  async close(): Promise<void> {}

  async #fetchAndBatch(max: number): Promise<RecordBatch<T> | null> {
    while (this.#next === this.#lines.length) {
      if (this.#ended) return null;
      await this.#fetch();
    }
    const batch = this.#batch(max);
    await this.#params.limiter?.acquire(batch.values.length);
    return batch;
  }

  async #fetch(): Promise<void> {
    const { store, file } = this.#params;
    const length = Math.min(CHUNK_BYTES, file.size - this.#fetched);
    this.#next = 0;
    if (length <= 0) {
      this.#ended = true;
      const last = this.#splitter.end();
      this.#lines = last === undefined ? [] : [last];
      return;
    }
    this.#lines = this.#splitter.push(await store.get(file.key, { offset: this.#fetched, length }));
    this.#fetched += length;
  }

  /** May be empty, when every line was malformed or blank. */
  #batch(max: number): RecordBatch<T> {
    const { format } = this.#params.options;
    const values: T[] = [];
    while (values.length < max && this.#next < this.#lines.length) {
      const line = this.#lines[this.#next++]!;
      const at = this.#position;
      this.#position = { offset: line.nextOffset, line: at.line + 1 };
      if (line.text === '' && !line.tooLong) continue;
      const decoded = line.tooLong
        ? { ok: false as const, reason: 'the line is longer than lineBytesMax' }
        : format.decode(line.text);
      if (decoded.ok) values.push(decoded.value);
      else this.#params.context.onMalformed(this.#malformed(line, at, decoded.reason));
    }
    return { values, timestamps: null };
  }

  #malformed(line: Line, at: Position, reason: string): MalformedRecord {
    const { key } = this.#params.file;
    return {
      splitId: key,
      position: { file: key, line: at.line + 1, offset: at.offset },
      reason,
      raw: line.text.slice(0, RAW_CHARACTERS_MAX),
    };
  }
}
