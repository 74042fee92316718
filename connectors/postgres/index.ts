/** PostgreSQL as a source of changes and as an exactly-once sink: `@millrace/postgres`. */
export type { Change, ChangeKind } from './change.ts';
export {
  type Database,
  type DatabaseOptions,
  postgresDatabase,
  type TlsOptions,
} from './database.ts';
export { postgresSink } from './postgres-sink.ts';
export type { PostgresSinkOptions } from './postgres-sink-options.ts';
export { postgresSource, type PostgresSourceOptions } from './postgres-source.ts';
