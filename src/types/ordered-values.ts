/**
 * Values whose bytes compare (memcmp) as they do: the parts of ordered keys.
 *
 * Text is UTF-8, which sorts by code point; a lone surrogate is written as the three bytes its code point would take, so that
 * two different keys never share their bytes. 0x00 is written 0x00 0xFF and 0x00 0x00 ends the value, so a prefix sorts first.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { invalid } from '../base/errors.ts';
import { corrupt } from './row-corruption.ts';

/** IEEE double, big-endian: the sign bit flipped if positive, all bits if negative. @throws `invalid` NULL_KEY for NaN */
export function writeOrderedDouble(value: number, writer: ByteWriter): void {
  if (Number.isNaN(value))
    throw invalid('NULL_KEY', 'a key is NaN; keys must be comparable values');
  writer.ensure(8);
  const { data, position } = writer;
  // -0 and 0 are one key.
  data.setFloat64(position, value === 0 ? 0 : value);
  const high = data.getInt32(position);
  data.setInt32(position, high < 0 ? ~high : high ^ SIGN);
  if (high < 0) data.setInt32(position + 4, ~data.getInt32(position + 4));
  writer.position = position + 8;
}

const SIGN = -0x80000000;
const SCRATCH = new DataView(new ArrayBuffer(8));

export function readOrderedDouble(reader: ByteReader): number {
  const { data, position } = reader;
  if (position + 8 > reader.end) corrupt('a number is cut off', position);
  const high = data.getInt32(position);
  const low = data.getInt32(position + 4);
  SCRATCH.setInt32(0, high < 0 ? high ^ SIGN : ~high);
  SCRATCH.setInt32(4, high < 0 ? low : ~low);
  const value = SCRATCH.getFloat64(0);
  if (Number.isNaN(value)) corrupt('a key is not a number', position);
  reader.position = position + 8;
  return value;
}

export function writeOrderedBytes(bytes: Uint8Array, writer: ByteWriter): void {
  writer.ensure(bytes.length * 2 + 2);
  const { buffer } = writer;
  let at = writer.position;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    buffer[at++] = byte;
    if (byte === 0) buffer[at++] = 0xff;
  }
  buffer[at++] = 0;
  buffer[at++] = 0;
  writer.position = at;
}

/** A copy, without the escapes. @throws `data` CORRUPT_VALUE */
export function readOrderedBytes(reader: ByteReader): Uint8Array<ArrayBuffer> {
  const { buffer, end } = reader;
  const start = reader.position;
  let at = start;
  let escapes = 0;
  for (;;) {
    if (at + 1 >= end) corrupt('ordered bytes have no end', start);
    if (buffer[at++] !== 0) continue;
    const mark = buffer[at++]!;
    if (mark === 0) break;
    if (mark !== 0xff) corrupt('ordered bytes hold an unknown escape', at);
    escapes++;
  }
  reader.position = at;
  const out = new Uint8Array(at - 2 - start - escapes);
  for (let i = 0, from = start; i < out.length; i++) {
    const byte = buffer[from++]!;
    out[i] = byte;
    if (byte === 0) from++;
  }
  return out;
}

/** @hot bench/types.ts */
export function writeOrderedText(value: string, writer: ByteWriter): void {
  const { length } = value;
  writer.ensure(length + 2);
  const { buffer } = writer;
  const start = writer.position;
  for (let i = 0; i < length; i++) {
    const unit = value.charCodeAt(i);
    if (unit === 0 || unit > 0x7f)
      return writeOrderedBytes(
        value.isWellFormed() ? Buffer.from(value) : generalUtf8(value),
        writer,
      );
    buffer[start + i] = unit;
  }
  buffer[start + length] = 0;
  buffer[start + length + 1] = 0;
  writer.position = start + length + 2;
}

export function readOrderedText(reader: ByteReader): string {
  const { buffer } = reader;
  const start = reader.position;
  const last = buffer.indexOf(0, start);
  // Most text holds no zero: the first one ends it.
  if (last >= 0 && last + 1 < reader.end && buffer[last + 1] === 0) {
    reader.position = last + 2;
    return textOf(buffer.subarray(start, last));
  }
  return textOf(Buffer.from(readOrderedBytes(reader).buffer));
}

const SURROGATE_LEAD = 0xed;
const isSurrogate = (bytes: Uint8Array, at: number): boolean =>
  bytes[at] === SURROGATE_LEAD && bytes[at + 1]! >= 0xa0;

function generalUtf8(value: string): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const character of value) {
    const point = character.codePointAt(0)!;
    const lone = point >= 0xd800 && point <= 0xdfff;
    parts.push(
      lone
        ? Uint8Array.of(SURROGATE_LEAD, 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f))
        : Buffer.from(character),
    );
  }
  return Buffer.concat(parts);
}

function textOf(bytes: Buffer): string {
  let text = '';
  let start = 0;
  for (
    let at = bytes.indexOf(SURROGATE_LEAD);
    at >= 0;
    at = bytes.indexOf(SURROGATE_LEAD, at + 1)
  ) {
    if (!isSurrogate(bytes, at)) continue;
    const unit = 0xd000 | ((bytes[at + 1]! & 0x3f) << 6) | (bytes[at + 2]! & 0x3f);
    text += bytes.toString('utf8', start, at) + String.fromCharCode(unit);
    start = at + 3;
  }
  return start === 0 ? bytes.toString('utf8') : text + bytes.toString('utf8', start);
}
