/**
 * Records on their way, as the JSON that the server makes rows of. With a key the last record of a key takes the place of earlier ones: one
 * statement changes a row once.
 */
import { MillraceError } from '../../src/base/errors.ts';
import type { PostgresSinkOptions, SinkPlan } from './postgres-sink-options.ts';
import { type Encode, encoderOf, type TableColumn } from './table-columns.ts';
import { tableText } from './identifiers.ts';

/** `upsert`: rows are inserted or, with a key, replaced. */
export type Operation = 'upsert' | 'delete';

/** Rows that one statement takes. */
export interface Chunk {
  readonly operation: Operation;
  readonly rows: number;
  /** A JSON array of objects by column. */
  readonly json: string;
}

/** Of one row; the server's limit of a value is 1 GiB. */
const ROW_CHARACTERS_MAX = 64 * 1024 * 1024;

interface KeyedRow {
  readonly operation: Operation;
  readonly json: string;
}

export class RowBuffer<T> {
  readonly #options: PostgresSinkOptions<T>;
  readonly #plan: SinkPlan;
  readonly #columns: readonly { readonly name: string; readonly encode: Encode }[];
  readonly #key: readonly { readonly name: string; readonly encode: Encode }[];
  #appended: string[] = [];
  #keyed = new Map<string, KeyedRow>();
  #characters = 0;

  constructor(options: PostgresSinkOptions<T>, plan: SinkPlan, columns: readonly TableColumn[]) {
    this.#options = options;
    this.#plan = plan;
    this.#columns = columns.map((column) => ({ name: column.name, encode: encoderOf(column) }));
    this.#key = this.#columns.filter(({ name }) => plan.key.includes(name));
  }

  get isFull(): boolean {
    const rows = this.#appended.length + this.#keyed.size;
    return rows >= this.#plan.chunkRows || this.#characters >= this.#plan.chunkBytes;
  }

  /** @throws `data` PG_ROW_REFUSED */
  add(value: T): void {
    const { row, deletes } = this.#options;
    const values = (row === undefined ? value : row(value)) as Readonly<Record<string, unknown>>; // without `row` a record is a struct
    if (this.#key.length === 0) {
      const json = this.#jsonOf(this.#columns, values);
      this.#appended.push(json);
      this.#characters += json.length;
      return;
    }
    const key = this.#jsonOf(this.#key, values);
    const isDelete = deletes?.(value) === true;
    const json = isDelete ? key : this.#jsonOf(this.#columns, values);
    this.#characters += json.length - (this.#keyed.get(key)?.json.length ?? 0);
    this.#keyed.set(key, { operation: isDelete ? 'delete' : 'upsert', json });
  }

  /** Everything, and the buffer is empty; deletions and the rest are of different keys, so that their order does not matter. */
  take(): readonly Chunk[] {
    const chunks: Chunk[] = [];
    const add = (operation: Operation, rows: readonly string[]): void => {
      if (rows.length > 0)
        chunks.push({ operation, rows: rows.length, json: `[${rows.join(',')}]` });
    };
    const keyed = [...this.#keyed.values()];
    const ofKind = (operation: Operation): readonly string[] =>
      keyed.filter((row) => row.operation === operation).map(({ json }) => json);
    add('upsert', this.#key.length === 0 ? this.#appended : ofKind('upsert'));
    add('delete', ofKind('delete'));
    this.#appended = [];
    this.#keyed = new Map();
    this.#characters = 0;
    return chunks;
  }

  #jsonOf(
    columns: readonly { readonly name: string; readonly encode: Encode }[],
    values: Readonly<Record<string, unknown>>,
  ): string {
    const plain: Record<string, unknown> = {};
    let json: string;
    try {
      for (const { name, encode } of columns) plain[name] = encode(values[name]);
      json = JSON.stringify(plain);
    } catch (error) {
      throw this.#refused(String(error), error);
    }
    if (json.length > ROW_CHARACTERS_MAX)
      throw this.#refused(
        `it has ${json.length} characters of JSON, more than ${ROW_CHARACTERS_MAX}`,
      );
    return json;
  }

  #refused(reason: string, cause?: unknown): MillraceError {
    return new MillraceError(
      'data',
      'PG_ROW_REFUSED',
      `a record cannot be a row of ${tableText(this.#plan.table)}: ${reason}`,
      { details: { permanent: true }, cause },
    );
  }
}
