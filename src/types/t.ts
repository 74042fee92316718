/**
 * The schema builder. `t.struct({ id: t.int64(), note: t.optional(t.string()) })` describes a value, and `Infer` reads its type
 * back. Schemas are frozen plain objects; building one validates it.
 */
import { invalid } from '../base/errors.ts';
import { checkValue } from './check-value.ts';
import type { Field, Infer, PrimitiveKind, Schema } from './schema.ts';

/** A field with more than its schema: earlier names, and a value for data written before it existed. */
export interface FieldSpec<T> {
  readonly field: Schema<T>;
  readonly aliases?: readonly string[];
  readonly default?: T;
}

type FieldInput = Schema<unknown> | FieldSpec<unknown>;
type FieldType<F> = F extends FieldSpec<infer T> ? T : Infer<F>;
type OptionalNames<F> = { [N in keyof F]: undefined extends FieldType<F[N]> ? N : never }[keyof F];
type Flat<T> = { [N in keyof T]: T[N] };
type StructOf<F> = Flat<
  { readonly [N in Exclude<keyof F, OptionalNames<F>>]: FieldType<F[N]> } & {
    readonly [N in OptionalNames<F>]?: FieldType<F[N]>;
  }
>;

export const DECIMAL_PRECISION_MAX = 38;
const ENUM_SYMBOLS_MAX = 65_536;

function primitive<T>(kind: PrimitiveKind): () => Schema<T> {
  const schema: Schema<T> = Object.freeze({ kind });
  return () => schema;
}

/** A field of `struct` with aliases or a default. @throws `invalid` BAD_SCHEMA for a default that its schema cannot hold */
function field<T>(
  schema: Schema<T>,
  options: { readonly aliases?: readonly string[]; readonly default?: NoInfer<T> },
): FieldSpec<T> {
  if (Object.hasOwn(options, 'default')) {
    const checked = checkValue(schema, options.default);
    if (!checked.ok) throw invalid('BAD_SCHEMA', `a default does not fit: ${checked.reason}`);
  }
  return Object.freeze({ field: schema, ...options });
}

const isFieldSpec = (input: FieldInput): input is FieldSpec<unknown> => 'field' in input;

function toField(name: string, input: FieldInput): Field {
  if (!isFieldSpec(input)) return Object.freeze({ name, schema: input });
  return Object.freeze({
    name,
    schema: input.field,
    ...(input.aliases === undefined ? {} : { aliases: Object.freeze([...input.aliases]) }),
    ...(Object.hasOwn(input, 'default') ? { default: input.default } : {}),
  });
}

function struct<const F extends Readonly<Record<string, FieldInput>>>(
  fields: F,
): Schema<StructOf<F>> {
  const list = Object.entries(fields).map(([name, input]) => toField(name, input));
  checkFieldNames(list);
  return Object.freeze({ kind: 'struct', fields: Object.freeze(list) });
}

/** Names and aliases of one struct are all different: a stored field is read into one place. @throws `invalid` BAD_SCHEMA */
export function checkFieldNames(fields: readonly Field[]): void {
  const seen = new Set<string>();
  for (const { name, aliases = [] } of fields) {
    for (const known of [name, ...aliases]) {
      if (seen.has(known))
        throw invalid('BAD_SCHEMA', `${known} names two fields, or stands twice among the aliases`);
      seen.add(known);
    }
  }
}

function decimal(precision: number, scale: number): Schema<string> {
  const sound =
    Number.isInteger(precision) && Number.isInteger(scale) && scale >= 0 && scale <= precision;
  if (!sound || precision < 1 || precision > DECIMAL_PRECISION_MAX) {
    throw invalid(
      'BAD_SCHEMA',
      `decimal(${precision}, ${scale}): precision is 1 to ${DECIMAL_PRECISION_MAX}, scale 0 to the precision`,
    );
  }
  return Object.freeze({ kind: 'decimal', precision, scale });
}

function enumeration<const S extends readonly [string, ...string[]]>(
  ...symbols: S
): Schema<S[number]> {
  if (symbols.length > ENUM_SYMBOLS_MAX)
    throw invalid('BAD_SCHEMA', `an enum of more than ${ENUM_SYMBOLS_MAX} symbols`);
  if (new Set(symbols).size !== symbols.length) {
    throw invalid('BAD_SCHEMA', `enum(${symbols.join(', ')}): a symbol stands twice`);
  }
  return Object.freeze({ kind: 'enum', symbols: Object.freeze([...symbols]) });
}

function union<const T extends string, const V extends Readonly<Record<string, Schema<object>>>>(
  tag: T,
  variants: V,
): Schema<{ [N in keyof V]: Flat<{ readonly [K in T]: N } & Infer<V[N]>> }[keyof V]> {
  for (const [name, variant] of Object.entries(variants)) {
    if (variant.kind !== 'struct')
      throw invalid('BAD_SCHEMA', `union variant ${name} is ${variant.kind}; variants are structs`);
    if (variant.fields.some((field) => field.name === tag)) {
      throw invalid(
        'BAD_SCHEMA',
        `union variant ${name} has a field named ${tag}, which is the tag`,
      );
    }
  }
  return Object.freeze({ kind: 'union', tag, variants: Object.freeze({ ...variants }) });
}

function tuple<const E extends readonly Schema<unknown>[]>(
  ...elements: E
): Schema<{ readonly [N in keyof E]: Infer<E[N]> }> {
  return Object.freeze({ kind: 'tuple', elements: Object.freeze([...elements]) });
}

/** Builds schemas. @public */
export const t = Object.freeze({
  boolean: primitive<boolean>('boolean'),
  int8: primitive<number>('int8'),
  int16: primitive<number>('int16'),
  int32: primitive<number>('int32'),
  /** A safe integer (|n| < 2^53) as a number. */
  int64: primitive<number>('int64'),
  /** A 64-bit integer as a bigint. */
  bigint: primitive<bigint>('bigint'),
  float: primitive<number>('float'),
  double: primitive<number>('double'),
  string: primitive<string>('string'),
  bytes: primitive<Uint8Array>('bytes'),
  /** Epoch milliseconds. */
  timestamp: primitive<number>('timestamp'),
  /** A decimal string such as '12.30'. */
  decimal,
  struct,
  field,
  array: <T>(element: Schema<T>): Schema<readonly T[]> => Object.freeze({ kind: 'array', element }),
  map: <K, V>(key: Schema<K>, value: Schema<V>): Schema<ReadonlyMap<K, V>> =>
    Object.freeze({ kind: 'map', key, value }),
  optional: <T>(inner: Schema<T>): Schema<T | undefined> =>
    Object.freeze({ kind: 'optional', inner }),
  enum: enumeration,
  union,
  tuple,
  /** A boolean, number, bigint or string, or an array of keys; self-describing. */
  key: (): Schema<unknown> => KEY,
  /** Anything structured; schemaless. */
  generic: <T = unknown>(): Schema<T> => Object.freeze({ kind: 'generic' }),
});

const KEY: Schema<unknown> = Object.freeze({ kind: 'key' });
