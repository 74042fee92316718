/** How records get their key: by fields or by a function, and the schema the key is stored under. */
import { invalid } from '../base/errors.ts';
import { isKeySchema } from '../types/key-codec.ts';
import { describeSchema } from '../types/schema-json.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';

/** What can be a key: values that compare by content and have an order. */
export type Key = boolean | number | bigint | string | Uint8Array | readonly Key[];

/** The fields of T that can be keys. Lists of any length cannot: their schema has no order. */
export type KeyField<T> = {
  [F in keyof T & string]-?: T[F] extends Key
    ? T[F] extends readonly unknown[]
      ? number extends T[F]['length']
        ? never
        : F
      : F
    : never;
}[keyof T & string];

/** The fields of T that are numbers. */
export type NumericField<T> = {
  [F in keyof T & string]-?: T[F] extends number ? F : never;
}[keyof T & string];

/** The key made of several fields: a tuple of their values. */
export type FieldsKey<T, F extends readonly (keyof T)[]> = {
  readonly [I in keyof F]: T[F[I]];
};

/** How a stream is partitioned. */
export interface Keying<T> {
  /** A method, so that streams of a type are streams of its supertypes. */
  keyOf(value: T): unknown;
  readonly keySchema: Schema<unknown>;
  /** For `explain`. */
  readonly label: string;
  /** Of the operators on this stream; undefined for the default. */
  readonly parallelism?: number;
}

/** @throws `invalid` NOT_A_KEY_SCHEMA */
export function keyBySelector<T>(
  keyOf: (value: T) => unknown,
  schema: Schema<unknown> | undefined,
): Keying<T> {
  const keySchema = schema ?? t.key();
  if (!isKeySchema(keySchema))
    throw invalid(
      'NOT_A_KEY_SCHEMA',
      `keyBy: ${describeSchema(keySchema)} cannot be a key; keys are primitives, enums, and tuples or structs of them`,
    );
  return { keyOf, keySchema, label: 'key' };
}

/** @throws `invalid` UNKNOWN_FIELD or NOT_A_KEY_SCHEMA, where the stream's schema is known */
export function keyByFields<T>(
  fields: readonly string[],
  schema: Schema<unknown> | undefined,
): Keying<T> {
  const schemas = fields.map((field) => fieldSchema(field, schema));
  const known = schemas.every((one) => one !== undefined);
  const composite = fields.length > 1;
  return {
    keyOf: selectorOf(fields),
    keySchema: known ? (composite ? t.tuple(...schemas) : schemas[0]!) : t.key(),
    label: fields.join(', '),
  };
}

function fieldSchema(
  field: string,
  schema: Schema<unknown> | undefined,
): Schema<unknown> | undefined {
  if (schema?.kind !== 'struct') return undefined;
  const found = schema.fields.find(({ name }) => name === field);
  if (found === undefined)
    throw invalid(
      'UNKNOWN_FIELD',
      `keyBy(${JSON.stringify(field)}): the stream has the fields ${schema.fields.map(({ name }) => name).join(', ')}`,
    );
  if (!isKeySchema(found.schema))
    throw invalid(
      'NOT_A_KEY_SCHEMA',
      `keyBy(${JSON.stringify(field)}): ${describeSchema(found.schema)} cannot be a key; keys are primitives, enums, and tuples or structs of them`,
    );
  return found.schema;
}

/**
 * @hot bench/nexmark. The code is generated for each keying, so that its loads are of fields that V8 knows: shared code that is told the names
 * takes them for anything. Every name is quoted by JSON.stringify.
 */
function selectorOf<T>(fields: readonly string[]): (value: T) => unknown {
  const loads = fields.map((field) => `value[${JSON.stringify(field)}]`);
  const key = loads.length === 1 ? loads[0]! : `[${loads.join(', ')}]`;
  return new Function(`return (value) => ${key};`)() as (value: T) => unknown; // the text returns one
}
