/**
 * Encodes records of one partition into one record batch, the unit that Kafka stores.
 *
 * Layout (big endian), 61 bytes before the records; the checksum (CRC-32C) covers everything from the attributes on:
 *
 *     0 base offset i64   8 length after this field i32   12 leader epoch i32   16 magic i8 = 2   17 checksum u32
 *    21 attributes i16   23 last offset delta i32   27 base timestamp i64   35 max timestamp i64
 *    43 producer id i64   51 producer epoch i16   53 base sequence i32   57 records i32   61 records ...
 *
 * A record: length, attributes i8, timestamp delta, offset delta, key, value, headers; numbers and lengths as zigzag varints.
 * Cost: one buffer that grows to the batch's size; no object per record.
 */
import { compressionsAlgorithms, crc32c } from '@platformatic/kafka';
import type { KafkaHeaders } from './kafka-record.ts';
import type { ProducerIdentity } from './transport.ts';
import { varintSize, writeVarint } from './varint.ts';

export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

export const BATCH_HEADER_BYTES = 61;
const BYTES_LEAST = 4096;
export const TRANSACTIONAL_BIT = 0x10;

export interface BatchIdentity extends ProducerIdentity {
  readonly baseSequence: number;
  readonly transactional: boolean;
}

export class RecordBatchBuilder {
  #buffer = Buffer.allocUnsafe(BYTES_LEAST);
  #at = BATCH_HEADER_BYTES;
  #count = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;

  get count(): number {
    return this.#count;
  }

  /** Before compression. */
  get bytes(): number {
    return this.#at;
  }

  append(
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestamp: number,
    headers: KafkaHeaders | undefined,
  ): void {
    if (this.#count === 0) this.#baseTimestamp = this.#maxTimestamp = timestamp;
    else if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp;
    const timestampDelta = timestamp - this.#baseTimestamp;
    const bodyBytes =
      1 +
      varintSize(timestampDelta) +
      varintSize(this.#count) +
      bytesSize(key) +
      bytesSize(value) +
      (headers === undefined ? 1 : headersSize(headers));
    this.#reserve(bodyBytes + 5);
    const buffer = this.#buffer;
    let at = writeVarint(buffer, this.#at, bodyBytes);
    buffer[at++] = 0;
    at = writeVarint(buffer, at, timestampDelta);
    at = writeVarint(buffer, at, this.#count);
    at = writeBytes(buffer, at, key);
    at = writeBytes(buffer, at, value);
    if (headers === undefined) buffer[at++] = 0;
    else at = writeHeaders(buffer, at, headers);
    this.#at = at;
    this.#count++;
  }

  /** The batch, ready to send. The builder is used up. */
  build(identity: BatchIdentity, compression: Compression): Buffer {
    const { producerId, producerEpoch, baseSequence, transactional } = identity;
    let batch = this.#buffer.subarray(0, this.#at);
    let attributes = transactional ? TRANSACTIONAL_BIT : 0;
    if (compression !== 'none') {
      const algorithm = compressionsAlgorithms[compression];
      attributes |= algorithm.bitmask;
      const packed = algorithm.compressSync(batch.subarray(BATCH_HEADER_BYTES));
      batch = Buffer.concat([batch.subarray(0, BATCH_HEADER_BYTES), packed]);
    }
    batch.writeBigInt64BE(0n, 0);
    batch.writeInt32BE(batch.length - 12, 8);
    batch.writeInt32BE(-1, 12);
    batch.writeInt8(2, 16);
    batch.writeInt16BE(attributes, 21);
    batch.writeInt32BE(this.#count - 1, 23);
    batch.writeBigInt64BE(BigInt(this.#baseTimestamp), 27);
    batch.writeBigInt64BE(BigInt(this.#maxTimestamp), 35);
    batch.writeBigInt64BE(BigInt(producerId), 43);
    batch.writeInt16BE(producerEpoch, 51);
    batch.writeInt32BE(baseSequence, 53);
    batch.writeInt32BE(this.#count, 57);
    batch.writeUInt32BE(crc32c(batch.subarray(21)) >>> 0, 17);
    return batch;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** What a record will take at most, before it is appended. */
export function recordBytesMost(key: Uint8Array | null, value: Uint8Array | null): number {
  return (key?.length ?? 0) + (value?.length ?? 0) + 40;
}

function bytesSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintSize(bytes.length) + bytes.length;
}

function writeBytes(buffer: Buffer, at: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(buffer, at, -1);
  const start = writeVarint(buffer, at, bytes.length);
  buffer.set(bytes, start);
  return start + bytes.length;
}

function headersSize(headers: KafkaHeaders): number {
  let size = varintSize(headers.length);
  for (const [name, value] of headers) {
    const nameBytes = Buffer.byteLength(name);
    size += varintSize(nameBytes) + nameBytes + bytesSize(value);
  }
  return size;
}

function writeHeaders(buffer: Buffer, at: number, headers: KafkaHeaders): number {
  at = writeVarint(buffer, at, headers.length);
  for (const [name, value] of headers) {
    at = writeBytes(buffer, at, Buffer.from(name));
    at = writeBytes(buffer, at, value);
  }
  return at;
}
