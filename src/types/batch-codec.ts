/**
 * A batch of records as bytes: what a data frame between threads or processes carries.
 *
 * Layout, version 1: varint count | u8 hasTimestamps | count doubles if so | rows in order.
 *
 * Timestamps are raw doubles: writing one costs 1 ns, deltas as varints several.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from './record-batch.ts';
import { rowCodec, type RowCodec } from './row-codec.ts';
import { corrupt, readVarint } from './row-corruption.ts';
import type { Schema } from './schema.ts';

export interface BatchCodec<T> {
  /** Appends records `from` to `to - 1`, at least one and at most BATCH_SIZE_MAX. @throws `invalid` VALUE_DOES_NOT_MATCH_SCHEMA */
  encodeInto(
    values: readonly T[],
    timestamps: Float64Array | null,
    from: number,
    to: number,
    writer: ByteWriter,
  ): void;
  /** @throws `data` CORRUPT_VALUE */
  decode(reader: ByteReader): RecordBatch<T>;
}

/** The batch codec of a schema. @public */
export const batchCodec = <T>(schema: Schema<T>): BatchCodec<T> => batchCodecOf(rowCodec(schema));

const batchCodecOf = <T>(rows: Codec<T>): BatchCodec<T> => ({
  encodeInto(values, timestamps, from, to, writer) {
    assert(to > from && to - from <= BATCH_SIZE_MAX, `a batch of ${to - from} records`);
    writer.varint(to - from);
    writeTimestamps(timestamps, from, to, writer);
    if (hasRows(rows)) rows.encodeRows(values, from, to, writer);
    else for (let i = from; i < to; i++) rows.encode(values[i]!, writer);
  },
  decode: (reader) => decodeBatch(rows, reader),
});

/** Codecs of `rowCodec` bring a loop of their own; others, such as those of tests, are called per record. */
const hasRows = <T>(codec: Codec<T>): codec is RowCodec<T> => 'encodeRows' in codec;

function writeTimestamps(
  timestamps: Float64Array | null,
  from: number,
  to: number,
  writer: ByteWriter,
): void {
  writer.u8(timestamps === null ? 0 : 1);
  if (timestamps === null) return;
  writer.ensure((to - from) * 8);
  const { data } = writer;
  let at = writer.position;
  for (let i = from; i < to; i++, at += 8) data.setFloat64(at, timestamps[i]!, true);
  writer.position = at;
}

/** @hot bench/exchange.ts. @throws `data` CORRUPT_VALUE */
export function decodeBatch<T>(codec: Codec<T>, reader: ByteReader): RecordBatch<T> {
  const count = readVarint(reader);
  if (count > BATCH_SIZE_MAX || count === 0)
    corrupt(`a batch of ${count} records; 1 to ${BATCH_SIZE_MAX} are allowed`, reader.position);
  const timestamps = readTimestamps(count, reader);
  if (hasRows(codec)) return { values: codec.decodeRows(count, reader), timestamps };
  const values: T[] = [];
  for (let i = 0; i < count; i++) values.push(codec.decode(reader));
  return { values, timestamps };
}

function readTimestamps(count: number, reader: ByteReader): Float64Array | null {
  if (reader.remaining < 1) corrupt('a batch is cut off', reader.position);
  const flag = reader.u8();
  if (flag > 1) corrupt('the mark of timestamps is neither 0 nor 1', reader.position - 1);
  if (flag === 0) return null;
  if (reader.remaining < count * 8) corrupt('timestamps are cut off', reader.position);
  const timestamps = new Float64Array(count);
  const { data } = reader;
  let at = reader.position;
  for (let i = 0; i < count; i++, at += 8) timestamps[i] = data.getFloat64(at, true);
  reader.position = at;
  return timestamps;
}
