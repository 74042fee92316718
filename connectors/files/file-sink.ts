/**
 * Files of records, exactly once.
 *
 * Records are gathered into a part; at a barrier, or when the part is full, it is staged, invisible to readers of the folder. The
 * committable names the staged object, its checksum and the final name. Committing copies it to the final name by create-if-absent and removes
 * the staged one: done twice it changes nothing.
 *
 *   .staging/<job>-<operator>-<subtask>-<attempt>/<n>        staged
 *   [<bucket>/]part-<subtask>-<checkpoint>-<n>-<attempt>     published; no two attempts share a name
 *
 * Invariants
 *  F1  Only what a completed checkpoint names is published. A reader that passes over names beginning with a dot sees nothing else.
 *  F2  What earlier attempts left behind is removed once a checkpoint of this attempt is complete: by then everything that older
 *      checkpoints named has been published. Only what was there when this attempt began is removed, so that a zombie cannot remove what
 *      its successor stages.
 *
 * Requests: two puts, a get and a delete for each part; one list for each subtask and start.
 */
import { crc32 } from 'node:zlib';
import { invalid, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { BulkFormat } from '../../src/connector/bulk-format.ts';
import type { LineFormat } from '../../src/connector/format.ts';
import type {
  Committable,
  Committer,
  Sink,
  SinkWriter,
  SinkWriterContext,
} from '../../src/connector/sink.ts';
import { checkKey } from '../../src/storage/object-key.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { readVerified } from '../../src/storage/read-verified.ts';
import { storeAt } from '../../src/storage/store-at.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';

export interface FileSinkOptions<T> {
  /** A folder or `s3://bucket/prefix`; or pass `store`. */
  readonly path?: string;
  readonly store?: ObjectStore;
  /** Options of the store at `path`, such as `s3.endpoint`; credentials may come from the environment. */
  readonly storeOptions?: Readonly<Record<string, JsonValue>>;
  /** Lines, CSV, or a bulk format such as `parquet`. */
  readonly format: LineFormat<T> | BulkFormat<T>;
  /** A part is closed when it holds about this many bytes; a barrier closes it anyway. Default 64 MiB. */
  readonly partBytes?: number;
  /** Which folder below `path` a record goes to, such as `day=2026-01-01`; '' for none. Segments of [A-Za-z0-9._=-]. Absent: none. */
  readonly bucketOf?: (value: T) => string;
  /** Appended to the names of parts, such as `.jsonl`. Default none. */
  readonly extension?: string;
}

interface StagedPart {
  readonly staged: string;
  readonly name: string;
  /** Of its bytes: what is published is what was written. */
  readonly crc32: number;
}

const PART_START_BYTES = 16 * 1024;
/** Lines are gathered up to this many characters before they become bytes: texts that live long would be the collector's work. */
const TEXT_MAX = 8192;
/** A character (UTF-16 unit) takes at most as many bytes of UTF-8. */
const UTF8_BYTES_MAX = 3;

/** A file that is being written. */
interface OpenPart<T> {
  /** In bytes, about. */
  readonly size: number;
  add(value: T): void;
  take(): Uint8Array;
}

/** Bytes, and the lines that came last. */
class LinesPart<T> implements OpenPart<T> {
  readonly #format: LineFormat<T>;
  #bytes = Buffer.allocUnsafe(PART_START_BYTES);
  #length = 0;
  #text = '';

  constructor(format: LineFormat<T>) {
    this.#format = format;
    const header = format.encodeHeader?.();
    if (header !== undefined) this.#addLine(header);
  }

  get size(): number {
    return this.#length + this.#text.length;
  }

  add(value: T): void {
    this.#addLine(this.#format.encode(value));
  }

  #addLine(line: string): void {
    this.#text += line;
    this.#text += '\n';
    if (this.#text.length >= TEXT_MAX) this.#encode();
  }

  take(): Uint8Array {
    this.#encode();
    return this.#bytes.subarray(0, this.#length);
  }

  #encode(): void {
    const needed = this.#length + this.#text.length * UTF8_BYTES_MAX;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#length += this.#bytes.write(this.#text, this.#length, 'utf8');
    this.#text = '';
  }
}

interface ClosedPart {
  readonly staged: string;
  readonly bucket: string;
  readonly crc32: number;
}

const PART_BYTES = 64 * 1024 * 1024;
/** Parts open at once in a subtask; the fullest is closed beyond it. */
const BUCKETS_OPEN_MAX = 256;
const STAGING = '.staging';
/** Leftovers removed in one go; more wait for the next start. */
const LEFTOVERS_MAX = 10_000;

/**
 * Writes files of lines, CSV or Parquet, each record once, visible when its checkpoint is complete. @public
 * @throws `invalid` BAD_FILE_SINK
 */
export function fileSink<T>(options: FileSinkOptions<T>): Sink<T> {
  if ((options.path === undefined) === (options.store === undefined))
    throw invalid('BAD_FILE_SINK', 'a file sink writes either to a path or to a store');
  if (options.partBytes !== undefined && !(options.partBytes > 0))
    throw invalid('BAD_FILE_SINK', 'partBytes is positive');
  if (options.extension !== undefined) checkKey(`part${options.extension}`);
  const store = options.store ?? storeAt(options.path!, options.storeOptions);
  return {
    guarantee: 'exactly-once',
    createWriter: async (context) => new FileWriter(store, options, context),
    createCommitter: (context) => FileCommitter.open(store, context),
  };
}

/** Begins the names of everything this sink stages, in any subtask and attempt; another job's on the same folder begin otherwise. */
const stagingPrefix = ({ jobId, operatorId }: SinkWriterContext): string =>
  `${STAGING}/${jobId}-${operatorId}-`;

const stagingFolder = (context: SinkWriterContext): string =>
  `${stagingPrefix(context)}${context.subtaskIndex}-${context.attemptId}`;

class FileWriter<T> implements SinkWriter<T> {
  readonly #store: ObjectStore;
  readonly #options: FileSinkOptions<T>;
  readonly #partBytes: number;
  readonly #context: SinkWriterContext;
  readonly #parts = new Map<string, OpenPart<T>>();
  #staged: ClosedPart[] = [];
  #count = 0;

  constructor(store: ObjectStore, options: FileSinkOptions<T>, context: SinkWriterContext) {
    this.#store = store;
    this.#options = options;
    this.#partBytes = options.partBytes ?? PART_BYTES;
    this.#context = context;
  }

  write({ values }: RecordBatch<T>): void | Promise<void> {
    const { bucketOf } = this.#options;
    const full = new Set<string>();
    let bucket: string | undefined;
    let part!: OpenPart<T>;
    for (const value of values) {
      const own = bucketOf === undefined ? '' : bucketOf(value);
      // Records of a bucket come in runs: comparing is cheaper than hashing a text that was just made.
      if (own !== bucket) {
        bucket = own;
        part = this.#partOf(own);
      }
      part.add(value);
      if (part.size >= this.#partBytes) full.add(own);
    }
    if (this.#parts.size > BUCKETS_OPEN_MAX) full.add(this.#fullest());
    if (full.size > 0) return this.#stageAll(full);
  }

  async flush(): Promise<void> {
    await this.#stageAll(this.#parts.keys());
  }

  async prepareCommit(checkpointId: number): Promise<readonly Committable[]> {
    const { subtaskIndex, attemptId } = this.#context;
    const { extension = '' } = this.#options;
    const staged = this.#staged;
    this.#staged = [];
    return staged.map(({ staged: key, bucket, crc32 }, i) => ({
      staged: key,
      crc32,
      name: `${bucket === '' ? '' : `${bucket}/`}part-${subtaskIndex}-${checkpointId}-${i}-${attemptId}${extension}`,
    }));
  }

  async close(): Promise<void> {
    this.#parts.clear();
  }

  #partOf(bucket: string): OpenPart<T> {
    let part = this.#parts.get(bucket);
    if (part === undefined) {
      checkBucket(bucket);
      const { format } = this.#options;
      part = 'createWriter' in format ? format.createWriter() : new LinesPart(format);
      this.#parts.set(bucket, part);
    }
    return part;
  }

  #fullest(): string {
    let fullest = '';
    let most = -1;
    for (const [bucket, { size }] of this.#parts) if (size > most) [fullest, most] = [bucket, size];
    return fullest;
  }

  async #stageAll(buckets: Iterable<string>): Promise<void> {
    for (const bucket of [...buckets]) await this.#stage(bucket);
  }

  async #stage(bucket: string): Promise<void> {
    const part = this.#parts.get(bucket)!; // a part is open for each bucket that is named here
    this.#parts.delete(bucket);
    const staged = `${stagingFolder(this.#context)}/${this.#count++}`;
    const bytes = part.take();
    await this.#store.put(staged, bytes);
    this.#staged.push({ staged, bucket, crc32: crc32(bytes) });
  }
}

/** @throws `invalid` BAD_BUCKET; a bucket cannot leave the folder or hide in it */
function checkBucket(bucket: string): void {
  if (bucket === '') return;
  if (bucket.split('/').some((segment) => segment.startsWith('.')))
    throw invalid('BAD_BUCKET', `bucket ${JSON.stringify(bucket)}: no segment begins with a dot`);
  checkKey(bucket);
}

class FileCommitter implements Committer {
  readonly #store: ObjectStore;
  readonly #context: SinkWriterContext;
  /** F2 */
  #leftovers: readonly string[];

  private constructor(
    store: ObjectStore,
    context: SinkWriterContext,
    leftovers: readonly string[],
  ) {
    this.#store = store;
    this.#context = context;
    this.#leftovers = leftovers;
  }

  static async open(store: ObjectStore, context: SinkWriterContext): Promise<FileCommitter> {
    return new FileCommitter(store, context, await findLeftovers(store, context));
  }

  async commit(committables: readonly Committable[]): Promise<void> {
    const parts = committables as unknown as readonly StagedPart[]; // made by FileWriter
    for (const part of parts) await this.#publish(part);
    const own = stagingFolder(this.#context);
    if (parts.some(({ staged }) => staged.startsWith(`${own}/`))) await this.#removeLeftovers();
  }

  async close(): Promise<void> {}

  async #publish(part: StagedPart): Promise<void> {
    const { staged, name } = part;
    const bytes = await this.#read(part);
    if (bytes === undefined) {
      // Committed before, and tidied up.
      if ((await this.#store.head(name)) !== undefined) return;
      throw new MillraceError(
        'data',
        'STAGED_PART_MISSING',
        `the staged part ${staged} is gone and ${name} does not exist: its records cannot be published. Bring one of the two back, or start from an older checkpoint`,
        { details: { staged, name } },
      );
    }
    await this.#store.putIfAbsent(name, bytes);
    await this.#store.delete(staged);
  }

  async #read({ staged, crc32: expected }: StagedPart): Promise<Uint8Array | undefined> {
    try {
      return await readVerified(
        () => this.#store.get(staged),
        (bytes) => {
          if (crc32(bytes) === expected) return bytes;
          throw new MillraceError(
            'data',
            'STAGED_PART_CORRUPT',
            `the staged part ${staged} does not match its checksum. Nothing was published or deleted; bring its bytes back, or start from an older checkpoint`,
            { details: { staged } },
          );
        },
      );
    } catch (error) {
      if (isMillraceError(error) && error.code === 'OBJECT_NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** Garbage is no reason to fail: what cannot be removed now is found again by the next attempt. */
  async #removeLeftovers(): Promise<void> {
    const leftovers = this.#leftovers;
    this.#leftovers = [];
    try {
      for (const key of leftovers) await this.#store.delete(key);
    } catch (error) {
      this.#context.logger.log('debug', 'could not remove what earlier attempts staged', {
        reason: String(error),
      });
    }
  }
}

/** What earlier attempts of this subtask staged; subtask 0 also takes those of subtasks that are no more. */
async function findLeftovers(
  store: ObjectStore,
  context: SinkWriterContext,
): Promise<readonly string[]> {
  const { subtaskIndex, parallelism, logger } = context;
  const found: string[] = [];
  const prefix = stagingPrefix(context);
  try {
    for await (const { key } of store.list(prefix)) {
      const subtask = Number.parseInt(key.slice(prefix.length), 10);
      const ours = subtask === subtaskIndex || (subtaskIndex === 0 && subtask >= parallelism);
      if (ours && found.push(key) === LEFTOVERS_MAX) break;
    }
  } catch (error) {
    logger.log('debug', 'could not look for what earlier attempts staged', {
      reason: String(error),
    });
  }
  return found;
}
