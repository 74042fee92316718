/**
 * Schemas: what a value is, as data and as a static type.
 *
 * `Schema<T>` is a frozen plain object; `t` (in `t.ts`) builds them and `Infer` reads the static type back. A schema turns into
 * JSON (`schemaToJson`) and is stored with the data it describes; readers resolve by field name (`evolution.ts`).
 * Codecs are generated per schema (`row-codec.ts`, `key-codec.ts`).
 */

/** The type a schema describes, carried for inference only. */
declare const TYPE: unique symbol;

export type Infer<S> = S extends Schema<infer T> ? T : never;

export interface Field<T = unknown> {
  readonly name: string;
  readonly schema: Schema<T>;
  /** Earlier names of this field, newest first; a stored field with such a name is read into it. */
  readonly aliases?: readonly string[];
  /** Value for data written before the field existed. Must be encodable by `schema`. */
  readonly default?: T;
}

/** JavaScript values: int8..int32, float and double are numbers; `int64` is a number that must be a safe integer; `bigint` is an int64 as bigint. */
export type PrimitiveKind =
  | 'boolean'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'bigint'
  | 'float'
  | 'double'
  | 'string'
  | 'bytes'
  /** Epoch milliseconds as a number. */
  | 'timestamp';

export type SchemaNode =
  | { readonly kind: PrimitiveKind }
  /** A decimal string such as '12.30' of at most `precision` digits, `scale` of them after the point. */
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'struct'; readonly name?: string; readonly fields: readonly Field[] }
  | { readonly kind: 'array'; readonly element: Schema<unknown> }
  /** A JavaScript Map. */
  | { readonly kind: 'map'; readonly key: Schema<unknown>; readonly value: Schema<unknown> }
  /** `undefined` or the value; a missing property of a struct is undefined. */
  | { readonly kind: 'optional'; readonly inner: Schema<unknown> }
  | { readonly kind: 'enum'; readonly symbols: readonly string[] }
  /** Tagged union of structs: `tag` is the discriminating property, a string literal per variant. */
  | {
      readonly kind: 'union';
      readonly tag: string;
      readonly variants: Readonly<Record<string, Schema<unknown>>>;
    }
  /** A fixed-length heterogeneous array, such as a composite key. */
  | { readonly kind: 'tuple'; readonly elements: readonly Schema<unknown>[] }
  /** Any primitive key (boolean, number, bigint, string) or array of them, self-describing. The key schema when none is given. */
  | { readonly kind: 'key' }
  /** Any structured value, schemaless. Warns once; refused for state unless allowed (`pipeline.generic-types`). */
  | { readonly kind: 'generic' };

export type Schema<T> = SchemaNode & { readonly [TYPE]?: T };
