/**
 * The SQL of a sink: rows travel as JSON, of which the server makes records of the table's own types. One statement takes thousands of rows and
 * no values are written into SQL text.
 */
import { quoted, quotedTable } from './identifiers.ts';
import type { SinkPlan } from './postgres-sink-options.ts';
import type { Operation } from './row-buffer.ts';
import type { TableColumn } from './table-columns.ts';

export interface SinkStatements {
  /** `$1` is the JSON. */
  readonly direct: Readonly<Record<Operation, string>>;
  /** Stages a chunk once: sink, subtask, attempt, batch, n, operation, JSON. The server reads the rows, so that what their types refuse is told here. */
  readonly stage: Readonly<Record<Operation, string>>;
  /** Applies a staged chunk: sink, subtask, attempt, batch, n. */
  readonly apply: Readonly<Record<Operation, string>>;
}

const LANE = 'sink = $1 AND subtask = $2 AND attempt = $3';
const BATCH = `${LANE} AND batch = $4`;
/** And all that the same attempt staged before. */
const UP_TO_BATCH = `${LANE} AND batch <= $4`;

/** The tables of exactly-once sinks; format: docs/reference/postgres.md. */
export const stagingTables = (
  schema: string,
): { readonly staged: string; readonly commits: string } => ({
  staged: `${quoted(schema)}.sink_staged`,
  commits: `${quoted(schema)}.sink_commits`,
});

/** What makes them. */
export function createStagingTables(schema: string): readonly string[] {
  const { staged, commits } = stagingTables(schema);
  return [
    `CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`,
    `CREATE TABLE IF NOT EXISTS ${staged} (sink text, subtask integer, attempt text, batch bigint, n integer, operation text NOT NULL, rows json NOT NULL, PRIMARY KEY (sink, subtask, attempt, batch, n))`,
    `CREATE TABLE IF NOT EXISTS ${commits} (sink text, subtask integer, attempt text, batch bigint NOT NULL, committed_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (sink, subtask, attempt))`,
  ];
}

export function sinkStatements(plan: SinkPlan, columns: readonly TableColumn[]): SinkStatements {
  const { staged } = stagingTables(plan.stagingSchema);
  const table = quotedTable(plan.table);
  const keys = columns.filter(({ name }) => plan.key.includes(name));
  const change = (source: string, operation: Operation): string => {
    if (operation === 'upsert') {
      const names = columns.map(({ name }) => quoted(name)).join(', ');
      const values = columns.map(({ name }) => `r.${quoted(name)}`).join(', ');
      return `INSERT INTO ${table} (${names}) SELECT ${values} FROM ${source}${onConflict(plan, columns)}`;
    }
    const same = keys.map(({ name }) => `t.${quoted(name)} = r.${quoted(name)}`).join(' AND ');
    return `DELETE FROM ${table} t USING (SELECT r.* FROM ${source}) r WHERE ${same}`;
  };
  const each = (make: (operation: Operation) => string): Readonly<Record<Operation, string>> => ({
    upsert: make('upsert'),
    delete: keys.length === 0 ? '' : make('delete'),
  });
  const record = (json: string, operation: Operation): string =>
    `json_to_recordset(${json}) AS r(${definitions(operation === 'delete' ? keys : columns)})`;
  return {
    direct: each((operation) => change(record('$1::json', operation), operation)),
    stage: each(
      (operation) =>
        `INSERT INTO ${staged} (sink, subtask, attempt, batch, n, operation, rows) SELECT $1, $2, $3, $4, $5, $6, $7::json FROM (SELECT count(r.*) FROM ${record('$7::json', operation)}) AS readable ON CONFLICT DO NOTHING`,
    ),
    apply: each((operation) =>
      change(
        `(SELECT rows FROM ${staged} WHERE ${BATCH} AND n = $5) AS s CROSS JOIN LATERAL ${record('s.rows', operation)}`,
        operation,
      ),
    ),
  };
}

const definitions = (columns: readonly TableColumn[]): string =>
  columns.map(({ name, type }) => `${quoted(name)} ${type}`).join(', ');

function onConflict({ key }: SinkPlan, columns: readonly TableColumn[]): string {
  if (key.length === 0) return '';
  const rest = columns.filter(({ name }) => !key.includes(name)).map(({ name }) => quoted(name));
  const target = `ON CONFLICT (${key.map(quoted).join(', ')})`;
  return rest.length === 0
    ? ` ${target} DO NOTHING`
    : ` ${target} DO UPDATE SET ${rest.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`;
}

/** Of the batches that a committer handles: sink, subtask, attempt, batch. */
export const batchStatements = (
  schema: string,
): Readonly<
  Record<'lane' | 'last' | 'chunks' | 'remove' | 'removeOne' | 'committed' | 'forget', string>
> => {
  const { staged, commits } = stagingTables(schema);
  return {
    lane: `INSERT INTO ${commits} (sink, subtask, attempt, batch) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING`,
    last: `SELECT batch::text AS batch FROM ${commits} WHERE ${LANE} FOR UPDATE`,
    chunks: `SELECT batch::text AS batch, n::text AS n, operation FROM ${staged} WHERE ${UP_TO_BATCH} ORDER BY ${staged}.batch, ${staged}.n`,
    remove: `DELETE FROM ${staged} WHERE ${UP_TO_BATCH}`,
    removeOne: `DELETE FROM ${staged} WHERE ${BATCH}`,
    committed: `UPDATE ${commits} SET batch = greatest(batch, $4), committed_at = now() WHERE ${LANE}`,
    forget: `DELETE FROM ${commits} WHERE sink = $1 AND committed_at < now() - interval '30 days'`,
  };
};
