/** The tables of a source: their columns, what identifies a row, and in which order rows are read. */
import { invalid } from '../../src/base/errors.ts';
import type { Session } from './database.ts';
import {
  literal,
  parseTableName,
  quoted,
  quotedTable,
  type TableName,
  tableText,
} from './identifiers.ts';

export interface SourceColumn {
  readonly name: string;
  readonly typeOid: number;
}

/** `number`: by value. `text`: by the bytes of the value's text. The same order here and on the server. */
export type KeyOrder = 'number' | 'text';

export interface KeyColumn {
  readonly name: string;
  readonly typeOid: number;
}

export interface SourceTable {
  readonly name: TableName;
  readonly columns: readonly SourceColumn[];
  readonly key: readonly KeyColumn[];
}

/** The texts of a row's key columns. */
export type Key = readonly string[];

const INTEGERS: ReadonlySet<number> = new Set([20, 21, 23, 26]);
const UUID = 2950;

const orderOf = ({ typeOid }: KeyColumn): KeyOrder => (INTEGERS.has(typeOid) ? 'number' : 'text');

/** What rows are ordered by: an index helps where the column is an integer, a uuid, or text of collation C. */
export function orderBy({ key }: SourceTable): readonly string[] {
  return key.map((column) => {
    const name = quoted(column.name);
    if (INTEGERS.has(column.typeOid) || column.typeOid === UUID) return name;
    // What the output function of the type says, as in the stream.
    return `format('%s', ${name}) COLLATE "C"`;
  });
}

/** A constant to compare `orderBy` with. */
export const keyLiterals = (key: Key): readonly string[] => key.map(literal);

export function compareKeys({ key }: SourceTable, a: Key, b: Key): number {
  for (const [i, column] of key.entries()) {
    const order =
      orderOf(column) === 'number'
        ? compareBig(BigInt(a[i]!), BigInt(b[i]!))
        : Buffer.compare(Buffer.from(a[i]!), Buffer.from(b[i]!)); // a key has all its columns
    if (order !== 0) return order;
  }
  return 0;
}

const compareBig = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** `r` and `p`: a table, and one in parts. `identity`: d by primary key, f the whole row, i by an index, n none. */
const TABLE = `SELECT c.oid::text AS oid, c.relkind AS kind, c.relreplident AS identity, c.relpersistence AS persistence FROM pg_class c WHERE c.oid = $1::regclass`;

const COLUMNS = `SELECT a.attname AS name, a.atttypid::text AS type FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum`;

const KEYS = `SELECT a.attname AS name, a.atttypid::text AS type FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE i.indrelid = $1::regclass AND (CASE WHEN $2 = 'i' THEN i.indisreplident ELSE i.indisprimary END) AND k.place <= i.indnkeyatts ORDER BY k.place`;

/** @throws `invalid` PG_MISSING, PG_NOT_REPLICATED, PG_REPLICA_IDENTITY */
export async function readSourceTable(
  session: Session,
  text: string,
  before: 'key' | 'full',
): Promise<SourceTable> {
  const name = parseTableName(text);
  const sql = quotedTable(name);
  const [table] = await session.query(TABLE, [sql]);
  const { kind, identity, persistence } = table ?? {};
  if ((kind !== 'r' && kind !== 'p') || persistence !== 'p')
    throw invalid(
      'PG_NOT_REPLICATED',
      `${tableText(name)} is no ordinary table; views, foreign, temporary and unlogged tables have no changes in the log`,
    );
  const columnsOf = async (query: string, values: readonly string[]): Promise<SourceColumn[]> =>
    (await session.query(query, values)).map((row) => ({
      name: row['name'] ?? '',
      typeOid: Number(row['type']),
    }));
  const key = await columnsOf(KEYS, [sql, identity ?? '']);
  if (key.length === 0 || identity === 'n')
    throw invalid(
      'PG_REPLICA_IDENTITY',
      `nothing identifies the rows of ${tableText(name)} in the log: give it a primary key and ALTER TABLE ${sql} REPLICA IDENTITY DEFAULT`,
    );
  if (before === 'full' && identity !== 'f')
    throw invalid(
      'PG_REPLICA_IDENTITY',
      `the log does not have rows of ${tableText(name)} as they were; ALTER TABLE ${sql} REPLICA IDENTITY FULL, or read without before: 'full'`,
    );
  return { name, columns: await columnsOf(COLUMNS, [sql]), key };
}
