/** Checks plain data, such as parsed JSON, against a schema; the result has exactly the schema's fields, in its order. */
import { invalid } from '../base/errors.ts';
import { decimalPattern } from './decimal.ts';
import type { Schema } from './schema.ts';

export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

/** Bytes are not JSON; timestamps are numbers of milliseconds. */
export function checkValue<T>(schema: Schema<T>, value: unknown): Checked<T> {
  try {
    return { ok: true, value: convert(schema, value, '') as T }; // convert follows the schema
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    if (code !== 'VALUE_DOES_NOT_MATCH_SCHEMA') throw error;
    return { ok: false, reason: message };
  }
}

function mismatch(path: string, expected: string, value: unknown): never {
  const got = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  throw invalid(
    'VALUE_DOES_NOT_MATCH_SCHEMA',
    `${path === '' ? 'the value' : path}: expected ${expected}, got ${got}`,
  );
}

const RANGES: Readonly<Record<string, number>> = { int8: 2 ** 7, int16: 2 ** 15, int32: 2 ** 31 };

function convert(schema: Schema<unknown>, value: unknown, path: string): unknown {
  switch (schema.kind) {
    case 'boolean':
    case 'string':
      return typeof value === schema.kind ? value : mismatch(path, schema.kind, value);
    case 'int8':
    case 'int16':
    case 'int32': {
      const half = RANGES[schema.kind]!;
      return typeof value === 'number' && Number.isInteger(value) && value >= -half && value < half
        ? value
        : mismatch(path, schema.kind, value);
    }
    case 'int64':
    case 'timestamp':
      return Number.isSafeInteger(value)
        ? value
        : mismatch(path, `${schema.kind} (a safe integer)`, value);
    case 'double':
    case 'float':
      return typeof value === 'number' ? value : mismatch(path, schema.kind, value);
    case 'bigint':
      return typeof value === 'bigint' || Number.isSafeInteger(value)
        ? BigInt(value as number)
        : mismatch(path, 'an integer', value); // checked
    case 'decimal':
      return typeof value === 'string' && decimalPattern(schema.precision, schema.scale).test(value)
        ? value
        : mismatch(path, `decimal(${schema.precision}, ${schema.scale}) as text`, value);
    case 'enum':
      return typeof value === 'string' && schema.symbols.includes(value)
        ? value
        : mismatch(path, `one of ${schema.symbols.join(', ')}`, value);
    case 'bytes':
      return value instanceof Uint8Array ? value : mismatch(path, 'bytes', value);
    case 'key':
    case 'generic':
      return value;
    default:
      return convertComposite(schema, value, path);
  }
}

function convertComposite(schema: Schema<unknown>, value: unknown, path: string): unknown {
  switch (schema.kind) {
    case 'optional':
      return value === undefined || value === null ? undefined : convert(schema.inner, value, path);
    case 'struct':
      return convertStruct(schema, value, path, undefined);
    case 'array':
      return Array.isArray(value)
        ? value.map((element, i) => convert(schema.element, element, `${path}[${i}]`))
        : mismatch(path, 'an array', value);
    case 'tuple':
      return Array.isArray(value) && value.length === schema.elements.length
        ? schema.elements.map((element, i) => convert(element, value[i], `${path}[${i}]`))
        : mismatch(path, `an array of ${schema.elements.length}`, value);
    case 'map': {
      if (typeof value !== 'object' || value === null) return mismatch(path, 'an object', value);
      const entries = value instanceof Map ? [...value] : Object.entries(value);
      return new Map(
        entries.map(([k, v]) => [
          convert(schema.key, k, `${path}{key}`),
          convert(schema.value, v, `${path}{}`),
        ]),
      );
    }
    case 'union': {
      const tag = own(value, schema.tag);
      const variant =
        typeof tag === 'string' && Object.hasOwn(schema.variants, tag)
          ? schema.variants[tag]
          : undefined;
      if (variant?.kind !== 'struct')
        return mismatch(
          path,
          `an object whose ${schema.tag} is one of ${Object.keys(schema.variants).join(', ')}`,
          value,
        );
      return convertStruct(variant, value, path, [schema.tag, tag as string]); // a string, checked above
    }
    default:
      return mismatch(path, schema.kind, value);
  }
}

function own(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.getOwnPropertyDescriptor(value, name)?.value
    : undefined;
}

function convertStruct(
  schema: Schema<unknown> & { kind: 'struct' },
  value: unknown,
  path: string,
  tag: readonly [string, string] | undefined,
): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return mismatch(path, 'an object', value);
  const out: Record<string, unknown> = tag === undefined ? {} : { [tag[0]]: tag[1] };
  for (const field of schema.fields) {
    const given = own(value, field.name);
    const missing = given === undefined && Object.hasOwn(field, 'default');
    const converted = missing
      ? field.default
      : convert(field.schema, given, path === '' ? field.name : `${path}.${field.name}`);
    if (field.name === '__proto__')
      Object.defineProperty(out, field.name, {
        value: converted,
        enumerable: true,
        writable: true,
        configurable: true,
      });
    else out[field.name] = converted;
  }
  return out;
}
