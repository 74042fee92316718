/**
 * Reading data of one schema as another: by field name, as Avro does.
 *
 * Allowed: a field added (with a default, or optional), removed, renamed through an alias; int8 -> int16 -> int32 -> int64 ->
 * double; float -> double; timestamp <-> int64; T -> optional T; enum symbols added; union variants added. Refused, with the
 * path and the reason: everything else.
 */
import type { ByteReader } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import { rowCodec } from './row-codec.ts';
import { describeSchema, schemaToJson } from './schema-json.ts';
import type { Field, Schema } from './schema.ts';

export type Compatibility =
  | { readonly outcome: 'as-is' }
  | { readonly outcome: 'after-migration' }
  | { readonly outcome: 'incompatible'; readonly reasons: readonly string[] };

const WIDER: Readonly<Record<string, readonly string[]>> = {
  int8: ['int16', 'int32', 'int64', 'double'],
  int16: ['int32', 'int64', 'double'],
  int32: ['int64', 'double'],
  int64: ['double', 'timestamp'],
  timestamp: ['int64', 'double'],
  float: ['double'],
};

/** Turns a value decoded with the writer's schema into one of the reader's. */
type Convert = (value: never) => unknown;
const SAME: Convert = (value) => value;

interface Walk {
  readonly reasons: string[];
}

const sameSchema = (a: Schema<unknown>, b: Schema<unknown>): boolean =>
  JSON.stringify(schemaToJson(a)) === JSON.stringify(schemaToJson(b));

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

const sourceOf = (field: Field, stored: readonly Field[]): Field | undefined =>
  stored.find(({ name }) => name === field.name) ??
  stored.find(({ name }) => field.aliases?.includes(name) === true);

function resolveStruct(
  writer: Schema<unknown> & { kind: 'struct' },
  reader: Schema<unknown> & { kind: 'struct' },
  path: string,
  walk: Walk,
): Convert {
  const steps = reader.fields.map((field) => {
    const stored = sourceOf(field, writer.fields);
    const at = path === '' ? field.name : `${path}.${field.name}`;
    if (stored !== undefined)
      return {
        name: field.name,
        from: stored.name,
        convert: resolve(stored.schema, field.schema, at, walk),
        value: undefined,
      };
    const hasDefault = Object.hasOwn(field, 'default');
    if (!hasDefault && field.schema.kind !== 'optional') {
      walk.reasons.push(`${at}: added without a default; give it one or make it optional`);
    }
    return { name: field.name, from: undefined, convert: SAME, value: field.default };
  });
  return (value: Readonly<Record<string, unknown>>) => {
    const out: Record<string, unknown> = {};
    for (const { name, from, convert, value: fallback } of steps) {
      const converted = from === undefined ? fallback : convert(value[from] as never); // each step's convert fits the stored field's type
      if (name === '__proto__')
        Object.defineProperty(out, name, {
          value: converted,
          enumerable: true,
          writable: true,
          configurable: true,
        });
      else out[name] = converted;
    }
    return out;
  };
}

function resolve(
  writer: Schema<unknown>,
  reader: Schema<unknown>,
  path: string,
  walk: Walk,
): Convert {
  if (reader.kind === 'optional') {
    if (writer.kind !== 'optional') return resolve(writer, reader.inner, path, walk);
    const inner = resolve(writer.inner, reader.inner, path, walk);
    return (value) => (value === undefined ? undefined : inner(value));
  }
  if (writer.kind !== reader.kind) {
    return WIDER[writer.kind]?.includes(reader.kind) === true
      ? SAME
      : refuse(walk, path, writer, reader);
  }
  switch (reader.kind) {
    case 'struct':
      return resolveStruct(writer as typeof reader, reader, path, walk); // same kind, checked above
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
    case 'union':
      return resolveUnion(writer as typeof reader, reader, path, walk);
    default:
      return sameSchema(writer, reader) ? SAME : refuse(walk, path, writer, reader);
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
    const target = reader.variants[name];
    if (target === undefined)
      walk.reasons.push(`${path || 'the value'}: union variant ${name} was removed`);
    else converts.set(name, resolve(variant, target, `${path}<${name}>`, walk));
  }
  return (value: Readonly<Record<string, never>>) => {
    const name = String(value[reader.tag]);
    const converted = converts.get(name)!(value as never) as object; // a struct variant converts to an object
    return { [reader.tag]: name, ...converted };
  };
}

/** Whether data written with `writer` can be read as `reader`, and if not, why. */
export function checkCompatibility(
  writer: Schema<unknown>,
  reader: Schema<unknown>,
): Compatibility {
  if (sameSchema(writer, reader)) return { outcome: 'as-is' };
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
  if (sameSchema(writer, reader)) return rowCodec(reader).decode;
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
