/** What a sink looks at before it writes: the table, its index, the server's settings; and the tables of its own, which it makes. */
import { invalid, isMillraceError } from '../../src/base/errors.ts';
import type { Session } from './database.ts';
import { quotedTable, tableText } from './identifiers.ts';
import type { PostgresSinkOptions, SinkPlan } from './postgres-sink-options.ts';
import { createStagingTables, stagingTables } from './sink-statements.ts';
import { pickColumns, readColumns, type TableColumn } from './table-columns.ts';

/** The columns to write. @throws `invalid` PG_MISSING, PG_COLUMN_REQUIRED, PG_NO_UNIQUE_INDEX, PG_UNSAFE_SERVER */
export async function inspectTarget<T>(
  session: Session,
  { unsafeServer = 'fail' }: PostgresSinkOptions<T>,
  plan: SinkPlan,
): Promise<readonly TableColumn[]> {
  await checkServer(session, unsafeServer);
  const columns = pickColumns(plan.table, await readColumns(session, plan.table), plan.columns);
  if (plan.key.length > 0) await checkUniqueIndex(session, plan);
  return columns;
}

async function checkServer(session: Session, unsafeServer: 'fail' | 'accept'): Promise<void> {
  const [row] = await session.query(
    `SELECT current_setting('fsync') AS fsync, pg_is_in_recovery()::text AS standby`,
  );
  if (row?.['standby'] === 'true')
    throw invalid(
      'PG_STANDBY',
      'the server is a standby and takes no writes; connect to its primary',
    );
  if (row?.['fsync'] === 'off' && unsafeServer === 'fail')
    throw invalid(
      'PG_UNSAFE_SERVER',
      "fsync is off: after a power failure the server may have lost what it said it had committed. Set fsync = on in postgresql.conf, or accept the loss by unsafeServer: 'accept'",
    );
}

const UNIQUE_INDEXES = `SELECT (SELECT json_agg(a.attname ORDER BY a.attname)::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])) AS columns FROM pg_index i WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL`;

async function checkUniqueIndex(session: Session, { table, key }: SinkPlan): Promise<void> {
  const wanted = JSON.stringify([...key].sort());
  const indexes = await session.query(UNIQUE_INDEXES, [quotedTable(table)]);
  const has = indexes.some(
    ({ columns }) => JSON.stringify((JSON.parse(columns ?? '[]') as string[]).sort()) === wanted, // made by json_agg of names
  );
  if (!has)
    throw invalid(
      'PG_NO_UNIQUE_INDEX',
      `${tableText(table)} has no unique index on (${key.join(', ')}), by which rows are replaced; CREATE UNIQUE INDEX ON ${quotedTable(table)} (${key.join(', ')}), or correct the key`,
    );
}

/** One number for all: subtasks that start together make the tables one after another. */
const SETUP_LOCK = 7_246_013;

/** Within a transaction. @throws `invalid` PG_NOT_ALLOWED with the statements to run */
export async function ensureStagingTables(session: Session, schema: string): Promise<void> {
  const { staged, commits } = stagingTables(schema);
  const [found] = await session.query(
    'SELECT (to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL)::text AS both',
    [staged, commits],
  );
  if (found?.['both'] === 'true') return;
  await session.query('SELECT pg_advisory_xact_lock($1)', [SETUP_LOCK]);
  const statements = createStagingTables(schema);
  try {
    for (const statement of statements) await session.query(statement);
  } catch (error) {
    if (!isMillraceError(error) || error.code !== 'PG_NOT_ALLOWED') throw error;
    throw invalid(
      'PG_NOT_ALLOWED',
      `an exactly-once sink has tables of its own, and the role may not make them (${error.message}). Have them made, and the role given SELECT, INSERT, UPDATE and DELETE on them and USAGE of the schema: ${statements.join('; ')}`,
    );
  }
}
