/**
 * In-flight data as bytes: what stood in channels when a barrier overtook it. After a restore it is processed before any other input.
 *
 * Layout, version 1: u8 version | channels. A channel is
 *   string edge | varint source subtask | u32 schema | f64 watermark | u8 idle | varint length | items
 * where `schema` is the CRC-32 of the edge's schema as JSON, and watermark and idle are what the channel had told before its items.
 * An item is u8 kind and
 *   0  a watermark: f64
 *   1  a status: u8 idle
 *   2  records: a batch (`types/batch-codec.ts`)
 *
 * Items are in the order in which they were sent.
 */
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import type { BatchCodec } from '../types/batch-codec.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';
import { schemaToJson } from '../types/schema-json.ts';

const VERSION = 1;
const WATERMARK = 0;
const STATUS = 1;
const RECORDS = 2;

/** What a channel tells about event time. */
export interface ChannelTime {
  readonly watermark: number;
  readonly idle: boolean;
}

/** One channel's part. */
export interface SavedChannel {
  readonly edgeId: string;
  /** The subtask that sent it. */
  readonly source: number;
  readonly time: ChannelTime;
  /** See `schemaMark`. */
  readonly schema: number;
  readonly items: Uint8Array;
}

export type InFlightItem =
  | { readonly kind: 'batch'; readonly batch: RecordBatch<unknown> }
  | { readonly kind: 'watermark'; readonly watermark: number }
  | { readonly kind: 'status'; readonly idle: boolean };

/** What tells schemas apart: in-flight records are read with the schema that they were written with. */
export const schemaMark = (schema: Schema<unknown>): number =>
  crc32(JSON.stringify(schemaToJson(schema)));

/** Appends an item. @throws `invalid` VALUE_DOES_NOT_MATCH_SCHEMA */
export function writeItem(
  item: InFlightItem,
  codec: BatchCodec<unknown>,
  writer: ByteWriter,
  from = 0,
): void {
  if (item.kind === 'watermark') {
    writer.u8(WATERMARK);
    writer.f64(item.watermark);
  } else if (item.kind === 'status') {
    writer.u8(STATUS);
    writer.u8(item.idle ? 1 : 0);
  } else {
    const { values, timestamps } = item.batch;
    for (let at = from; at < values.length; at += BATCH_SIZE_MAX) {
      writer.u8(RECORDS);
      const to = Math.min(values.length, at + BATCH_SIZE_MAX);
      codec.encodeInto(values, timestamps, at, to, writer);
    }
  }
}

/** Appends records that are a batch's bytes already. */
export function writeEncodedBatch(bytes: Uint8Array, writer: ByteWriter): void {
  writer.u8(RECORDS);
  writer.raw(bytes);
}

/** The next item; there is one. @throws `data` CHANNEL_STATE_CORRUPT or CORRUPT_VALUE */
export function readItem(reader: ByteReader, codec: BatchCodec<unknown>): InFlightItem {
  const kind = reader.u8();
  switch (kind) {
    case WATERMARK:
      return { kind: 'watermark', watermark: reader.f64() };
    case STATUS:
      return { kind: 'status', idle: reader.u8() === 1 };
    case RECORDS:
      return { kind: 'batch', batch: codec.decode(reader) };
    default:
      throw corrupt(`an item of kind ${kind}`);
  }
}

export function encodeChannels(channels: readonly SavedChannel[]): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.u8(VERSION);
  for (const { edgeId, source, schema, time, items } of channels) {
    writer.string(edgeId);
    writer.varint(source);
    writer.u32(schema);
    writer.f64(time.watermark);
    writer.u8(time.idle ? 1 : 0);
    writer.bytes(items);
  }
  return writer.take();
}

/** @throws `data` CHANNEL_STATE_CORRUPT */
export function decodeChannels(bytes: Uint8Array): readonly SavedChannel[] {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== VERSION) throw corrupt(`version ${version}; this program reads ${VERSION}`);
  const channels: SavedChannel[] = [];
  while (reader.remaining > 0) {
    channels.push({
      edgeId: reader.string(),
      source: reader.varint(),
      schema: reader.u32(),
      time: { watermark: reader.f64(), idle: reader.u8() === 1 },
      items: reader.bytes(),
    });
  }
  return channels;
}

const corrupt = (what: string): MillraceError =>
  new MillraceError('data', 'CHANNEL_STATE_CORRUPT', `in-flight data holds ${what}`);
