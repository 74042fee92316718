/** What tests against a real PostgreSQL share: databases of their own, and an owner's session. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Database,
  type DatabaseOptions,
  postgresDatabase,
  postgresSink,
  type PostgresSinkOptions,
} from '../../connectors/postgres/index.ts';
import type { Session, TextRow } from '../../connectors/postgres/database.ts';
import type { Sink } from '../../src/connector/sink.ts';

export interface Pair {
  readonly k: string;
  readonly v: number;
}

let tables = 0;

/** A server and what its owner may do. */
export class TestServer {
  readonly options: DatabaseOptions;
  readonly database: Database;
  #session: Session | undefined;

  constructor(options: DatabaseOptions) {
    this.options = {
      ...options,
      connectTimeout: '2 s',
      lockTimeout: '2 s',
      statementTimeout: '10 s',
    };
    this.database = postgresDatabase(this.options);
  }

  /** Runs a statement of the owner; after a restart of the server again. */
  async sql(text: string, values: readonly (string | number)[] = []): Promise<readonly TextRow[]> {
    if (this.#session?.alive !== true) this.#session = await this.database.open('owner');
    return this.#session.query(text, values);
  }

  /** A fresh table `(k text, v integer)`; its name. */
  async table(definition = 'k text, v integer'): Promise<string> {
    const table = `t${tables++}`;
    await this.sql(`CREATE TABLE ${table} (${definition})`);
    return table;
  }

  sink<T = Pair>(options: Partial<PostgresSinkOptions<T>> & { readonly table: string }): Sink<T> {
    return postgresSink<T>({
      database: this.database,
      columns: ['k', 'v'],
      unavailableTimeout: '20 s',
      ...options,
    });
  }

  /** `k=v` of every row, in the order of the table. */
  async rows(table: string, order = 'ctid'): Promise<string[]> {
    const rows = await this.sql(`SELECT k, v FROM ${table} ORDER BY ${order}`);
    return rows.map(({ k, v }) => `${k}=${v}`);
  }

  /** Asks until there is a row. */
  async until(text: string): Promise<void> {
    while ((await this.sql(text)).length === 0) await delay(20);
  }

  async close(): Promise<void> {
    await this.#session?.close();
  }
}
