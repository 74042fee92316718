/** What a PostgreSQL sink can be told, and what of it does not go together. */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type { SinkGuarantee } from '../../src/connector/sink.ts';
import type { Schema } from '../../src/types/schema.ts';
import type { Database } from './database.ts';
import { checkName, parseTableName, type TableName } from './identifiers.ts';

export interface PostgresSinkOptions<T> {
  /** Made by `postgresDatabase`. */
  readonly database: Database;
  /** `table` or `schema.table`; must exist. */
  readonly table: string;
  /** Of the records: its fields are the columns that are written. Or pass `columns`. */
  readonly schema?: Schema<T>;
  /** The columns that are written. Default: the fields of `schema`. */
  readonly columns?: readonly string[];
  /** The values of a record by column. Default: the record itself. */
  readonly row?: (value: T) => Readonly<Record<string, unknown>>;
  /** A record replaces the row with the same values in these columns, which need a unique index. Absent: every record is a row of its own. */
  readonly key?: readonly string[];
  /** With `key`: true for a record that deletes its row. */
  readonly deletes?: (value: T) => boolean;
  /** Default 'exactly-once'. */
  readonly guarantee?: SinkGuarantee;
  /** Where the tables of an exactly-once sink are; made when they are missing. Default 'millrace'. */
  readonly stagingSchema?: string;
  /** Rows are sent when about this much JSON of them is there; a barrier sends them anyway. Default 1 MiB. */
  readonly chunkBytes?: number;
  /** Or this many rows. Default 10,000. */
  readonly chunkRows?: number;
  /** How long the server may be out of reach before the job fails (and restarts by its strategy). Default 2 min. */
  readonly unavailableTimeout?: Duration;
  /** What happens on a server that may forget what it has committed (`fsync` is off). Default 'fail'. */
  readonly unsafeServer?: 'fail' | 'accept';
}

export interface SinkPlan {
  readonly table: TableName;
  readonly columns: readonly string[];
  readonly key: readonly string[];
  readonly guarantee: SinkGuarantee;
  readonly stagingSchema: string;
  readonly chunkBytes: number;
  readonly chunkRows: number;
  readonly persistMs: number;
}

const MIB = 1024 * 1024;
const CHUNK_BYTES_MAX = 128 * MIB;
const CHUNK_ROWS_MAX = 1_000_000;

/** @throws `invalid` BAD_POSTGRES_SINK, BAD_POSTGRES_NAME */
export function planSink<T>(options: PostgresSinkOptions<T>): SinkPlan {
  const { schema, columns, key = [], deletes, stagingSchema = 'millrace' } = options;
  const { chunkBytes = MIB, chunkRows = 10_000 } = options;
  const names = columns ?? fieldsOf(schema);
  const table = parseTableName(options.table);
  for (const name of [...names, stagingSchema]) checkName(name);
  const faults = [
    ...(names.length === 0 ? ['it needs columns, or a schema that is a struct'] : []),
    ...(new Set(names).size < names.length ? ['a column stands twice'] : []),
    ...key
      .filter((name) => !names.includes(name))
      .map((name) => `key column ${name} is not among the columns`),
    ...(deletes !== undefined && key.length === 0 ? ['deletes needs a key'] : []),
    ...(!(chunkBytes >= 1024) || chunkBytes > CHUNK_BYTES_MAX
      ? ['chunkBytes is between 1 KiB and 128 MiB']
      : []),
    ...(!(chunkRows >= 1) || chunkRows > CHUNK_ROWS_MAX
      ? [`chunkRows is between 1 and ${CHUNK_ROWS_MAX}`]
      : []),
  ];
  if (faults.length > 0)
    throw invalid('BAD_POSTGRES_SINK', `PostgreSQL sink: ${faults.join('; ')}`);
  return {
    ...{ table, columns: names, key, stagingSchema, chunkBytes, chunkRows },
    guarantee: options.guarantee ?? 'exactly-once',
    persistMs: durationMs(options.unavailableTimeout ?? '2 min'),
  };
}

const fieldsOf = (schema: Schema<unknown> | undefined): readonly string[] =>
  schema?.kind === 'struct' ? schema.fields.map(({ name }) => name) : [];
