/**
 * Order-preserving keys: bytes that compare (memcmp) as their values do. Used for state keys, timers and namespaces.
 *
 * Layout, version 1 (docs/reference/key-format.md), big-endian:
 *   boolean 0 | 1          int8..int32 sign bit flipped       bigint 8 bytes, sign bit flipped
 *   int64, timestamp, double, float: IEEE double, sign bit flipped if positive, all bits if negative
 *   string: UTF-8 with 0x00 written 0x00 0xFF, ended by 0x00 0x00; bytes likewise (ordered-values.ts)
 *   decimal: the unscaled integer in 16 bytes, sign bit flipped
 *   enum: u16 index | tuple, struct: elements in order | optional: 0, or 1 and the value
 *   key: a type byte (1 boolean, 2 number, 3 bigint, 4 string, 5 array: elements each after 1, ended by 0), then as above
 */
import { type ByteReader, ByteWriter } from '../base/bytes.ts';
import { invalid, type MillraceError } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import { decimalPattern, fromUnscaled, toUnscaled } from './decimal.ts';
import {
  readOrderedBytes,
  readOrderedDouble,
  readOrderedText,
  writeOrderedBytes,
  writeOrderedDouble,
  writeOrderedText,
} from './ordered-values.ts';
import { corrupt } from './row-corruption.ts';
import { describeSchema } from './schema-json.ts';
import { INTEGER_KINDS } from './schema-kinds.ts';
import { checkSchemaLimits, childrenOf } from './schema-limits.ts';
import type { Schema } from './schema.ts';

const codecs = new WeakMap<object, Codec<unknown>>();

/** The ordered codec of a key schema. @throws `invalid` NOT_A_KEY_SCHEMA for maps, arrays, generic values and unions. */
export function keyCodec<T>(schema: Schema<T>): Codec<T> {
  let codec = codecs.get(schema);
  if (codec === undefined) {
    checkSchemaLimits(schema);
    codec = build(schema);
    codecs.set(schema, codec);
  }
  return codec as Codec<T>; // the map holds under each schema its own codec
}

const NEVER_KEYS: ReadonlySet<string> = new Set(['array', 'map', 'union', 'generic']);

/** Whether values of this schema can be keys: whether `keyCodec` takes it. @public */
export const isKeySchema = (schema: Schema<unknown>): boolean =>
  !NEVER_KEYS.has(schema.kind) && childrenOf(schema).every(isKeySchema);

const badKey = (value: unknown, schema: string): MillraceError =>
  invalid(
    'VALUE_DOES_NOT_MATCH_SCHEMA',
    `a key of type ${typeof value} does not match the key schema ${schema}`,
  );

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
      if (reader.remaining < bytes) corrupt('a key is cut off', reader.position);
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

const INT64: Codec<unknown> = {
  encode(value, writer) {
    if (!Number.isSafeInteger(value)) {
      if (Number.isNaN(value))
        throw invalid('NULL_KEY', 'a key is NaN; keys must be comparable values');
      throw badKey(value, 'int64 (a safe integer)');
    }
    writeOrderedDouble(value as number, writer); // a safe integer is a number
  },
  decode(reader) {
    const value = readOrderedDouble(reader);
    return Number.isSafeInteger(value)
      ? value
      : corrupt('a key is no safe integer', reader.position);
  },
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
    if (reader.remaining < 8) corrupt('a key is cut off', reader.position);
    const raw = reader.buffer.readBigUInt64BE(reader.position) ^ BIGINT_FLIP;
    reader.position += 8;
    return BigInt.asIntN(64, raw);
  },
};

const STRING: Codec<unknown> = {
  encode(value, writer) {
    if (typeof value !== 'string') throw badKey(value, 'string');
    writeOrderedText(value, writer);
  },
  decode: readOrderedText,
};

const BYTES: Codec<unknown> = {
  encode(value, writer) {
    if (!(value instanceof Uint8Array)) throw badKey(value, 'bytes');
    writeOrderedBytes(value, writer);
  },
  decode: readOrderedBytes,
};

const BOOLEAN: Codec<unknown> = {
  encode(value, writer) {
    if (typeof value !== 'boolean') throw badKey(value, 'boolean');
    writer.u8(value ? 1 : 0);
  },
  decode: (reader) => readFlag(reader, 'a boolean key'),
};

function readByte(reader: ByteReader): number {
  if (reader.remaining < 1) corrupt('a key is cut off', reader.position);
  return reader.buffer[reader.position++]!;
}

function readFlag(reader: ByteReader, what: string): boolean {
  const flag = readByte(reader);
  if (flag > 1) corrupt(`${what} is neither 0 nor 1`, reader.position - 1);
  return flag === 1;
}

/** The value of the text decides, not its zeros: '1.5' and '1.50' are one key, read back as '1.50' at scale 2. */
function decimal(precision: number, scale: number): Codec<unknown> {
  const pattern = decimalPattern(precision, scale);
  const bound = 10n ** BigInt(precision);
  return {
    encode(value, writer) {
      if (typeof value !== 'string' || !pattern.test(value))
        throw badKey(value, `decimal(${precision}, ${scale})`);
      const unscaled = toUnscaled(value, scale);
      writer.ensure(16);
      const high = BigInt.asUintN(64, unscaled >> 64n) ^ BIGINT_FLIP;
      writer.data.setBigUint64(writer.position, high);
      writer.data.setBigUint64(writer.position + 8, BigInt.asUintN(64, unscaled));
      writer.position += 16;
    },
    decode(reader) {
      if (reader.remaining < 16) corrupt('a decimal key is cut off', reader.position);
      const high = reader.data.getBigUint64(reader.position) ^ BIGINT_FLIP;
      const unscaled =
        (BigInt.asIntN(64, high) << 64n) | reader.data.getBigUint64(reader.position + 8);
      if (unscaled >= bound || unscaled <= -bound)
        corrupt('a decimal key has too many digits', reader.position);
      reader.position += 16;
      return fromUnscaled(unscaled, scale);
    },
  };
}

/** Type bytes of the self-describing key, in the order of the types. */
const SELF_DESCRIBED = [undefined, BOOLEAN, DOUBLE, BIGINT, STRING] as const;
const STRING_TYPE = 4;
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
      ? STRING_TYPE
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

function decodeSelfDescribed(reader: ByteReader, depth: number): unknown {
  const type = readByte(reader);
  if (type === ARRAY_TYPE) {
    if (depth >= KEY_DEPTH_MAX) corrupt('a key is nested too deep', reader.position);
    const elements: unknown[] = [];
    while (readFlag(reader, 'the mark of a key element'))
      elements.push(decodeSelfDescribed(reader, depth + 1));
    return elements;
  }
  const codec = SELF_DESCRIBED[type];
  return codec === undefined
    ? corrupt(`key type ${type} is unknown`, reader.position)
    : codec.decode(reader);
}

/** A key of any type, in bytes that say which. @throws `invalid` NULL_KEY, KEY_TOO_DEEP */
export const writeSelfDescribedKey = (value: unknown, writer: ByteWriter): void =>
  encodeSelfDescribed(value, writer, 0);

/** @throws `data` CORRUPT_VALUE */
export const readSelfDescribedKey = (reader: ByteReader): unknown => decodeSelfDescribed(reader, 0);

const SELF: Codec<unknown> = { encode: writeSelfDescribedKey, decode: readSelfDescribedKey };

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

function enumeration(symbols: readonly string[]): Codec<unknown> {
  return {
    encode(value, writer) {
      const index = typeof value === 'string' ? symbols.indexOf(value) : -1;
      if (index < 0) throw badKey(value, `enum(${symbols.join(' | ')})`);
      writer.ensure(2);
      writer.position = writer.buffer.writeUInt16BE(index, writer.position);
    },
    decode(reader) {
      const index = (readByte(reader) << 8) | readByte(reader);
      return symbols[index] ?? corrupt('an enum index is out of range', reader.position);
    },
  };
}

const optional = (inner: Codec<unknown>): Codec<unknown> => ({
  encode(value, writer) {
    writer.u8(value === undefined ? 0 : 1);
    if (value !== undefined) inner.encode(value, writer);
  },
  decode: (reader) => (readFlag(reader, 'an optional key') ? inner.decode(reader) : undefined),
});

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
      return INT64;
    case 'double':
    case 'float':
      return DOUBLE;
    case 'bigint':
      return BIGINT;
    case 'string':
      return STRING;
    case 'decimal':
      return decimal(schema.precision, schema.scale);
    case 'bytes':
      return BYTES;
    case 'key':
      return SELF;
    case 'enum':
      return enumeration(schema.symbols);
    case 'tuple':
      return sequence(schema.elements.map(keyCodec));
    case 'struct':
      return record(
        schema.fields.map((field) => field.name),
        schema.fields.map((field) => keyCodec(field.schema)),
      );
    case 'optional':
      return optional(keyCodec(schema.inner));
    default:
      throw invalid(
        'NOT_A_KEY_SCHEMA',
        `${describeSchema(schema)} cannot be a key; use primitives, tuples or structs of them`,
      );
  }
}

/** What a JavaScript Map compares by value. */
export type KeyIdentity = string | number | bigint | boolean;

/** Text that could be taken for the encoding of an array or of a text that is itself encoded. */
const looksEncoded = (key: string): boolean => {
  const first = key.charCodeAt(0);
  return first === STRING_TYPE || first === ARRAY_TYPE;
};

/**
 * A value that is the same for equal keys and different for others while the process lives, usable in a JavaScript Map: primitives as they
 * are, pairs of integers and texts as a number or text, other composites as Latin-1 text of their bytes. Keys must match the schema.
 */
export function keyIdentity(schema: Schema<unknown>): (key: unknown) => KeyIdentity {
  switch (schema.kind) {
    case 'tuple':
      return pairIdentity(schema.elements) ?? encodedIdentity(keyCodec(schema));
    case 'bytes':
    case 'decimal':
    case 'struct':
    case 'optional':
      return encodedIdentity(keyCodec(schema));
    case 'key': {
      const encoded = encodedIdentity(SELF);
      return (key) =>
        typeof key === 'object' || (typeof key === 'string' && looksEncoded(key))
          ? encoded(key)
          : (key as KeyIdentity); // a self-describing key is one of these or an array
    }
    default:
      return (key) => key as KeyIdentity; // keys of the other kinds are primitives
  }
}

/** Two integers below this are one integer that a number holds exactly. */
const HALF = 2 ** 26;

const TEXTS_MAX = 2 ** 16;
const TEXT_LENGTH_MAX = 64;
/** Numbers of short texts, in the order in which they came: of the first TEXTS_MAX of the process, and for good. */
const texts = new Map<string, number>();

/** @hot The number of a text, or -1. */
function numberOfText(text: string): number {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= TEXTS_MAX || text.length > TEXT_LENGTH_MAX) return -1;
  texts.set(text, texts.size);
  return texts.size - 1;
}

/** An integer as the part of a number that it can be, or -1. */
const numberOfInteger = (value: number): number => (value >= 0 && value < HALF ? value : -1);

/**
 * Pairs of integers and texts that need no bytes: as one number where both parts are small integers or texts that have a number, else as
 * text with the length of the first part in front. Undefined for other pairs, and for tuples of other lengths.
 */
function pairIdentity(
  elements: readonly Schema<unknown>[],
): ((key: unknown) => KeyIdentity) | undefined {
  const [first, second] = elements;
  if (first === undefined || second === undefined || elements.length > 2) return undefined;
  const partOf = ({ kind }: Schema<unknown>): ((part: never) => number) | undefined => {
    if (kind === 'string') return numberOfText;
    return INTEGER_KINDS.has(kind) ? numberOfInteger : undefined;
  };
  const firstOf = partOf(first) as ((part: unknown) => number) | undefined; // keys match the schema
  const secondOf = partOf(second) as ((part: unknown) => number) | undefined; // as above
  if (firstOf === undefined || secondOf === undefined) return undefined;
  return (key) => {
    const [a, b] = key as readonly [string | number, string | number]; // as above
    const high = firstOf(a);
    const low = secondOf(b);
    if (high >= 0 && low >= 0) return high * HALF + low;
    const text = String(a);
    return `${text.length}:${text}${b}`;
  };
}

function encodedIdentity(codec: Codec<unknown>): (key: unknown) => string {
  const writer = new ByteWriter(64);
  return (key) => {
    writer.reset();
    codec.encode(key, writer);
    return writer.buffer.toString('latin1', 0, writer.position);
  };
}
