/** How codecs report bytes that are no value of their schema. */
import type { ByteReader } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';

/** @throws `data` CORRUPT_VALUE, always */
export function corrupt(what: string, position: number): never {
  throw new MillraceError('data', 'CORRUPT_VALUE', `${what}, at byte ${position}`, {
    details: { position },
  });
}

/** An unsigned varint of up to 2^53-1. @throws `data` CORRUPT_VALUE */
export function readVarint(reader: ByteReader): number {
  const { buffer, end } = reader;
  const start = reader.position;
  let at = start;
  let value = 0;
  let scale = 1;
  for (;;) {
    if (at >= end) corrupt('a length or index is cut off', start);
    const byte = buffer[at++]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
    scale *= 0x80;
    if (scale > 2 ** 49) corrupt('a length or index is too long', start);
  }
  if (value > Number.MAX_SAFE_INTEGER) corrupt('a length or index is too large', start);
  reader.position = at;
  return value;
}
