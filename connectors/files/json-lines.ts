/** One JSON value a line (NDJSON). */
import type { LineFormat, Decoded } from '../../src/connector/format.ts';
import { checkValue } from '../../src/types/check-value.ts';
import type { Schema } from '../../src/types/schema.ts';
import {
  isStandardSchema,
  type StandardSchema,
  validate,
} from '../../src/types/standard-schema.ts';

/**
 * Lines checked against a Millrace schema, or validated by a Standard Schema (zod, valibot, arktype, ...). Without either, whatever JSON
 * there is. Unknown properties are dropped when a Millrace schema is given. `__proto__` is plain data.
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
    encode: (value) => JSON.stringify(value),
  };
}

function checkerOf<T>(
  schema: Schema<T> | StandardSchema<T> | undefined,
): (value: unknown) => Decoded<T> {
  if (schema === undefined) return (value) => ({ ok: true, value: value as T }); // the user asserts the type
  if (isStandardSchema(schema)) return (value) => validate(schema as StandardSchema<T>, value);
  return (value) => checkValue(schema, value);
}
