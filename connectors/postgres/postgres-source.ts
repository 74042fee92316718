/**
 * Changes of PostgreSQL tables as a source: the rows that are there, then what is inserted, updated and deleted, by logical replication.
 *
 * A slot is a split. Its stream begins before the tables are read; rows are read in snapshots that are newer, and changes that a snapshot has seen are left
 * out of the stream, transaction by transaction (`seen-rows.ts`). So the first reading is consistent with the stream, and goes on after a
 * restart where it was.
 */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type {
  MalformedPolicy,
  Source,
  SourceReader,
  SourceReaderContext,
  SplitState,
} from '../../src/connector/source.ts';
import type { Schema } from '../../src/types/schema.ts';
import { type Change, changeSchema } from './change.ts';
import { ChangesReader, type ReaderOptions } from './changes-reader.ts';
import type { Database } from './database.ts';
import { checkName, parseTableName, tableText } from './identifiers.ts';
import { PostgresEnumerator } from './postgres-enumerator.ts';
import { positionOf, postgresSplitOf } from './postgres-split.ts';

export interface PostgresSourceOptions<T> {
  /** Made by `postgresDatabase`. */
  readonly database: Database;
  /** `table` or `schema.table`; each with a primary key. */
  readonly tables: readonly string[];
  /** Its own on the server: lower-case letters, digits and `_`. Made if it is missing, and the server keeps its log for it until it is dropped. */
  readonly slot: string;
  /** What the server publishes to the slot. Made if it is missing. Default: named as the slot. */
  readonly publication?: string;
  /** Of the rows. */
  readonly schema?: Schema<T>;
  /** Reads the rows that are there first. Default 'initial'; 'never': changes only, from the making of the slot. */
  readonly snapshot?: 'initial' | 'never';
  /** 'full': updates and deletions have the row as it was, which needs REPLICA IDENTITY FULL. Default 'key'. */
  readonly before?: 'key' | 'full';
  /** 'table': a slot for each table, `<slot>_<number>`, read in parallel; the order of transactions over tables is lost. Default 'one'. */
  readonly slots?: 'one' | 'table';
  /** What happens with a row that cannot be read. Default 'fail', naming table and key or place. */
  readonly malformed?: MalformedPolicy;
  /** What waits to be read, by slot. Default 16 MiB; a larger change still comes. */
  readonly bufferBytes?: number;
  /** How long the server may be out of reach before the job fails (and restarts by its strategy). Default 2 min. */
  readonly unavailableTimeout?: Duration;
}

const TABLES_MAX = 500;
const SLOT = /^[a-z0-9_]{1,50}$/;
const MIB = 1024 * 1024;

/**
 * Reads changes of tables. @public
 * @throws `invalid` BAD_POSTGRES_SOURCE, BAD_POSTGRES_NAME
 */
export function postgresSource<T>(options: PostgresSourceOptions<T>): Source<Change<T>> {
  checkOptions(options);
  return { ...sourceOf(options, false), untilNow: () => sourceOf(options, true) };
}

function sourceOf<T>(options: PostgresSourceOptions<T>, untilNow: boolean): Source<Change<T>> {
  const { database, slot, publication = slot, schema, before = 'key', malformed } = options;
  const { slots = 'one', snapshot = 'initial', bufferBytes = 16 * MIB } = options;
  const tables = options.tables.map((table) => tableText(parseTableName(table)));
  const persistMs = durationMs(options.unavailableTimeout ?? '2 min');
  const changes = schema === undefined ? undefined : changeSchema(schema);
  const enumeration = {
    ...{ database, slot, publication, tables, before, persistMs },
    slots:
      slots === 'one'
        ? [{ slot, tables }]
        : tables.map((table, i) => ({ slot: `${slot}_${i}`, tables: [table] })),
    snapshot: snapshot === 'initial',
    untilNow,
  };
  const reading = { database, publication, schema, before, bufferBytes, persistMs, untilNow };
  return {
    boundedness: untilNow ? 'bounded' : 'continuous-unbounded',
    ...(changes === undefined ? {} : { schema: changes }),
    ...(malformed === undefined ? {} : { malformed }),
    createEnumerator: (context, restored) => new PostgresEnumerator(enumeration, context, restored),
    createReader: (context) => new PostgresReader(reading, context),
  };
}

function checkOptions<T>({
  tables,
  slot,
  publication,
  schema,
  bufferBytes,
}: PostgresSourceOptions<T>): void {
  const names = tables.map((table) => tableText(parseTableName(table)));
  if (publication !== undefined) checkName(publication);
  const faults = [
    ...(tables.length === 0 || tables.length > TABLES_MAX ? [`tables are 1 to ${TABLES_MAX}`] : []),
    ...(new Set(names).size < names.length ? ['a table stands twice'] : []),
    ...(SLOT.test(slot) ? [] : ['slot is 1 to 50 lower-case letters, digits and underscores']),
    ...(schema !== undefined && schema.kind !== 'struct' ? ['schema is a struct'] : []),
    ...(bufferBytes !== undefined && !(bufferBytes >= 1) ? ['bufferBytes is positive'] : []),
  ];
  if (faults.length > 0)
    throw invalid('BAD_POSTGRES_SOURCE', `PostgreSQL source: ${faults.join('; ')}`);
}

class PostgresReader<T> implements SourceReader<Change<T>> {
  readonly #options: ReaderOptions<T>;
  readonly #context: SourceReaderContext;
  readonly #open = new Map<string, ChangesReader<T>>();

  constructor(options: ReaderOptions<T>, context: SourceReaderContext) {
    this.#options = options;
    this.#context = context;
  }

  async openSplit({ split, position }: SplitState): Promise<ChangesReader<T>> {
    const slot = postgresSplitOf(split.data);
    const reader = await ChangesReader.open(
      this.#options,
      this.#context,
      slot,
      positionOf(position, slot),
    );
    this.#open.set(split.id, reader);
    return reader;
  }

  /** The server may forget what is in the checkpoint. */
  async notifyCheckpointComplete(
    _checkpointId: number,
    positions: readonly SplitState[],
  ): Promise<void> {
    for (const { split, position } of positions)
      await this.#open.get(split.id)?.confirm(positionOf(position, postgresSplitOf(split.data)));
  }

  async close(): Promise<void> {}
}
