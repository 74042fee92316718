/** Texts of a row's columns as a record. */
import type { Decoded } from '../../src/connector/format.ts';
import { checkValue } from '../../src/types/check-value.ts';
import type { Schema } from '../../src/types/schema.ts';
import { type DecodeValue, decoderOf } from './column-values.ts';
import type { Tuple } from './replication-messages.ts';
import type { Key } from './source-table.ts';

export interface DecodedColumn {
  readonly name: string;
  readonly typeOid: number;
}

export class RowDecoder<T> {
  readonly #schema: Schema<T> | undefined;
  readonly #columns: readonly { readonly name: string; readonly decode: DecodeValue }[];
  readonly #keyAt: readonly number[];

  constructor(
    columns: readonly DecodedColumn[],
    key: readonly { readonly name: string }[],
    schema: Schema<T> | undefined,
  ) {
    this.#schema = schema;
    const fields = new Map(
      schema?.kind === 'struct' ? schema.fields.map((field) => [field.name, field.schema]) : [],
    );
    this.#columns = columns.map(({ name, typeOid }) => ({
      name,
      decode: decoderOf(typeOid, fields.get(name)),
    }));
    this.#keyAt = key.map(({ name }) => columns.findIndex((column) => column.name === name));
  }

  /** A whole row. Without a schema nulls are nulls; with one they are absent. Guarded by `bench -- postgres`. */
  decode(tuple: Tuple): Decoded<T> {
    const columns = this.#columns;
    const row: Record<string, unknown> = {};
    let i = 0;
    try {
      for (; i < columns.length; i++) {
        const { name, decode } = columns[i]!; // below the length
        const text = tuple[i];
        if (text === undefined) return { ok: false, reason: outOfLine(name) };
        row[name] = text === null ? null : decode(text);
      }
    } catch (error) {
      return { ok: false, reason: `${columns[i]?.name}: ${String(error)}` };
    }
    return this.#schema === undefined
      ? { ok: true, value: row as T } // the user asserts the type
      : checkValue(this.#schema, row);
  }

  /** What is known of a row: all of it, or the columns that identify it. */
  decodeKnown(tuple: Tuple): Partial<T> {
    const row: Record<string, unknown> = {};
    for (const [i, { name, decode }] of this.#columns.entries()) {
      const text = tuple[i];
      if (text !== null && text !== undefined) row[name] = decode(text);
    }
    return row as Partial<T>; // of the columns of T
  }

  keyOf(tuple: Tuple): Key {
    return this.#keyAt.map((at) => tuple[at] ?? ''); // a key has no nulls
  }
}

const outOfLine = (name: string): string =>
  `${name} is stored out of line and has not changed, so the log does not have it; ALTER TABLE ... REPLICA IDENTITY FULL`;
