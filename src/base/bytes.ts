/**
 * Growable byte writer and bounds-checked byte reader: the ground all codecs and formats stand on.
 *
 * Little-endian fixed-width numbers; unsigned varints (LEB128) up to 2^53-1. Generated codecs touch `buffer`, `data` and
 * `position` directly after `ensure`; everybody else uses the methods. `data` is the same bytes as a DataView, whose doubles
 * cost 1 ns against 2 to 6 ns through Buffer.
 */
import { internal, MillraceError } from './errors.ts';

const GROWTH = 2;

/**
 * A copy of bytes `start` to `end`, a plain Uint8Array of its own memory. Not `slice`: on a Buffer, which any Uint8Array may be, that
 * is a view.
 */
export function copyOf(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(end - start);
  copy.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  return copy;
}

const viewOf = (buffer: Buffer): DataView =>
  new DataView(buffer.buffer, buffer.byteOffset, buffer.length);

export class ByteWriter {
  /** Replaced together with `data` when the writer grows. */
  buffer: Buffer;
  data: DataView;
  position = 0;

  constructor(initialCapacity = 256) {
    this.buffer = Buffer.allocUnsafeSlow(initialCapacity);
    this.data = viewOf(this.buffer);
  }

  /** Room for `bytes` more at `position`. */
  ensure(bytes: number): void {
    const needed = this.position + bytes;
    if (needed > this.buffer.length) this.#grow(needed);
  }

  #grow(needed: number): void {
    const next = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * GROWTH));
    this.buffer.copy(next, 0, 0, this.position);
    this.buffer = next;
    this.data = viewOf(next);
  }

  u8(value: number): void {
    this.ensure(1);
    this.buffer[this.position++] = value;
  }

  u16(value: number): void {
    this.ensure(2);
    this.buffer[this.position++] = value;
    this.buffer[this.position++] = value >>> 8;
  }

  u32(value: number): void {
    this.ensure(4);
    this.position = this.buffer.writeUInt32LE(value >>> 0, this.position);
  }

  f64(value: number): void {
    this.ensure(8);
    this.position = this.buffer.writeDoubleLE(value, this.position);
  }

  i64(value: bigint): void {
    this.ensure(8);
    this.position = this.buffer.writeBigInt64LE(value, this.position);
  }

  /** Unsigned LEB128 of a non-negative safe integer. */
  varint(value: number): void {
    this.ensure(8);
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[this.position++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.buffer[this.position++] = rest;
  }

  /** Byte length as varint, then UTF-8. */
  string(value: string): void {
    const bytes = Buffer.byteLength(value);
    this.varint(bytes);
    this.ensure(bytes);
    this.position += this.buffer.write(value, this.position, bytes, 'utf8');
  }

  /** Length as varint, then the bytes. */
  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.ensure(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
  }

  /** What was written, as a view that the next write may overwrite or leave behind. */
  view(): Buffer {
    return this.buffer.subarray(0, this.position);
  }

  /** What was written, as a buffer of its own that can be transferred; the writer starts anew. */
  take(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.position);
    out.set(this.buffer.subarray(0, this.position));
    this.position = 0;
    return out;
  }

  reset(): void {
    this.position = 0;
  }
}

export class ByteReader {
  readonly buffer: Buffer;
  position: number;
  readonly end: number;
  #data: DataView | undefined;

  /** @throws `internal` BAD_BYTE_RANGE unless 0 <= position <= end <= bytes.length */
  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    if (!(position >= 0 && position <= end && end <= bytes.length))
      throw internal(
        'BAD_BYTE_RANGE',
        `bytes ${position} to ${end} of ${bytes.length} cannot be read`,
      );
    this.buffer = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = position;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.position;
  }

  /** `buffer` as a DataView, made on first use: reading one value may not need it. */
  get data(): DataView {
    return (this.#data ??= viewOf(this.buffer));
  }

  /** @throws `data` TRUNCATED_BYTES when fewer than `bytes` are left. */
  require(bytes: number): void {
    if (this.position + bytes > this.end) {
      throw new MillraceError(
        'data',
        'TRUNCATED_BYTES',
        `expected ${bytes} more bytes at ${this.position}, ${this.remaining} are left`,
        {
          details: { position: this.position, expected: bytes, remaining: this.remaining },
        },
      );
    }
  }

  u8(): number {
    this.require(1);
    return this.buffer[this.position++]!;
  }

  u16(): number {
    this.require(2);
    const value = this.buffer.readUInt16LE(this.position);
    this.position += 2;
    return value;
  }

  u32(): number {
    this.require(4);
    const value = this.buffer.readUInt32LE(this.position);
    this.position += 4;
    return value;
  }

  f64(): number {
    this.require(8);
    const value = this.buffer.readDoubleLE(this.position);
    this.position += 8;
    return value;
  }

  i64(): bigint {
    this.require(8);
    const value = this.buffer.readBigInt64LE(this.position);
    this.position += 8;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
      if (scale > 2 ** 49)
        throw new MillraceError(
          'data',
          'VARINT_TOO_LONG',
          `varint at ${this.position} exceeds 2^53`,
        );
    }
    if (value > Number.MAX_SAFE_INTEGER) {
      throw new MillraceError(
        'data',
        'VARINT_TOO_LONG',
        `varint before ${this.position} exceeds 2^53`,
      );
    }
    return value;
  }

  string(): string {
    const length = this.varint();
    this.require(length);
    const value = this.buffer.toString('utf8', this.position, this.position + length);
    this.position += length;
    return value;
  }

  /** A copy of the bytes, a plain Uint8Array of its own memory. */
  bytes(): Uint8Array<ArrayBuffer> {
    const length = this.varint();
    this.require(length);
    const value = new Uint8Array(length);
    value.set(this.buffer.subarray(this.position, this.position + length));
    this.position += length;
    return value;
  }
}
