/**
 * Walks the records of one partition's part of a fetch answer, leaving out what readers must not see.
 *
 * Invariants
 *  C1  Offsets only grow: records below the offset that was asked for (the rest of their batch) are left out.
 *  C2  Reading committed: batches are walked in order; a producer joins the aborted set when a batch reaches the first offset of its
 *      aborted transaction, and leaves it at its next abort marker. Its transactional batches in between are left out. The broker never
 *      hands out what lies past the first open transaction.
 *  C3  Control batches are never delivered; `nextOffset` passes over them.
 *  C4  A length, count or checksum that does not fit is `data` KAFKA_CORRUPT_BATCH, never a wrong record.
 *
 * Layouts are those of `record-batch-builder.ts`. Cost: no object per record; keys and values are views of the answer's buffer.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { compressionsAlgorithms, crc32c } from '@platformatic/kafka';
import { MillraceError } from '../../src/base/errors.ts';
import type { KafkaHeaders } from './kafka-record.ts';
import { BATCH_HEADER_BYTES, TRANSACTIONAL_BIT } from './record-batch-builder.ts';
import type { AbortedTransaction, Isolation } from './transport.ts';

const CONTROL_BIT = 0x20;
const LOG_APPEND_TIME_BIT = 0x08;
const COMPRESSION_BITS = 0x07;
const ABORT_MARKER = 0;
const COMMIT_MARKER = 1;
/** Of one batch. Brokers take 1 MiB by default and packed data may be much smaller. */
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024;

export interface CursorOptions {
  readonly records: Buffer;
  /** By `firstOffset`. */
  readonly aborted: readonly AbortedTransaction[];
  readonly isolation: Isolation;
  readonly fromOffset: number;
}

/** The end of a transaction as the log tells it. */
export interface TransactionMarker {
  readonly offset: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly committed: boolean;
}

export class RecordCursor {
  readonly #bytes: Buffer;
  readonly #aborted: readonly AbortedTransaction[];
  readonly #committedOnly: boolean;
  readonly #fromOffset: number;
  readonly #abortedProducers = new Set<number>();
  /** Told of every control batch that is passed. */
  onMarker: ((marker: TransactionMarker) => void) | undefined;
  #nextAborted = 0;
  #batchAt = 0;
  /** The records of the current batch. */
  #records: Buffer;
  #at = 0;
  #left = 0;
  #baseOffset = 0;
  #baseTimestamp = 0;
  #appendTime = -1;
  #batchEndOffset: number;
  #headersAt = 0;

  /** The current record, valid until the next call of `next`. */
  offset = -1;
  timestamp = -1;
  key: Buffer | null = null;
  value: Buffer | null = null;

  constructor({ records, aborted, isolation, fromOffset }: CursorOptions) {
    this.#bytes = records;
    this.#records = records;
    this.#aborted = aborted;
    this.#committedOnly = isolation === 'read_committed';
    this.#fromOffset = fromOffset;
    this.#batchEndOffset = fromOffset;
  }

  /** Where to go on when the cursor is at its end, or after the current record. */
  get nextOffset(): number {
    return this.#left > 0 ? this.offset + 1 : Math.max(this.#batchEndOffset, this.#fromOffset);
  }

  /** Of the current record: key and value. */
  get recordBytes(): number {
    return (this.key?.length ?? 0) + (this.value?.length ?? 0);
  }

  /** Goes to the next record; false at the end. */
  next(): boolean {
    for (;;) {
      while (this.#left === 0) if (!this.#openBatch()) return false;
      this.#readRecord();
      if (this.offset >= this.#fromOffset) return true; // C1
    }
  }

  /** Of the current record. */
  headers(): KafkaHeaders {
    const saved = this.#at;
    this.#at = this.#headersAt;
    const count = this.#readVarint();
    const headers: [string, Buffer | null][] = [];
    for (let i = 0; i < count; i++)
      headers.push([this.#readBytes()?.toString() ?? '', this.#readBytes()]);
    this.#at = saved;
    return headers;
  }

  #openBatch(): boolean {
    const bytes = this.#bytes;
    for (;;) {
      const at = this.#batchAt;
      if (bytes.length - at < BATCH_HEADER_BYTES) return false;
      const end = at + 12 + bytes.readInt32BE(at + 8);
      if (end > bytes.length) return false; // the last batch may be cut
      const magic = bytes.readInt8(at + 16);
      if (magic !== 2) throw corrupt(`record format ${magic}; brokers since 0.11 write 2`, at);
      if (end < at + BATCH_HEADER_BYTES) throw corrupt('a batch is shorter than its header', at);
      if (bytes.readUInt32BE(at + 17) !== crc32c(bytes.subarray(at + 21, end)) >>> 0)
        throw corrupt('the checksum of a batch does not match', at);
      this.#batchAt = end;
      this.#baseOffset = Number(bytes.readBigInt64BE(at));
      this.#batchEndOffset = this.#baseOffset + bytes.readInt32BE(at + 23) + 1;
      if (this.#batchEndOffset <= this.#fromOffset) {
        this.#noteAborts(this.#batchEndOffset - 1);
        if ((bytes.readInt16BE(at + 21) & CONTROL_BIT) !== 0) this.#passMarker(at, end);
      } else if (this.#admits(at, end)) {
        this.#openRecords(at, end);
        return true;
      }
    }
  }

  /** C2, C3 */
  #admits(at: number, end: number): boolean {
    const attributes = this.#bytes.readInt16BE(at + 21);
    this.#noteAborts(this.#batchEndOffset - 1);
    if ((attributes & CONTROL_BIT) !== 0) {
      this.#passMarker(at, end);
      return false;
    }
    if (!this.#committedOnly || (attributes & TRANSACTIONAL_BIT) === 0) return true;
    return !this.#abortedProducers.has(Number(this.#bytes.readBigInt64BE(at + 43)));
  }

  #noteAborts(lastOffset: number): void {
    const aborted = this.#aborted;
    while (
      this.#nextAborted < aborted.length &&
      aborted[this.#nextAborted]!.firstOffset <= lastOffset
    )
      this.#abortedProducers.add(aborted[this.#nextAborted++]!.producerId);
  }

  #passMarker(at: number, end: number): void {
    this.#records = this.#bytes.subarray(at + BATCH_HEADER_BYTES, end);
    this.#at = 0;
    this.#baseOffset = Number(this.#bytes.readBigInt64BE(at));
    this.#left = 1;
    this.#readRecord();
    this.#left = 0;
    const type = this.key !== null && this.key.length >= 4 ? this.key.readInt16BE(2) : -1;
    if (type !== ABORT_MARKER && type !== COMMIT_MARKER) return;
    const producerId = Number(this.#bytes.readBigInt64BE(at + 43));
    if (type === ABORT_MARKER) this.#abortedProducers.delete(producerId);
    this.onMarker?.({
      offset: this.#baseOffset,
      producerId,
      producerEpoch: this.#bytes.readInt16BE(at + 51),
      committed: type === COMMIT_MARKER,
    });
  }

  #openRecords(at: number, end: number): void {
    const bytes = this.#bytes;
    const attributes = bytes.readInt16BE(at + 21);
    const packed = bytes.subarray(at + BATCH_HEADER_BYTES, end);
    const compression = attributes & COMPRESSION_BITS;
    this.#records = compression === 0 ? packed : unpack(packed, compression, at);
    this.#at = 0;
    this.#baseTimestamp = Number(bytes.readBigInt64BE(at + 27));
    this.#appendTime =
      (attributes & LOG_APPEND_TIME_BIT) === 0 ? -1 : Number(bytes.readBigInt64BE(at + 35));
    this.#left = bytes.readInt32BE(at + 57);
    if (this.#left < 0 || this.#left > this.#records.length)
      throw corrupt(`a batch of ${this.#left} records in ${this.#records.length} bytes`, at);
  }

  #readRecord(): void {
    const length = this.#readVarint();
    const end = this.#at + length;
    if (length < 0 || end > this.#records.length)
      throw corrupt('a record leaves its batch', this.#at);
    this.#at++;
    const timestampDelta = this.#readVarint();
    this.timestamp =
      this.#appendTime >= 0 ? this.#appendTime : this.#baseTimestamp + timestampDelta;
    this.offset = this.#baseOffset + this.#readVarint();
    this.key = this.#readBytes();
    this.value = this.#readBytes();
    this.#headersAt = this.#at;
    if (this.#at > end) throw corrupt('a record is longer than it says', this.#at);
    this.#at = end;
    this.#left--;
  }

  #readBytes(): Buffer | null {
    const length = this.#readVarint();
    if (length < 0) return null;
    const start = this.#at;
    if (start + length > this.#records.length) throw corrupt('a field leaves its batch', start);
    this.#at = start + length;
    return this.#records.subarray(start, start + length);
  }

  #readVarint(): number {
    const records = this.#records;
    let byte = records[this.#at++];
    let zigzag = 0;
    let scale = 1;
    while (byte !== undefined && byte >= 128) {
      zigzag += (byte - 128) * scale;
      scale *= 128;
      if (scale > 2 ** 63) throw corrupt('a number is too long', this.#at);
      byte = records[this.#at++];
    }
    if (byte === undefined) throw corrupt('a batch ends within a record', this.#at);
    zigzag += byte * scale;
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
  }
}

function unpack(packed: Buffer, compression: number, at: number): Buffer {
  try {
    if (compression === 1) return gunzipSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX });
    if (compression === 2) return compressionsAlgorithms.snappy.decompressSync(packed);
    if (compression === 3) return compressionsAlgorithms.lz4.decompressSync(packed);
    if (compression === 4)
      return zstdDecompressSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX });
  } catch (error) {
    throw corrupt('a batch cannot be unpacked', at, error);
  }
  throw corrupt(`compression ${compression} is unknown`, at);
}

function corrupt(what: string, at: number, cause?: unknown): MillraceError {
  return new MillraceError(
    'data',
    'KAFKA_CORRUPT_BATCH',
    `${what}, at byte ${at} of what the broker sent. If it does so again the log of the partition is damaged: restore it from a replica`,
    cause === undefined ? {} : { cause },
  );
}
