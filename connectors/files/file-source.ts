/**
 * Files of records in a folder or an object store, one split a file: all that is there, or whatever comes.
 *
 * What a line or record is, is the format's; where files are found is `file-enumerator.ts`'s; how one is read is `file-split-reader.ts`'s.
 */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { BulkFormat } from '../../src/connector/bulk-format.ts';
import type { LineFormat } from '../../src/connector/format.ts';
import type {
  Boundedness,
  MalformedPolicy,
  Source,
  SourceReader,
  SourceReaderContext,
  SplitReader,
  SplitState,
} from '../../src/connector/source.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { storeAt } from '../../src/storage/store-at.ts';
import { BulkSplitReader } from './bulk-split-reader.ts';
import { type Discovery, FileEnumerator, type FileSplit } from './file-enumerator.ts';
import { FileSplitReader, type Position } from './file-split-reader.ts';
import { RateLimiter } from './rate-limiter.ts';

export interface FileSourceOptions<T> {
  /** A folder or `s3://bucket/prefix`; or pass `store`. Names are of letters, digits, `.`, `_`, `=`, `-`; one that begins with a dot is hidden. */
  readonly path?: string;
  readonly store?: ObjectStore;
  /** Options of the store at `path`, such as `s3.endpoint`; credentials may come from the environment. */
  readonly storeOptions?: Readonly<Record<string, JsonValue>>;
  /** Only objects under this prefix. Default: all. */
  readonly prefix?: string;
  /** Exactly these files, by their names in the folder or store, instead of all. */
  readonly files?: readonly string[];
  /** Lines, CSV, or a bulk format such as `parquet`. */
  readonly format: LineFormat<T> | BulkFormat<T>;
  /** What happens with a record that cannot be read. Default 'fail', naming file, line and offset. */
  readonly malformed?: MalformedPolicy;
  /**
   * Looks for new files at this interval and never ends. Files must be whole when they appear, as those of a file sink are, and do not
   * change. Absent: the files that are there when the job starts.
   */
  readonly discoveryInterval?: Duration;
  /** Records per second and subtask. Default: no limit. */
  readonly rateLimit?: number;
  /** Longest line, and longest record of several lines, in bytes. Default 16 MiB. */
  readonly lineBytesMax?: number;
}

const LINE_BYTES_MAX = 16 * 1024 * 1024;
/** What the files open in a subtask read at once, together; each at least the smaller amount. */
const READ_BYTES = 8 * 1024 * 1024;
const CHUNK_BYTES_MAX = 1024 * 1024;
const CHUNK_BYTES_MIN = 64 * 1024;

/**
 * Reads files of lines, CSV or Parquet. @public
 * @throws `invalid` BAD_FILE_SOURCE
 */
export function fileSource<T>(options: FileSourceOptions<T>): Source<T> {
  checkOptions(options);
  const store = options.store ?? storeAt(options.path!, options.storeOptions);
  const { files, discoveryInterval } = options;
  const source = sourceOf(
    options,
    store,
    discoveryInterval === undefined ? 'bounded' : 'continuous-unbounded',
  );
  // Named files are what they are.
  if (files !== undefined) return source;
  return { ...source, untilNow: () => sourceOf({ ...options, untilNow: true }, store, 'bounded') };
}

function sourceOf<T>(
  options: FileSourceOptions<T> & Discovery,
  store: ObjectStore,
  boundedness: Boundedness,
): Source<T> {
  const { schema } = options.format;
  return {
    boundedness,
    ...(schema === undefined ? {} : { schema }),
    ...(options.malformed === undefined ? {} : { malformed: options.malformed }),
    createEnumerator: (context, restored) => new FileEnumerator(store, options, context, restored),
    createReader: (context) => new FileReader(store, options, context),
  };
}

function checkOptions(options: FileSourceOptions<unknown>): void {
  const { path, store, files, prefix, discoveryInterval, rateLimit } = options;
  const faults = [
    ...((path === undefined) === (store === undefined)
      ? ['it reads either a path or a store']
      : []),
    ...(files !== undefined && (prefix !== undefined || discoveryInterval !== undefined)
      ? ['files stands without prefix and discoveryInterval']
      : []),
    ...(files?.length === 0 ? ['files is empty'] : []),
    ...(discoveryInterval !== undefined && durationMs(discoveryInterval) <= 0
      ? ['discoveryInterval is positive']
      : []),
    ...(rateLimit !== undefined && !(rateLimit > 0) ? ['rateLimit is positive'] : []),
  ];
  if (faults.length > 0) throw invalid('BAD_FILE_SOURCE', `file source: ${faults.join('; ')}`);
}

class FileReader<T> implements SourceReader<T> {
  readonly #store: ObjectStore;
  readonly #options: FileSourceOptions<T>;
  readonly #context: SourceReaderContext;
  readonly #limiter: RateLimiter | undefined;
  #opened = 0;

  constructor(store: ObjectStore, options: FileSourceOptions<T>, context: SourceReaderContext) {
    this.#store = store;
    this.#options = options;
    this.#context = context;
    if (options.rateLimit !== undefined)
      this.#limiter = new RateLimiter(options.rateLimit, context.clock);
  }

  async openSplit({ split, position }: SplitState): Promise<SplitReader<T>> {
    this.#opened++;
    const even = Math.floor(READ_BYTES / this.#opened);
    const params = {
      store: this.#store,
      file: split.data as unknown as FileSplit, // made by FileEnumerator
      context: this.#context,
      limiter: this.#limiter,
    };
    const { format } = this.#options;
    if ('openFile' in format)
      return BulkSplitReader.open({ ...params, format }, position as number | undefined); // made by BulkSplitReader
    const lines = {
      ...params,
      format,
      lineBytesMax: this.#options.lineBytesMax ?? LINE_BYTES_MAX,
      chunkBytes: Math.max(CHUNK_BYTES_MIN, Math.min(CHUNK_BYTES_MAX, even)),
    };
    return FileSplitReader.open(lines, position as unknown as Position | undefined); // made by FileSplitReader
  }

  async close(): Promise<void> {}
}
