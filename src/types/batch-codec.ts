/**
 * A batch of records as bytes: what a data frame between threads or processes carries.
 *
 * Layout, version 1: varint count | u8 hasTimestamps | count doubles if so | rows in order.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from './record-batch.ts';

/** @hot bench/exchange.ts */
export function encodeBatch<T>(codec: Codec<T>, batch: RecordBatch<T>, writer: ByteWriter): void {
  const { values, timestamps } = batch;
  const count = values.length;
  writer.varint(count);
  writer.u8(timestamps === null ? 0 : 1);
  if (timestamps !== null) {
    writer.ensure(count * 8);
    let at = writer.position;
    for (let i = 0; i < count; i++) at = writer.buffer.writeDoubleLE(timestamps[i]!, at);
    writer.position = at;
  }
  for (let i = 0; i < count; i++) codec.encode(values[i]!, writer);
}

/** @hot bench/exchange.ts. @throws `data` CORRUPT_VALUE */
export function decodeBatch<T>(codec: Codec<T>, reader: ByteReader): RecordBatch<T> {
  const count = reader.varint();
  if (count > BATCH_SIZE_MAX || count === 0) {
    throw new MillraceError(
      'data',
      'CORRUPT_VALUE',
      `a batch of ${count} records; 1 to ${BATCH_SIZE_MAX} are allowed`,
    );
  }
  let timestamps: Float64Array | null = null;
  if (reader.u8() === 1) {
    reader.require(count * 8);
    timestamps = new Float64Array(count);
    for (let i = 0; i < count; i++)
      timestamps[i] = reader.buffer.readDoubleLE(reader.position + i * 8);
    reader.position += count * 8;
  }
  const values: T[] = [];
  for (let i = 0; i < count; i++) values.push(codec.decode(reader));
  return { values, timestamps };
}
