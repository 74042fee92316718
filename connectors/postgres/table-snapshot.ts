/** A table, or the rest of it, as it was at one moment: read in pages, by key. */
import type { Database, Session, TextRow } from './database.ts';
import { quoted, quotedTable } from './identifiers.ts';
import { type Key, keyLiterals, orderBy, type SourceTable } from './source-table.ts';

const PAGE_ROWS = 4096;

export class TableSnapshot {
  readonly #session: Session;
  /** The moment, as the server describes it. */
  readonly snapshot: string;
  /** Transactions that commit behind it are not seen. */
  readonly lsn: string;
  /** There are no further rows. */
  done = false;
  #ahead: Promise<readonly TextRow[]> | undefined;

  private constructor(session: Session, snapshot: string, lsn: string) {
    this.#session = session;
    this.snapshot = snapshot;
    this.lsn = lsn;
  }

  static async open(
    database: Database,
    applicationName: string,
    table: SourceTable,
    after: Key | null,
  ): Promise<TableSnapshot> {
    const session = await database.open(applicationName);
    try {
      // It waits for the stream that it feeds, for as long as that takes.
      await session.query('SET idle_in_transaction_session_timeout = 0');
      await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const [moment] = await session.query(
        'SELECT pg_current_snapshot()::text AS snapshot, pg_current_wal_insert_lsn()::text AS lsn',
      );
      await session.query(cursorOver(table, after));
      return new TableSnapshot(session, moment?.['snapshot'] ?? '', moment?.['lsn'] ?? '');
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** The next rows, while those after them are on their way. */
  async nextPage(): Promise<readonly TextRow[]> {
    const rows = await (this.#ahead ?? this.#ask());
    this.done = rows.length < PAGE_ROWS;
    this.#ahead = this.done ? undefined : this.#ask();
    this.#ahead?.catch(() => {}); // told by the next page
    return rows;
  }

  /** With the last rows the table is let go, as others may wait for that. */
  async #ask(): Promise<readonly TextRow[]> {
    const rows = await this.#session.query(`FETCH FORWARD ${PAGE_ROWS} FROM reading`);
    if (rows.length < PAGE_ROWS) await this.close();
    return rows;
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

function cursorOver(table: SourceTable, after: Key | null): string {
  const columns = table.columns.map(({ name }) => quoted(name)).join(', ');
  const order = orderBy(table);
  const rest =
    after === null ? '' : ` WHERE (${order.join(', ')}) > (${keyLiterals(after).join(', ')})`;
  return `DECLARE reading NO SCROLL CURSOR FOR SELECT ${columns} FROM ${quotedTable(table.name)}${rest} ORDER BY ${order.join(', ')}`;
}
