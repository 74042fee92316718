/**
 * Records that waited for state when a barrier came, as bytes: input of the operator, to be processed first after a restore.
 *
 * Layout, version 1: u8 version | items. An item is u8 kind and
 *   0  a watermark that had not taken effect yet: f64
 *   1  records: u8 input | a batch (`types/batch-codec.ts`) | u16 key group of each record
 *
 * Items are in order: records of one key as they came, a watermark between those before and those after it.
 */
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import type { BatchCodec } from '../types/batch-codec.ts';
import type { KeyGroupRange } from '../types/key-group.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import type { InputNumber } from './waiting-keys.ts';

const VERSION = 1;
const WATERMARK = 0;
const RECORDS = 1;

export type SavedItem =
  | { readonly kind: 'watermark'; readonly watermark: number }
  | {
      readonly kind: 'batch';
      readonly input: InputNumber;
      readonly batch: RecordBatch<unknown>;
      readonly keyGroups: readonly number[];
    };

export type InputCodecs = (input: InputNumber) => BatchCodec<unknown>;

/** @throws `invalid` VALUE_DOES_NOT_MATCH_SCHEMA */
export function encodeWaiting(items: readonly SavedItem[], codecOf: InputCodecs): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.u8(VERSION);
  for (const item of items) {
    if (item.kind === 'watermark') {
      writer.u8(WATERMARK);
      writer.f64(item.watermark);
      continue;
    }
    const { values, timestamps } = item.batch;
    writer.u8(RECORDS);
    writer.u8(item.input);
    codecOf(item.input).encodeInto(values, timestamps, 0, values.length, writer);
    for (const keyGroup of item.keyGroups) writer.u16(keyGroup);
  }
  return writer.take();
}

/** What of it falls into `range`. @throws `data` WAITING_RECORDS_CORRUPT */
export function decodeWaiting(
  bytes: Uint8Array,
  codecOf: InputCodecs,
  range: KeyGroupRange,
): readonly SavedItem[] {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== VERSION)
    throw corrupt(`waiting records of version ${version}; this program reads ${VERSION}`);
  const items: SavedItem[] = [];
  while (reader.remaining > 0) {
    const kind = reader.u8();
    if (kind === WATERMARK) items.push({ kind: 'watermark', watermark: reader.f64() });
    else if (kind === RECORDS) {
      const records = readRecords(reader, codecOf, range);
      if (records !== undefined) items.push(records);
    } else throw corrupt(`waiting records hold an item of kind ${kind}`);
  }
  return items;
}

function readRecords(
  reader: ByteReader,
  codecOf: InputCodecs,
  { start, end }: KeyGroupRange,
): SavedItem | undefined {
  const input = reader.u8();
  if (input !== 1 && input !== 2) throw corrupt(`waiting records of an input ${input}`);
  const { values, timestamps } = codecOf(input).decode(reader);
  const own: number[] = [];
  const keyGroups: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const keyGroup = reader.u16();
    if (keyGroup < start || keyGroup > end) continue;
    own.push(i);
    keyGroups.push(keyGroup);
  }
  if (own.length === 0) return undefined;
  const batch = {
    values: own.map((i) => values[i]),
    timestamps: timestamps === null ? null : Float64Array.from(own, (i) => timestamps[i]!),
  };
  return { kind: 'batch', input, batch, keyGroups };
}

const corrupt = (message: string): MillraceError =>
  new MillraceError('data', 'WAITING_RECORDS_CORRUPT', message);
