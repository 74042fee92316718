/**
 * Reading data of one schema as another: by field name, as Avro does.
 *
 * Allowed: a field added (with a default, or optional), removed, reordered, renamed through an alias; int8 -> int16 -> int32 -> int64 ->
 * bigint or double; float -> double; timestamp <-> int64, timestamp -> double; decimal with no fewer digits before and after the
 * point; T -> optional T; enum symbols and union variants added or reordered. Refused, with the path and the reason: everything else.
 *
 * Stored bytes are decoded with the writer's codec and converted; parts that are the same on both sides are not touched.
 */
import type { ByteReader } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import { objectMaker, rowCodec } from './row-codec.ts';
import { describeSchema, schemaToJson } from './schema-json.ts';
import type { Field, Schema } from './schema.ts';

export type Compatibility =
  | { readonly outcome: 'as-is' }
  | { readonly outcome: 'after-migration' }
  | { readonly outcome: 'incompatible'; readonly reasons: readonly string[] };

const WIDER: Readonly<Record<string, readonly string[]>> = {
  int8: ['int16', 'int32', 'int64', 'bigint', 'double'],
  int16: ['int32', 'int64', 'bigint', 'double'],
  int32: ['int64', 'bigint', 'double'],
  int64: ['bigint', 'double', 'timestamp'],
  timestamp: ['int64', 'double'],
  float: ['double'],
};

/** Turns a value decoded with the writer's schema into one of the reader's. */
type Convert = (value: never) => unknown;
const SAME: Convert = (value) => value;

type Struct = Schema<unknown> & { kind: 'struct' };

interface Walk {
  readonly reasons: string[];
}

/** A schema without what leaves no trace in bytes. */
const layoutOf = (schema: Schema<unknown>): string =>
  JSON.stringify(schemaToJson(schema), (key, value: unknown) =>
    key === 'aliases' || key === 'default' ? undefined : value,
  );

const sameLayout = (a: Schema<unknown>, b: Schema<unknown>): boolean => layoutOf(a) === layoutOf(b);

function refuse(
  walk: Walk,
  path: string,
  writer: Schema<unknown>,
  reader: Schema<unknown>,
): Convert {
  walk.reasons.push(
    `${path || 'the value'}: stored as ${describeSchema(writer)}, which cannot be read as ${describeSchema(reader)}`,
  );
  return SAME;
}

/** The stored field of that name, or else of its newest alias that is stored. */
function sourceOf(field: Field, stored: readonly Field[]): Field | undefined {
  for (const known of [field.name, ...(field.aliases ?? [])]) {
    const found = stored.find(({ name }) => name === known);
    if (found !== undefined) return found;
  }
  return undefined;
}

interface FieldStep {
  /** The stored name; undefined takes `fallback`. */
  readonly from: string | undefined;
  readonly convert: Convert;
  readonly fallback: unknown;
}

function resolveField(field: Field, stored: readonly Field[], path: string, walk: Walk): FieldStep {
  const at = path === '' ? field.name : `${path}.${field.name}`;
  const source = sourceOf(field, stored);
  if (source !== undefined) {
    const convert = resolve(source.schema, field.schema, at, walk);
    return { from: source.name, convert, fallback: undefined };
  }
  if (!Object.hasOwn(field, 'default') && field.schema.kind !== 'optional')
    walk.reasons.push(`${at}: added without a default; give it one or make it optional`);
  return { from: undefined, convert: SAME, fallback: field.default };
}

function resolveStruct(
  writer: Struct,
  reader: Struct,
  { path, walk, tag }: { path: string; walk: Walk; tag?: readonly [string, string] },
): Convert {
  const steps = reader.fields.map((field) => resolveField(field, writer.fields, path, walk));
  const names = reader.fields.map(({ name }) => name);
  const make = objectMaker(tag === undefined ? names : [tag[0], ...names]);
  return (value: Readonly<Record<string, unknown>>) => {
    const values: unknown[] = tag === undefined ? [] : [tag[1]];
    for (const { from, convert, fallback } of steps)
      values.push(from === undefined ? fallback : convert(value[from] as never)); // each convert fits its stored field
    return make(values);
  };
}

function resolve(
  writer: Schema<unknown>,
  reader: Schema<unknown>,
  path: string,
  walk: Walk,
): Convert {
  if (sameLayout(writer, reader)) return SAME;
  if (reader.kind === 'optional') {
    if (writer.kind !== 'optional') return resolve(writer, reader.inner, path, walk);
    const inner = resolve(writer.inner, reader.inner, path, walk);
    return (value) => (value === undefined ? undefined : inner(value));
  }
  if (writer.kind !== reader.kind) {
    if (WIDER[writer.kind]?.includes(reader.kind) !== true)
      return refuse(walk, path, writer, reader);
    return reader.kind === 'bigint' ? (value: number) => BigInt(value) : SAME;
  }
  switch (reader.kind) {
    case 'struct':
      return resolveStruct(writer as typeof reader, reader, { path, walk }); // same kind, checked above
    case 'array': {
      const inner = resolve((writer as typeof reader).element, reader.element, `${path}[]`, walk);
      return (value: readonly never[]) => value.map(inner);
    }
    case 'map': {
      const stored = writer as typeof reader; // same kind, checked above
      const key = resolve(stored.key, reader.key, `${path}{key}`, walk);
      const inner = resolve(stored.value, reader.value, `${path}{}`, walk);
      return (value: ReadonlyMap<never, never>) =>
        new Map([...value].map(([k, v]) => [key(k), inner(v)]));
    }
    case 'enum': {
      const gone = (writer as typeof reader).symbols.filter(
        (symbol) => !reader.symbols.includes(symbol),
      );
      if (gone.length > 0)
        walk.reasons.push(`${path || 'the value'}: enum symbol ${gone.join(', ')} was removed`);
      return SAME;
    }
    case 'tuple': {
      const stored = (writer as typeof reader).elements;
      if (stored.length !== reader.elements.length) return refuse(walk, path, writer, reader);
      const inner = reader.elements.map((element, i) =>
        resolve(stored[i]!, element, `${path}[${i}]`, walk),
      );
      return (value: readonly never[]) => value.map((element, i) => inner[i]!(element));
    }
    case 'decimal': {
      const stored = writer as typeof reader; // same kind, checked above
      const fits =
        stored.scale <= reader.scale &&
        stored.precision - stored.scale <= reader.precision - reader.scale;
      return fits ? SAME : refuse(walk, path, writer, reader);
    }
    case 'union':
      return resolveUnion(writer as typeof reader, reader, path, walk);
    default:
      return refuse(walk, path, writer, reader);
  }
}

function resolveUnion(
  writer: Schema<unknown> & { kind: 'union' },
  reader: Schema<unknown> & { kind: 'union' },
  path: string,
  walk: Walk,
): Convert {
  if (writer.tag !== reader.tag) return refuse(walk, path, writer, reader);
  const converts = new Map<string, Convert>();
  for (const [name, variant] of Object.entries(writer.variants)) {
    if (!Object.hasOwn(reader.variants, name)) {
      walk.reasons.push(`${path || 'the value'}: union variant ${name} was removed`);
      continue;
    }
    const target = reader.variants[name] as Struct; // variants are structs
    const at = `${path}<${name}>`;
    converts.set(
      name,
      resolveStruct(variant as Struct, target, { path: at, walk, tag: [reader.tag, name] }), // variants are structs
    );
  }
  return (value: Readonly<Record<string, string>>) =>
    converts.get(value[reader.tag]!)!(value as never); // every variant that was stored has a convert
}

/** Whether data written with `writer` can be read as `reader`, and if not, why. */
export function checkCompatibility(
  writer: Schema<unknown>,
  reader: Schema<unknown>,
): Compatibility {
  if (sameLayout(writer, reader)) return { outcome: 'as-is' };
  const walk: Walk = { reasons: [] };
  resolve(writer, reader, '', walk);
  return walk.reasons.length === 0
    ? { outcome: 'after-migration' }
    : { outcome: 'incompatible', reasons: walk.reasons };
}

/**
 * Reads bytes written with `writer` as values of `reader`.
 * @throws `data` SCHEMA_INCOMPATIBLE with every reason.
 */
export function resolvingDecoder<T>(
  writer: Schema<unknown>,
  reader: Schema<T>,
): Codec<T>['decode'] {
  if (sameLayout(writer, reader)) return rowCodec(reader).decode;
  const walk: Walk = { reasons: [] };
  const convert = resolve(writer, reader, '', walk);
  if (walk.reasons.length > 0) {
    throw new MillraceError('data', 'SCHEMA_INCOMPATIBLE', walk.reasons.join('; '), {
      details: { reasons: walk.reasons },
    });
  }
  const stored = rowCodec(writer);
  return (bytes: ByteReader) => convert(stored.decode(bytes) as never) as T; // resolve built convert from writer to reader
}
