/** Avro messages: with a schema of their own in the program, or framed with the number of one in a registry. */
import avro from 'avsc';
import { invalid } from '../../src/base/errors.ts';
import type { Decoded } from '../../src/connector/format.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import { checkValue } from '../../src/types/check-value.ts';
import type { Schema } from '../../src/types/schema.ts';
import { FramedSchemas } from './framed-schemas.ts';
import { FRAME_BYTES, framed, type SchemaRegistry } from './schema-registry.ts';

export interface AvroOptions<T> {
  /**
   * An Avro schema, as JSON text or parsed: what is written, and what messages are read as, whatever compatible schema they were written
   * with. Absent: they are read as they were written.
   */
  readonly avro?: string | object;
  /** Messages begin with a schema's number there. Absent: bare Avro of the schema `avro`. */
  readonly registry?: SchemaRegistry;
  /** Under which the schema is registered. Default: the topic's name and `-value`. */
  readonly subject?: string;
  /** Checks what was read. Without it the type is asserted. */
  readonly schema?: Schema<T>;
}

/**
 * Longs are numbers and must be safe integers; bytes are buffers; a union of null and one type is the value or null. @public
 * @throws `invalid` BAD_AVRO_SCHEMA
 */
export function avroMessages<T>(options: AvroOptions<T>): MessageFormat<T> {
  const { registry, schema, subject } = options;
  const own = options.avro === undefined ? undefined : parseOwn(options.avro);
  const check = (value: unknown): Decoded<T> =>
    schema === undefined ? { ok: true, value: value as T } : checkValue(schema, value); // the user asserts the type
  if (registry === undefined) {
    if (own === undefined)
      throw invalid('BAD_AVRO_SCHEMA', 'Avro without a registry needs a schema: avro');
    const read = readerOf(own, undefined, 0, check);
    return { ...schemaOf(schema), decode: read, encode: (value) => encode(own, value) };
  }
  const schemas = new FramedSchemas<T>({
    ...{ registry, subject, type: 'AVRO' },
    schema: own === undefined ? undefined : JSON.stringify(own.schema({ exportAttrs: true })),
    readerOf: (text) => {
      const writer = parse(JSON.parse(text));
      return readerOf(own ?? writer, own === undefined ? undefined : writer, FRAME_BYTES, check);
    },
  });
  return {
    ...schemaOf(schema),
    open: (topic, role) => schemas.open(topic, role),
    decode: (message) => schemas.decode(message),
    encode: (value) => framed(schemas.writeId, encode(own!, value)), // open has refused to write without one
  };
}

const schemaOf = <T>(schema: Schema<T> | undefined): { readonly schema?: Schema<T> } =>
  schema === undefined ? {} : { schema };

const parse = (schema: unknown): avro.Type =>
  avro.Type.forSchema(schema as avro.Schema, { wrapUnions: 'auto', omitRecordMethods: true }); // avsc checks it

function parseOwn(schema: string | object): avro.Type {
  try {
    return parse(typeof schema === 'string' ? JSON.parse(schema) : schema);
  } catch (error) {
    throw invalid('BAD_AVRO_SCHEMA', `the Avro schema cannot be used: ${String(error)}`);
  }
}

function readerOf<T>(
  type: avro.Type,
  writer: avro.Type | undefined,
  from: number,
  check: (value: unknown) => Decoded<T>,
): (message: Uint8Array) => Decoded<T> {
  const resolver = writer === undefined ? undefined : type.createResolver(writer);
  return (message) => {
    const payload = Buffer.from(
      message.buffer,
      message.byteOffset + from,
      message.byteLength - from,
    );
    let value: unknown;
    try {
      value = type.fromBuffer(payload, resolver);
    } catch (error) {
      return { ok: false, reason: `not Avro of its schema: ${(error as Error).message}` }; // avsc throws Errors
    }
    return check(value);
  };
}

function encode(type: avro.Type, value: unknown): Uint8Array {
  try {
    return type.toBuffer(value);
  } catch (error) {
    throw invalid(
      'VALUE_NOT_AVRO',
      `a record is not of the Avro schema: ${(error as Error).message}`,
    ); // avsc throws Errors
  }
}
