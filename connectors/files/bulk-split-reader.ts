/** Reads one file of a bulk format from a record on. A position is the number of records delivered. */
import { MillraceError } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { BulkFormat, BulkReader } from '../../src/connector/bulk-format.ts';
import type { Decoded } from '../../src/connector/format.ts';
import type { PollResult, SourceReaderContext, SplitReader } from '../../src/connector/source.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import type { FileSplit } from './file-enumerator.ts';
import { FileReads } from './file-reads.ts';
import type { RateLimiter } from './rate-limiter.ts';

export interface BulkSplitParams<T> {
  readonly store: ObjectStore;
  readonly file: FileSplit;
  readonly format: BulkFormat<T>;
  readonly context: SourceReaderContext;
  readonly limiter: RateLimiter | undefined;
}

export class BulkSplitReader<T> implements SplitReader<T> {
  readonly #params: BulkSplitParams<T>;
  readonly #reads: FileReads;
  readonly #reader: BulkReader<T>;
  #records: readonly Decoded<T>[] = [];
  /** Of `#records`. */
  #next = 0;
  #position: number;

  private constructor(
    params: BulkSplitParams<T>,
    reads: FileReads,
    reader: BulkReader<T>,
    position: number,
  ) {
    this.#params = params;
    this.#reads = reads;
    this.#reader = reader;
    this.#position = position;
  }

  /** @throws `data` FILE_POSITION_BEYOND_END */
  static async open<T>(params: BulkSplitParams<T>, position = 0): Promise<BulkSplitReader<T>> {
    const { store, file, format, context } = params;
    const { key, size } = file;
    const reads = new FileReads(store, key, context.timers);
    const read = (offset: number, length: number): Promise<Uint8Array> =>
      reads.read(offset, length);
    const reader = await format.openFile({ name: key, size, read });
    if (position > reader.records)
      throw new MillraceError(
        'data',
        'FILE_POSITION_BEYOND_END',
        `${key} holds ${reader.records} records, and ${position} of it were read before: it was replaced. Files must not change once they are there`,
        { details: { key, position } },
      );
    return new BulkSplitReader(params, reads, reader, position);
  }

  poll(max: number): PollResult<T> {
    const { limiter } = this.#params;
    if (limiter === undefined && this.#next < this.#records.length) return this.#batch(max);
    return this.#fetchAndBatch(limiter === undefined ? max : Math.min(max, limiter.batchSize));
  }

  position(): JsonValue {
    return this.#position;
  }

  async close(): Promise<void> {
    this.#reads.close();
    this.#records = [];
  }

  async #fetchAndBatch(max: number): Promise<RecordBatch<T> | null> {
    if (this.#next === this.#records.length) {
      if (this.#position === this.#reader.records) return null;
      this.#records = await this.#reader.read(this.#position);
      this.#next = 0;
      if (this.#reads.closed) return null;
    }
    const batch = this.#batch(max);
    const waitMs = this.#params.limiter?.book(batch.values.length) ?? 0;
    if (waitMs > 0) await this.#reads.pause(waitMs);
    return batch;
  }

  /** May be empty, when every record was malformed. */
  #batch(max: number): RecordBatch<T> {
    const values: T[] = [];
    while (values.length < max && this.#next < this.#records.length) {
      const record = this.#records[this.#next++]!;
      this.#position++;
      if (record.ok) values.push(record.value);
      else this.#refuse(record.reason);
    }
    return { values, timestamps: null };
  }

  #refuse(reason: string): void {
    const { key } = this.#params.file;
    const position = { file: key, record: this.#position };
    this.#params.context.onMalformed({ splitId: key, position, reason, raw: '' });
  }
}
