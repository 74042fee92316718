/** One JSON value a line (NDJSON). */
import { invalid } from '../base/errors.ts';
import type { LineFormat, Decoded } from './format.ts';
import { checkValue } from '../types/check-value.ts';
import type { Schema } from '../types/schema.ts';
import { isStandardSchema, type StandardSchema, validate } from '../types/standard-schema.ts';

/**
 * Lines checked against a Millrace schema, or validated by a Standard Schema (zod, valibot, arktype, ...). Without either, whatever JSON
 * there is. Unknown properties are dropped when a Millrace schema is given. `__proto__` is plain data. Maps are written as objects, bigints as
 * numbers where they are safe integers; bytes cannot be written.
 */
export function jsonLines<T>(schema?: Schema<T> | StandardSchema<T>): LineFormat<T> {
  const check = checkerOf(schema);
  return {
    ...(schema === undefined || isStandardSchema(schema) ? {} : { schema }),
    decode(line) {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (error) {
        return { ok: false, reason: (error as Error).message }; // JSON.parse throws SyntaxErrors
      }
      return check(value);
    },
    encode: encoderOf(schema),
  };
}

function checkerOf<T>(
  schema: Schema<T> | StandardSchema<T> | undefined,
): (value: unknown) => Decoded<T> {
  if (schema === undefined) return (value) => ({ ok: true, value: value as T }); // the user asserts the type
  if (isStandardSchema(schema)) return (value) => validate(schema as StandardSchema<T>, value);
  return (value) => checkValue(schema, value);
}

function encoderOf<T>(schema: Schema<T> | StandardSchema<T> | undefined): (value: T) => string {
  const special = schema !== undefined && !isStandardSchema(schema) && hasSpecialKinds(schema);
  return special ? jsonText : (value) => JSON.stringify(value);
}

/** A value as JSON lines write it. @throws `invalid` VALUE_NOT_JSON */
export const jsonText = (value: unknown): string => JSON.stringify(value, toJson);

/** Kinds whose values JSON.stringify drops or refuses. */
function hasSpecialKinds(schema: Schema<unknown>): boolean {
  return /"kind":"(?:map|bigint|bytes|generic|key)"/.test(JSON.stringify(schema));
}

function toJson(_key: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Uint8Array)
    throw invalid('VALUE_NOT_JSON', 'bytes are no JSON; map them to text first');
  if (typeof value !== 'bigint') return value;
  if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER)
    throw invalid(
      'VALUE_NOT_JSON',
      `${value} is too large for a JSON number; map it to text first`,
    );
  return Number(value);
}
