/** PostgreSQL as a sink and as a source of changes: `@millrace/postgres`. */
export {
  type Database,
  type DatabaseOptions,
  postgresDatabase,
  type TlsOptions,
} from './database.ts';
export { postgresSink } from './postgres-sink.ts';
export type { PostgresSinkOptions } from './postgres-sink-options.ts';
