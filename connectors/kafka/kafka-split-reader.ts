/**
 * Turns what was fetched of one partition into batches of records.
 *
 * A position is the next offset to read. Between batches it also passes over what is not delivered: transaction markers and records of
 * aborted transactions.
 */
import type { JsonValue } from '../../src/base/json.ts';
import type { Decoded } from '../../src/connector/format.ts';
import type { PollResult, SourceReaderContext, SplitReader } from '../../src/connector/source.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../../src/types/record-batch.ts';
import type { Fetcher, FetchSlot } from './fetcher.ts';
import type { KafkaRecord } from './kafka-record.ts';
import { RecordCursor } from './record-cursor.ts';
import type { Isolation } from './transport.ts';

/** How a record is read; a promise asks to be called again when it has settled. */
export type Deserialize<T> = (cursor: RecordCursor, slot: FetchSlot) => Decoded<T> | Promise<void>;

export interface SplitReaderParams<T> {
  readonly slot: FetchSlot;
  readonly fetcher: Fetcher;
  readonly isolation: Isolation;
  readonly deserialize: Deserialize<T>;
  readonly recordBytesMax: number;
  /** The first offset that is not read in this run; a later one goes on there. Absent: as the split says. */
  readonly endsAt?: number | undefined;
  readonly context: SourceReaderContext;
}

const RAW_BYTES_MAX = 64 * 1024;

export class KafkaSplitReader<T> implements SplitReader<T> {
  readonly #params: SplitReaderParams<T>;
  readonly #stopOffset: number;
  readonly grows: boolean;
  #cursor: RecordCursor | undefined;
  /** The cursor stands at a record that has not been read yet. */
  #atRecord = false;
  /** What a record needs to be read. */
  #needs: Promise<void> | undefined;
  #position: number;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(params: SplitReaderParams<T>) {
    this.#params = params;
    this.#stopOffset = params.endsAt ?? params.slot.split.stopOffset ?? Number.POSITIVE_INFINITY;
    this.grows = params.endsAt !== undefined;
    this.#position = params.slot.offset;
    params.slot.onChange = () => this.#wake?.();
  }

  poll(max: number): PollResult<T> {
    const ready = this.#take(max);
    return ready === undefined ? this.#wait(max) : ready;
  }

  position(): JsonValue {
    return { offset: this.#position };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#params.fetcher.remove(this.#params.slot);
    this.#wake?.();
  }

  async #wait(max: number): Promise<RecordBatch<T> | null> {
    for (;;) {
      if (this.#needs !== undefined) {
        await this.#needs;
        this.#needs = undefined;
      } else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      this.#wake = undefined;
      if (this.#closed) return null;
      const ready = this.#take(max);
      if (ready !== undefined) return ready;
    }
  }

  /** A batch, the end, or undefined: nothing is there yet. */
  #take(max: number): RecordBatch<T> | null | undefined {
    const { slot } = this.#params;
    for (;;) {
      if (this.#position >= this.#stopOffset) return null;
      if (this.#cursor === undefined) {
        if (!this.#openChunk()) {
          if (slot.failure !== undefined) throw slot.failure;
          return undefined;
        }
      }
      const batch = this.#readBatch(this.#cursor!, max); // opened above
      if (batch !== undefined) return batch;
      if (this.#needs !== undefined) return undefined;
    }
  }

  #openChunk(): boolean {
    const { slot, fetcher, isolation } = this.#params;
    const chunk = slot.take();
    if (chunk === undefined) return false;
    fetcher.wake();
    this.#cursor = new RecordCursor({ ...chunk, isolation });
    return true;
  }

  /** At most `max` records; undefined when the chunk has no further ones, or a record cannot be read yet. */
  #readBatch(cursor: RecordCursor, max: number): RecordBatch<T> | undefined {
    const { deserialize, slot, recordBytesMax } = this.#params;
    const values: T[] = [];
    const timestamps = new Float64Array(max);
    let malformed = 0;
    while (values.length < max) {
      if (!this.#atRecord && !cursor.next()) {
        this.#position = Math.max(this.#position, cursor.nextOffset);
        this.#cursor = undefined;
        break;
      }
      if (cursor.offset >= this.#stopOffset) {
        this.#position = this.#stopOffset;
        this.#cursor = undefined;
        break;
      }
      const decoded =
        cursor.recordBytes > recordBytesMax
          ? tooLarge(cursor, recordBytesMax)
          : deserialize(cursor, slot);
      this.#atRecord = decoded instanceof Promise;
      if (decoded instanceof Promise) {
        decoded.catch(() => {}); // it is waited for by the next poll
        this.#needs = decoded;
        break;
      }
      this.#position = cursor.offset + 1;
      if (decoded.ok) {
        timestamps[values.length] = cursor.timestamp < 0 ? NO_TIMESTAMP : cursor.timestamp;
        values.push(decoded.value);
      } else if (++malformed) this.#onMalformed(cursor, decoded.reason);
    }
    // An empty batch takes the position past malformed records.
    return values.length === 0 && malformed === 0 ? undefined : { values, timestamps };
  }

  #onMalformed({ offset, value }: RecordCursor, reason: string): void {
    const { slot, context } = this.#params;
    const { topic, partition } = slot.split;
    context.onMalformed({
      splitId: slot.id,
      position: { topic, partition, offset },
      reason,
      raw: new Uint8Array((value ?? new Uint8Array()).subarray(0, RAW_BYTES_MAX)),
    });
  }
}

const tooLarge = ({ recordBytes }: RecordCursor, max: number): Decoded<never> => ({
  ok: false,
  reason: `it has ${recordBytes} bytes, more than recordBytesMax (${max})`,
});

/** The current record as an object. Bytes are views that are valid until the next record. */
export const recordOf = (cursor: RecordCursor, { split }: FetchSlot): KafkaRecord => ({
  topic: split.topic,
  partition: split.partition,
  offset: cursor.offset,
  timestamp: cursor.timestamp,
  key: cursor.key,
  value: cursor.value,
  headers: cursor.headers(),
});
