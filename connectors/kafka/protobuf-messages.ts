/**
 * Protobuf messages: bare, or framed with a schema's number and the path of the message type in it, as Confluent's serializers do.
 *
 *     frame (5 bytes)   path: count and indexes as zigzag varints; the path [0] is the single byte 0   message ...
 */
import protobuf from 'protobufjs';
import { invalid } from '../../src/base/errors.ts';
import type { Decoded } from '../../src/connector/format.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import { checkValue } from '../../src/types/check-value.ts';
import type { Schema } from '../../src/types/schema.ts';
import { FramedSchemas } from './framed-schemas.ts';
import { FRAME_BYTES, framed, type SchemaRegistry } from './schema-registry.ts';
import { varintSize, writeVarint } from './varint.ts';

export interface ProtobufOptions<T> {
  /** The text of a `.proto` file without imports. */
  readonly proto: string;
  /** The full name of the message type in it. */
  readonly message: string;
  /** Messages begin with a schema's number there; they are read as `message`, whatever compatible schema they were written with. */
  readonly registry?: SchemaRegistry;
  /** Under which the schema is registered. Default: the topic's name and `-value`. */
  readonly subject?: string;
  /** Checks what was read. Without it the type is asserted. */
  readonly schema?: Schema<T>;
}

/** 64-bit integers come as numbers: one that is no safe integer is malformed where a `schema` checks it, and rounded elsewhere. */
const AS_OBJECT: protobuf.IConversionOptions = {
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  objects: true,
};
const PATH_MAX = 100;

/**
 * Field names as in the `.proto`; enums by name; absent fields have their defaults; 64-bit integers are numbers: with `schema` one that is no
 * safe integer is malformed, without it is rounded. @public
 * @throws `invalid` BAD_PROTOBUF_SCHEMA
 */
export function protobufMessages<T>(options: ProtobufOptions<T>): MessageFormat<T> {
  const { registry, proto, subject, schema } = options;
  const type = parse(options);
  const read = (message: Uint8Array, from: number): Decoded<T> => {
    let value: unknown;
    try {
      value = type.toObject(type.decode(message.subarray(from)), AS_OBJECT);
    } catch (error) {
      return { ok: false, reason: `not a ${options.message}: ${(error as Error).message}` }; // protobufjs throws Errors
    }
    return schema === undefined ? { ok: true, value: value as T } : checkValue(schema, value); // the user asserts the type
  };
  const described = schema === undefined ? {} : { schema };
  if (registry === undefined)
    return {
      ...described,
      decode: (message) => read(message, 0),
      encode: (value) => encode(type, value),
    };
  const path = pathOf(type);
  const schemas = new FramedSchemas<T>({
    ...{ registry, subject, type: 'PROTOBUF', schema: proto },
    readerOf: () => (message) => {
      const from = afterPath(message);
      return from < 0 ? { ok: false, reason: 'its message path is broken' } : read(message, from);
    },
  });
  return {
    ...described,
    open: (topic, role) => schemas.open(topic, role),
    decode: (message) => schemas.decode(message),
    encode: (value) => framed(schemas.writeId, encode(type, value), path),
  };
}

function parse<T>({ proto, message }: ProtobufOptions<T>): protobuf.Type {
  try {
    const { root, imports = [] } = protobuf.parse(proto, { keepCase: true });
    if (imports.length > 0) throw new SyntaxError(`it imports ${imports.join(', ')}`);
    root.resolveAll();
    return root.lookupType(message);
  } catch (error) {
    throw invalid(
      'BAD_PROTOBUF_SCHEMA',
      `the Protobuf schema cannot be used: ${(error as Error).message}`, // protobufjs throws Errors
    );
  }
}

function encode(type: protobuf.Type, value: unknown): Uint8Array {
  const plain = value as Record<string, unknown>; // fromObject and verify look at it
  try {
    return type.encode(type.fromObject(plain)).finish();
  } catch (error) {
    throw invalid(
      'VALUE_NOT_PROTOBUF',
      `a record is not a ${type.fullName}: ${(error as Error).message}`, // protobufjs throws Errors
    );
  }
}

/** Where a type stands among the messages of its file, outermost first. */
function pathOf(type: protobuf.Type): Uint8Array {
  const indexes: number[] = [];
  let inner: protobuf.ReflectionObject = type;
  while (inner instanceof protobuf.Type && inner.parent !== null) {
    const among = inner.parent.nestedArray.filter((other) => other instanceof protobuf.Type);
    indexes.unshift(among.indexOf(inner));
    inner = inner.parent;
  }
  if (indexes.length === 1 && indexes[0] === 0) return Uint8Array.of(0);
  const numbers = [indexes.length, ...indexes];
  const bytes = Buffer.alloc(numbers.reduce((sum, number) => sum + varintSize(number), 0));
  let at = 0;
  for (const number of numbers) at = writeVarint(bytes, at, number);
  return bytes;
}

/** Where the message begins behind its path; -1: the path is broken. */
function afterPath(message: Uint8Array): number {
  let at = FRAME_BYTES;
  const next = (): number => {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) return -1;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -1;
    }
    return -1;
  };
  const count = next();
  if (count < 0 || count > PATH_MAX) return -1;
  for (let i = 0; i < count; i++) if (next() < 0) return -1;
  return at;
}
