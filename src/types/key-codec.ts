/**
 * Order-preserving keys: bytes that compare (memcmp) as their values do. Used for state keys, timers and namespaces.
 *
 * Layout, version 1 (docs/reference/key-format.md), big-endian:
 *   boolean 0 | 1          int8..int32 sign bit flipped       bigint 8 bytes, sign bit flipped
 *   int64, timestamp, double, float: IEEE double, sign bit flipped if positive, all bits if negative
 *   string: UTF-8 with 0x00 written 0x00 0xFF, ended by 0x00 0x00; bytes likewise
 *   enum: u16 index | tuple, struct: elements in order | optional: 0, or 1 and the value
 *   key: a type byte (1 boolean, 2 number, 3 bigint, 4 string, 5 array: elements each after 1, ended by 0), then as above
 */
import { type ByteReader, ByteWriter } from '../base/bytes.ts';
import { invalid, MillraceError } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import { describeSchema } from './schema-json.ts';
import type { Schema } from './schema.ts';

const codecs = new WeakMap<object, Codec<unknown>>();

/** The ordered codec of a key schema. @throws `invalid` NOT_A_KEY_SCHEMA for maps, arrays, generic values and unions. */
export function keyCodec<T>(schema: Schema<T>): Codec<T> {
  let codec = codecs.get(schema);
  if (codec === undefined) {
    codec = build(schema);
    codecs.set(schema, codec);
  }
  return codec as Codec<T>; // the map holds under each schema its own codec
}

const badKey = (value: unknown, schema: string): MillraceError =>
  invalid(
    'VALUE_DOES_NOT_MATCH_SCHEMA',
    `a key of type ${typeof value} does not match the key schema ${schema}`,
  );

function writeOrderedDouble(value: number, writer: ByteWriter): void {
  if (Number.isNaN(value))
    throw invalid('NULL_KEY', 'a key is NaN; keys must be comparable values');
  writer.ensure(8);
  const at = writer.position;
  // -0 and 0 are one key.
  writer.buffer.writeDoubleBE(value === 0 ? 0 : value, at);
  const first = writer.buffer[at]!;
  if (first >= 0x80) for (let i = 0; i < 8; i++) writer.buffer[at + i]! ^= 0xff;
  else writer.buffer[at] = first ^ 0x80;
  writer.position = at + 8;
}

const SCRATCH = Buffer.allocUnsafeSlow(8);

function readOrderedDouble(reader: ByteReader): number {
  reader.require(8);
  reader.buffer.copy(SCRATCH, 0, reader.position, reader.position + 8);
  reader.position += 8;
  if (SCRATCH[0]! >= 0x80) SCRATCH[0]! ^= 0x80;
  else for (let i = 0; i < 8; i++) SCRATCH[i]! ^= 0xff;
  return SCRATCH.readDoubleBE(0);
}

function writeEscaped(bytes: Uint8Array, writer: ByteWriter): void {
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

function readEscaped(reader: ByteReader): Buffer {
  const { buffer, end } = reader;
  const out: number[] = [];
  let at = reader.position;
  for (;;) {
    if (at + 1 >= end)
      throw new MillraceError(
        'data',
        'CORRUPT_VALUE',
        `an ordered string at byte ${reader.position} has no end`,
      );
    const byte = buffer[at++]!;
    if (byte === 0) {
      if (buffer[at++] !== 0xff) break;
    }
    out.push(byte);
  }
  reader.position = at;
  return Buffer.from(out);
}

function writeOrderedString(value: string, writer: ByteWriter): void {
  const { length } = value;
  writer.ensure(length + 2);
  const { buffer } = writer;
  const start = writer.position;
  for (let i = 0; i < length; i++) {
    const unit = value.charCodeAt(i);
    if (unit === 0 || unit > 0x7f) return writeEscaped(Buffer.from(value), writer);
    buffer[start + i] = unit;
  }
  buffer[start + length] = 0;
  buffer[start + length + 1] = 0;
  writer.position = start + length + 2;
}

function integer(bits: 8 | 16 | 32, name: string): Codec<unknown> {
  const half = 2 ** (bits - 1);
  const bytes = bits / 8;
  return {
    encode(value, writer) {
      if (typeof value !== 'number' || !Number.isInteger(value) || value < -half || value >= half)
        throw badKey(value, name);
      writer.ensure(bytes);
      const raw = value + half;
      for (let shift = bits - 8; shift >= 0; shift -= 8)
        writer.buffer[writer.position++] = raw >>> shift;
    },
    decode(reader) {
      reader.require(bytes);
      const value = reader.buffer.readUIntBE(reader.position, bytes) - half;
      reader.position += bytes;
      return value;
    },
  };
}

const DOUBLE: Codec<unknown> = {
  encode(value, writer) {
    if (typeof value !== 'number') throw badKey(value, 'number');
    writeOrderedDouble(value, writer);
  },
  decode: readOrderedDouble,
};

const BIGINT_FLIP = 1n << 63n;
const BIGINT: Codec<unknown> = {
  encode(value, writer) {
    if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value)
      throw badKey(value, 'bigint');
    writer.ensure(8);
    writer.position = writer.buffer.writeBigUInt64BE(
      BigInt.asUintN(64, value) ^ BIGINT_FLIP,
      writer.position,
    );
  },
  decode(reader) {
    reader.require(8);
    const raw = reader.buffer.readBigUInt64BE(reader.position) ^ BIGINT_FLIP;
    reader.position += 8;
    return BigInt.asIntN(64, raw);
  },
};

const STRING: Codec<unknown> = {
  encode(value, writer) {
    if (typeof value !== 'string') throw badKey(value, 'string');
    writeOrderedString(value, writer);
  },
  decode: (reader) => readEscaped(reader).toString('utf8'),
};

const BYTES: Codec<unknown> = {
  encode(value, writer) {
    if (!(value instanceof Uint8Array)) throw badKey(value, 'bytes');
    writeEscaped(value, writer);
  },
  decode: (reader) => new Uint8Array(readEscaped(reader)),
};

const BOOLEAN: Codec<unknown> = {
  encode(value, writer) {
    if (typeof value !== 'boolean') throw badKey(value, 'boolean');
    writer.u8(value ? 1 : 0);
  },
  decode: (reader) => reader.u8() === 1,
};

/** Type bytes of the self-describing key, in the order of the types. */
const SELF_DESCRIBED = [undefined, BOOLEAN, DOUBLE, BIGINT, STRING] as const;
const ARRAY_TYPE = 5;
const KEY_DEPTH_MAX = 16;

function encodeSelfDescribed(value: unknown, writer: ByteWriter, depth: number): void {
  if (Array.isArray(value)) {
    if (depth >= KEY_DEPTH_MAX)
      throw invalid('KEY_TOO_DEEP', `a key is nested deeper than ${KEY_DEPTH_MAX} arrays`);
    writer.u8(ARRAY_TYPE);
    for (const element of value) {
      writer.u8(1);
      encodeSelfDescribed(element, writer, depth + 1);
    }
    writer.u8(0);
    return;
  }
  const type =
    typeof value === 'string'
      ? 4
      : typeof value === 'number'
        ? 2
        : typeof value === 'bigint'
          ? 3
          : typeof value === 'boolean'
            ? 1
            : 0;
  if (type === 0)
    throw invalid(
      'NULL_KEY',
      `a key is ${value === null ? 'null' : typeof value}; a key without a schema is a boolean, number, bigint, string or an array of them`,
    );
  writer.u8(type);
  SELF_DESCRIBED[type]!.encode(value, writer);
}

function decodeSelfDescribed(reader: ByteReader): unknown {
  const type = reader.u8();
  if (type === ARRAY_TYPE) {
    const elements: unknown[] = [];
    while (reader.u8() === 1) elements.push(decodeSelfDescribed(reader));
    return elements;
  }
  const codec = SELF_DESCRIBED[type];
  if (codec === undefined)
    throw new MillraceError('data', 'CORRUPT_VALUE', `key type ${type} at byte ${reader.position}`);
  return codec.decode(reader);
}

const SELF: Codec<unknown> = {
  encode: (value, writer) => encodeSelfDescribed(value, writer, 0),
  decode: decodeSelfDescribed,
};

function sequence(elements: readonly Codec<unknown>[]): Codec<unknown> {
  return {
    encode(value, writer) {
      if (!Array.isArray(value) || value.length !== elements.length)
        throw badKey(value, `tuple of ${elements.length}`);
      for (let i = 0; i < elements.length; i++) elements[i]!.encode(value[i], writer);
    },
    decode: (reader) => elements.map((element) => element.decode(reader)),
  };
}

function record(names: readonly string[], codecs: readonly Codec<unknown>[]): Codec<unknown> {
  return {
    encode(value, writer) {
      if (typeof value !== 'object' || value === null) throw badKey(value, 'struct');
      const fields = value as Readonly<Record<string, unknown>>; // checked to be an object above
      for (let i = 0; i < names.length; i++) codecs[i]!.encode(fields[names[i]!], writer);
    },
    decode: (reader) =>
      Object.fromEntries(codecs.map((codec, i) => [names[i]!, codec.decode(reader)])),
  };
}

function build(schema: Schema<unknown>): Codec<unknown> {
  switch (schema.kind) {
    case 'boolean':
      return BOOLEAN;
    case 'int8':
      return integer(8, 'int8');
    case 'int16':
      return integer(16, 'int16');
    case 'int32':
      return integer(32, 'int32');
    case 'int64':
    case 'timestamp':
    case 'double':
    case 'float':
      return DOUBLE;
    case 'bigint':
      return BIGINT;
    case 'string':
    case 'decimal':
      return STRING;
    case 'bytes':
      return BYTES;
    case 'key':
      return SELF;
    case 'enum': {
      const symbols = schema.symbols;
      return {
        encode(value, writer) {
          const index = symbols.indexOf(String(value));
          if (index < 0) throw badKey(value, describeSchema(schema));
          writer.u8(index >> 8);
          writer.u8(index & 0xff);
        },
        decode: (reader) => symbols[(reader.u8() << 8) | reader.u8()],
      };
    }
    case 'tuple':
      return sequence(schema.elements.map(keyCodec));
    case 'struct':
      return record(
        schema.fields.map((field) => field.name),
        schema.fields.map((field) => keyCodec(field.schema)),
      );
    case 'optional': {
      const inner = keyCodec(schema.inner);
      return {
        encode(value, writer) {
          writer.u8(value === undefined ? 0 : 1);
          if (value !== undefined) inner.encode(value, writer);
        },
        decode: (reader) => (reader.u8() === 0 ? undefined : inner.decode(reader)),
      };
    }
    default:
      throw invalid(
        'NOT_A_KEY_SCHEMA',
        `${describeSchema(schema)} cannot be a key; use primitives, tuples or structs of them`,
      );
  }
}

/** A value that is the same for equal keys, usable in a JavaScript Map: primitives as they are, others as text of their bytes. */
export function keyIdentity(schema: Schema<unknown>): (key: unknown) => unknown {
  switch (schema.kind) {
    case 'bytes':
    case 'tuple':
    case 'struct':
    case 'optional':
      return encodedIdentity(keyCodec(schema));
    case 'key': {
      const encoded = encodedIdentity(SELF);
      return (key) => (typeof key === 'object' ? encoded(key) : key);
    }
    default:
      return (key) => key;
  }
}

function encodedIdentity(codec: Codec<unknown>): (key: unknown) => string {
  const writer = new ByteWriter(64);
  return (key) => {
    writer.reset();
    codec.encode(key, writer);
    return writer.view().toString('latin1');
  };
}
