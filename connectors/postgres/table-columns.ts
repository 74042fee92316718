/** The columns of a table as its catalog has them, and how values become the JSON that the server makes rows of. */
import { invalid } from '../../src/base/errors.ts';
import type { Session } from './database.ts';
import { quotedTable, type TableName, tableText } from './identifiers.ts';

export interface TableColumn {
  readonly name: string;
  /** As SQL writes it, with length or precision. */
  readonly type: string;
  /** Without. */
  readonly typeName: string;
  /** Takes no null and has no default. */
  readonly required: boolean;
}

const COLUMNS = `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, t.typname AS type_name, (a.attnotnull AND NOT a.atthasdef AND a.attidentity = '')::text AS required FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`;

/** @throws `invalid` PG_MISSING */
export async function readColumns(
  session: Session,
  table: TableName,
): Promise<readonly TableColumn[]> {
  const rows = await session.query(COLUMNS, [quotedTable(table)]);
  return rows.map((row) => ({
    name: row['name'] ?? '',
    type: row['type'] ?? '',
    typeName: row['type_name'] ?? '',
    required: row['required'] === 'true',
  }));
}

/** Those that are asked for, in that order. @throws `invalid` PG_MISSING, PG_COLUMN_REQUIRED */
export function pickColumns(
  table: TableName,
  all: readonly TableColumn[],
  names: readonly string[],
): readonly TableColumn[] {
  const byName = new Map(all.map((column) => [column.name, column]));
  const missing = names.filter((name) => !byName.has(name));
  if (missing.length > 0)
    throw invalid(
      'PG_MISSING',
      `table ${tableText(table)} has no column ${missing.join(', ')}; it has ${[...byName.keys()].join(', ')}`,
    );
  const required = all.filter(({ name, required }) => required && !names.includes(name));
  if (required.length > 0)
    throw invalid(
      'PG_COLUMN_REQUIRED',
      `nothing is written to ${required.map(({ name }) => name).join(', ')} of ${tableText(table)}, which take no null and have no default; write them, or give them a default`,
    );
  return names.map((name) => byName.get(name)!); // none is missing
}

export type Encode = (value: unknown) => unknown;

/** What JSON cannot say goes as the text that the type reads. @throws for a number that is no time, RangeError */
export function encoderOf({ typeName }: TableColumn): Encode {
  if (typeName === 'json' || typeName === 'jsonb') return (value) => value ?? null;
  if (typeName === 'timestamptz' || typeName === 'timestamp' || typeName === 'date')
    return (value) => (typeof value === 'number' ? new Date(value).toISOString() : plain(value));
  return plain;
}

function plain(value: unknown): unknown {
  switch (typeof value) {
    case 'undefined':
      return null;
    case 'bigint':
      return value.toString();
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'object':
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
      if (Array.isArray(value)) return value.map(plain);
      if (value instanceof Map) return Object.fromEntries(value);
      return value;
    default:
      return value;
  }
}
