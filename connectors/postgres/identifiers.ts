/** Names as SQL text. */
import { invalid } from '../../src/base/errors.ts';

export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** PostgreSQL cuts longer names off without a word. */
const NAME_BYTES_MAX = 63;

/** `table` or `schema.table`; the schema is `public` by default. Names are taken as they are: no folding of letters. @throws `invalid` BAD_POSTGRES_NAME */
export function parseTableName(name: string): TableName {
  const [first, second, ...more] = name.split('.');
  const [schema, table] = second === undefined ? ['public', first!] : [first!, second];
  if (more.length > 0)
    throw invalid('BAD_POSTGRES_NAME', `${JSON.stringify(name)} is not table or schema.table`);
  checkName(schema);
  checkName(table);
  return { schema, table };
}

/** @throws `invalid` BAD_POSTGRES_NAME */
export function checkName(name: string): void {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > NAME_BYTES_MAX)
    throw invalid(
      'BAD_POSTGRES_NAME',
      `${JSON.stringify(name)} is no name; names have 1 to ${NAME_BYTES_MAX} bytes`,
    );
}

/** An identifier in SQL text. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export const quotedTable = ({ schema, table }: TableName): string =>
  `${quoted(schema)}.${quoted(table)}`;

export const tableText = ({ schema, table }: TableName): string => `${schema}.${table}`;

/** A text constant in SQL text, for commands that take no parameters. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
