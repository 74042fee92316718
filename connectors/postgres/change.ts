/** What a source of changes yields. */
import type { Schema } from '../../src/types/schema.ts';
import { t } from '../../src/types/t.ts';

export type ChangeKind = 'insert' | 'update' | 'delete' | 'truncate';

export interface Change<T> {
  readonly kind: ChangeKind;
  /** `schema.table`. */
  readonly table: string;
  /** The row now: of inserts and updates. */
  readonly after?: T;
  /**
   * The row before: of updates and deletions. All of it with `REPLICA IDENTITY FULL`; otherwise the columns that identify it, and of an update only if
   * these have changed.
   */
  readonly before?: Partial<T>;
  /** True for rows of the first reading of a table, which are inserts. */
  readonly snapshot: boolean;
  /** Where the transaction's commit is in the log; of the first reading: where the stream begins. */
  readonly lsn: string;
}

const KINDS = t.enum('insert', 'update', 'delete', 'truncate');

/** Of changes of rows of a struct. */
export function changeSchema<T>(row: Schema<T>): Schema<Change<T>> | undefined {
  if (row.kind !== 'struct') return undefined;
  const known = Object.fromEntries(
    row.fields.map(({ name, schema }) => [
      name,
      schema.kind === 'optional' ? schema : t.optional(schema),
    ]),
  );
  return t.struct({
    kind: KINDS,
    table: t.string(),
    after: t.optional(row),
    before: t.optional(t.struct(known)),
    snapshot: t.boolean(),
    lsn: t.string(),
  }) as Schema<Change<T>>; // `before` has the fields of `row`, all of them optional
}
