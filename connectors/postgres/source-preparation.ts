/**
 * What a source needs on the server before it reads: the settings, the publication and the slot. Looked at, and made where they are missing; the
 * publication first: what the slot decodes refers to it.
 */
import { invalid, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { Logger } from '../../src/base/world.ts';
import type { Database, Session } from './database.ts';
import { parseTableName, quoted, quotedTable, tableText } from './identifiers.ts';
import { readSourceTable } from './source-table.ts';

export interface SourceNeeds {
  readonly slot: string;
  readonly publication: string;
  readonly tables: readonly string[];
  readonly before: 'key' | 'full';
}

/** Read-only. @throws `invalid` PG_WAL_LEVEL, PG_NO_SENDERS, PG_NOT_ALLOWED, PG_STANDBY, and those of `readSourceTable` */
export async function checkServer(session: Session, needs: SourceNeeds): Promise<void> {
  const [row] = await session.query(
    `SELECT current_setting('wal_level') AS level, current_setting('max_wal_senders') AS senders, pg_is_in_recovery()::text AS standby, (SELECT (rolreplication OR rolsuper)::text FROM pg_roles WHERE rolname = current_user) AS allowed, current_user AS role`,
  );
  if (row?.['level'] !== 'logical')
    throw invalid(
      'PG_WAL_LEVEL',
      `wal_level is ${row?.['level']}: the log does not hold what changed in rows. ALTER SYSTEM SET wal_level = logical, and restart the server`,
    );
  if (row['senders'] === '0')
    throw invalid('PG_NO_SENDERS', 'max_wal_senders is 0; set it to 10 and restart the server');
  if (row['standby'] === 'true')
    throw invalid('PG_STANDBY', 'the server is a standby; connect to its primary');
  if (row['allowed'] !== 'true')
    throw invalid(
      'PG_NOT_ALLOWED',
      `the role may not replicate; ALTER ROLE ${quoted(row['role'] ?? '')} REPLICATION`,
    );
  for (const table of needs.tables) await readSourceTable(session, table, needs.before);
}

const PUBLISHED = `SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS everything, (SELECT json_agg(t.schemaname || '.' || t.tablename)::text FROM pg_publication_tables t WHERE t.pubname = p.pubname) AS tables FROM pg_publication p WHERE p.pubname = $1`;

/** @throws `invalid` PG_PUBLICATION_INCOMPLETE, PG_NOT_ALLOWED */
export async function ensurePublication(
  session: Session,
  { publication, tables }: SourceNeeds,
): Promise<void> {
  const names = tables.map(parseTableName);
  const list = names.map(quotedTable).join(', ');
  const [found] = await session.query(PUBLISHED, [publication]);
  if (found === undefined) {
    const create = `CREATE PUBLICATION ${quoted(publication)} FOR TABLE ${list} WITH (publish_via_partition_root = true)`;
    try {
      await session.query(create);
    } catch (error) {
      if (!isMillraceError(error) || error.code !== 'PG_NOT_ALLOWED') throw error;
      throw invalid('PG_NOT_ALLOWED', `${error.message}. The owner of the tables can: ${create}`);
    }
    return;
  }
  const published = new Set(JSON.parse(found['tables'] ?? '[]') as string[]); // made by json_agg of names
  const missing = names.filter((name) => !published.has(tableText(name)));
  if (missing.length > 0)
    throw invalid(
      'PG_PUBLICATION_INCOMPLETE',
      `the publication ${publication} lacks ${missing.map(tableText).join(', ')}; ALTER PUBLICATION ${quoted(publication)} ADD TABLE ${missing.map(quotedTable).join(', ')}. Rows from before the job's next start are not read`,
    );
  if (found['everything'] !== 't')
    throw invalid(
      'PG_PUBLICATION_INCOMPLETE',
      `the publication ${publication} leaves out some changes; ALTER PUBLICATION ${quoted(publication)} SET (publish = 'insert, update, delete, truncate')`,
    );
}

export interface Slot {
  /** Where its stream begins: what was confirmed. */
  readonly lsn: string;
  /** The process that reads it, and its name. */
  readonly pid: string | undefined;
  readonly application: string | undefined;
}

const SLOT = `SELECT s.plugin, s.database, s.confirmed_flush_lsn::text AS lsn, s.wal_status AS status, s.active_pid::text AS pid, a.application_name AS application, (s.database = current_database())::text AS here FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1`;

/** @throws `invalid` PG_SLOT_UNUSABLE, `data` PG_SLOT_LOST by `lost` */
export async function findSlot(session: Session, slot: string): Promise<Slot | 'lost' | undefined> {
  const [row] = await session.query(SLOT, [slot]);
  if (row === undefined) return undefined;
  if (row['plugin'] !== 'pgoutput' || row['here'] !== 'true')
    throw invalid(
      'PG_SLOT_UNUSABLE',
      `the slot ${slot} is not of this database, or not of the plugin pgoutput; choose another name`,
    );
  if (row['status'] === 'lost' || row['lsn'] === null) return 'lost';
  return {
    lsn: row['lsn'] ?? '',
    pid: row['pid'] ?? undefined,
    application: row['application'] ?? undefined,
  };
}

/**
 * Makes the slot if it is missing; where its stream begins. Transactions that are open when a slot is made hold this up. A slot that is there is taken
 * as it is: what it has beyond the tables' snapshots is left out as any change that these have seen.
 */
export async function ensureSlot(session: Session, slot: string, logger: Logger): Promise<string> {
  const found = await findSlot(session, slot);
  if (found === 'lost')
    throw invalid(
      'PG_SLOT_LOST',
      `the server has dropped log that the slot ${slot} needs (max_slot_wal_keep_size); SELECT pg_drop_replication_slot('${slot}'), and the next start makes it anew`,
    );
  if (found !== undefined) {
    logger.log('info', `reads by the slot ${slot}, which was there`, { lsn: found.lsn });
    return found.lsn;
  }
  try {
    await session.query('SET lock_timeout = 0'); // those transactions are waited for as if they were locks
    const [made] = await session.query(
      `SELECT lsn::text AS lsn FROM pg_create_logical_replication_slot($1, 'pgoutput')`,
      [slot],
    );
    return made?.['lsn'] ?? '';
  } catch (error) {
    if (!isMillraceError(error) || error.details['sqlState'] !== '57014') throw error;
    throw new MillraceError(
      'unavailable',
      'PG_CONTENDED',
      `the slot ${slot} cannot be made while transactions are open that were there before; end them, or wait (pg_stat_activity, pg_prepared_xacts)`,
      { cause: error },
    );
  }
}

/** The server's identity, which restores and replicas share and others do not. */
export async function systemOf(database: Database): Promise<string> {
  const session = await database.openReplication('millrace identify');
  try {
    const [row] = await session.query('IDENTIFY_SYSTEM');
    return row?.['systemid'] ?? '';
  } finally {
    await session.close();
  }
}
