/**
 * Text in rows.
 *
 * Layout: varint header, then the text.
 *   header 2*n: n characters, all ASCII, a byte each
 *   header 2*n+1: n bytes of UTF-8; or, when the first of them is 0xFF, which UTF-8 never contains, n-1 bytes of UTF-16 LE: the
 *   way of text with lone surrogates, which UTF-8 cannot carry
 *
 * Cost (guarded by `bench/types.ts`): characters one by one beat a call into the runtime up to WRITE_LOOP_MAX when writing
 * and FEW_CHARACTERS when reading. What is read never shares memory with the bytes or with other text.
 */
import type { ByteReader } from '../base/bytes.ts';
import { corrupt, readVarint } from './row-corruption.ts';

const WRITE_LOOP_MAX = 16;
const UTF16_MARK = 0xff;
/** Most bytes a string of `length` can take: header included. */
export const TEXT_BYTES_PER_UNIT = 3;
export const TEXT_HEADER_BYTES = 6;

function writeHeader(buffer: Buffer, position: number, header: number): number {
  let at = position;
  let rest = header;
  while (rest > 0x7f) {
    buffer[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buffer[at++] = rest;
  return at;
}

/**
 * Writes at `position`, where TEXT_BYTES_PER_UNIT * length + TEXT_HEADER_BYTES bytes are free; the position after it.
 * @hot bench/types.ts
 */
export function writeText(buffer: Buffer, position: number, value: string): number {
  const { length } = value;
  if (length <= WRITE_LOOP_MAX) {
    const start = position + 1;
    buffer[position] = length << 1;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return writeWide(buffer, position, value);
      buffer[start + i] = unit;
    }
    return start + length;
  }
  const start = writeHeader(buffer, position, length * 2);
  // As many bytes as characters: all were ASCII.
  return buffer.write(value, start, 'utf8') === length
    ? start + length
    : writeWide(buffer, position, value);
}

function writeWide(buffer: Buffer, position: number, value: string): number {
  if (!value.isWellFormed()) {
    const bytes = value.length * 2 + 1;
    const start = writeHeader(buffer, position, bytes * 2 + 1);
    buffer[start] = UTF16_MARK;
    buffer.write(value, start + 1, 'utf16le');
    return start + bytes;
  }
  const bytes = Buffer.byteLength(value);
  const start = writeHeader(buffer, position, bytes * 2 + 1);
  buffer.write(value, start, 'utf8');
  return start + bytes;
}

/** Any text at the reader's position. Generated code handles short ASCII itself. */
export function readText(reader: ByteReader): string {
  const header = readVarint(reader);
  const length = Math.floor(header / 2);
  const start = reader.position;
  if (length > reader.end - start) corrupt('a string runs past the end', start);
  const end = start + length;
  reader.position = end;
  const { buffer } = reader;
  if (header % 2 === 0) return buffer.toString('latin1', start, end);
  return buffer[start] === UTF16_MARK && length > 0
    ? buffer.toString('utf16le', start + 1, end)
    : buffer.toString('utf8', start, end);
}
