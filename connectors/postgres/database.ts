/**
 * How a PostgreSQL is reached, and one session of it.
 *
 * Sessions speak text: dates in ISO form, times in UTC. A request without an answer ends its session: whether it was carried out is unknown.
 */
import pg from 'pg';
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import { isBroken, sqlFailure } from './sql-errors.ts';

export interface DatabaseOptions {
  readonly host: string;
  /** Default 5432. */
  readonly port?: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  /** TLS is used when this is given; `{}` trusts the usual authorities. */
  readonly tls?: TlsOptions;
  /** Default 10 s. */
  readonly connectTimeout?: Duration;
  /** How long a statement may take, here and on the server. Default 1 min. */
  readonly statementTimeout?: Duration;
  /** How long a statement waits for a lock that another session holds. Default 10 s. */
  readonly lockTimeout?: Duration;
}

export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized?: boolean;
}

export type SqlValue = string | number | null | readonly string[];
/** A row by column; every value is the server's text, or null. */
export type TextRow = Readonly<Record<string, string | null>>;

/** One connection. Statements run one after another in the order in which they are given. */
export interface Session {
  /** False once the connection is gone; then every statement fails. */
  readonly alive: boolean;
  /** @throws what `sqlFailure` makes of it */
  query(text: string, values?: readonly SqlValue[]): Promise<readonly TextRow[]>;
  close(): Promise<void>;
}

export interface Database {
  /** For messages: host, port and database. */
  readonly name: string;
  /** Names the session to the server's operators. @throws `unavailable` PG_UNAVAILABLE, `invalid` PG_AUTHENTICATION_FAILED */
  open(applicationName: string): Promise<Session>;
  /** A connection for the replication protocol. */
  openReplication(applicationName: string): Promise<ReplicationSession>;
}

/** A connection that streams what a slot decodes. */
export interface ReplicationSession extends Session {
  /** Settles when the server has begun to stream; then messages go to `onMessage`, and whatever ends the stream to `onEnd`, once. */
  stream(
    command: string,
    onMessage: (message: Buffer) => void,
    onEnd: (error: Error) => void,
  ): Promise<void>;
  send(message: Buffer): void;
  /** Takes no further bytes from the network until `resume`. */
  pause(): void;
  resume(): void;
}

/** What a statement may overrun its timeout on the server before the connection is given up. */
const ANSWER_GRACE_MS = 5000;
const IDLE_IN_TRANSACTION_MS = 60_000;
const KEEP_ALIVE_MS = 10_000;

/**
 * A database of a PostgreSQL from version 13 on. Nothing is connected before a job runs. @public
 * @throws `invalid` BAD_POSTGRES_DATABASE
 */
export function postgresDatabase(options: DatabaseOptions): Database {
  const { host, port = 5432, database, user } = options;
  const faults = [
    ...(host === '' ? ['host is empty'] : []),
    ...(!Number.isInteger(port) || port < 1 || port > 65_535 ? ['port is 1 to 65535'] : []),
    ...(database === '' ? ['database is empty'] : []),
    ...(user === '' ? ['user is empty'] : []),
  ];
  if (faults.length > 0)
    throw invalid('BAD_POSTGRES_DATABASE', `PostgreSQL database: ${faults.join('; ')}`);
  const name = `${host}:${port}/${database}`;
  return {
    name,
    open: (applicationName) => PgSession.connect(name, configOf(options, applicationName)),
    openReplication: (applicationName) =>
      PgSession.connect(name, replicationConfigOf(options, applicationName)),
  };
}

function configOf(options: DatabaseOptions, applicationName: string): pg.ClientConfig {
  const { host, port = 5432, database, user, password, tls } = options;
  const statementMs = durationMs(options.statementTimeout ?? '1 min');
  const settings: Readonly<Record<string, string | number>> = {
    DateStyle: 'ISO',
    TimeZone: 'UTC',
    IntervalStyle: 'iso_8601',
    extra_float_digits: 3,
    lock_timeout: durationMs(options.lockTimeout ?? '10 s'),
    statement_timeout: statementMs,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
  };
  return {
    ...{ host, port, database, user },
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { ssl: { ...tls } }),
    application_name: applicationName,
    connectionTimeoutMillis: durationMs(options.connectTimeout ?? '10 s'),
    query_timeout: statementMs + ANSWER_GRACE_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    options: Object.entries(settings)
      .map(([key, value]) => `-c ${key}=${value}`)
      .join(' '),
    types: AS_TEXT,
  };
}

/** A stream has no answer until it ends: timeouts of statements are not for it. */
function replicationConfigOf(options: DatabaseOptions, applicationName: string): pg.ClientConfig {
  const { query_timeout: _, ...config } = configOf(options, applicationName);
  // Not among the declared options of the client, which passes it on to the server.
  return { ...config, ...({ replication: 'database' } as object) };
}

/** Values stay the text that the server sent: what they become is decided by schema, not by the client. */
const AS_TEXT = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig; // all formats are text

/** What the client has beside its declared surface. */
interface WireConnection {
  readonly stream: { pause(): void; resume(): void; destroy(): void };
  on(event: 'copyData', listener: (message: { readonly chunk: Buffer }) => void): void;
  on(event: 'replicationStart', listener: () => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
}

class PgSession implements ReplicationSession {
  readonly #name: string;
  readonly #client: pg.Client;
  #alive = true;
  #onEnd: ((error: Error) => void) | undefined;

  private constructor(name: string, client: pg.Client) {
    this.#name = name;
    this.#client = client;
    client.on('error', (error) => this.#ended(error));
    client.on('end', () =>
      this.#ended(new pg.DatabaseError('the connection was closed', 0, 'error')),
    );
  }

  static async connect(name: string, config: pg.ClientConfig): Promise<PgSession> {
    const client = new pg.Client(config);
    const session = new PgSession(name, client);
    try {
      await client.connect();
    } catch (error) {
      session.#abandon();
      throw sqlFailure(`connecting to ${name}`, error);
    }
    return session;
  }

  get alive(): boolean {
    return this.#alive;
  }

  async query(text: string, values: readonly SqlValue[] = []): Promise<readonly TextRow[]> {
    try {
      const { rows } = await (values.length === 0
        ? this.#client.query<TextRow>(text)
        : this.#client.query<TextRow>(text, [...values]));
      return rows;
    } catch (error) {
      // The server is still busy with a statement that was given up, or is gone.
      if (isBroken(error)) this.#abandon();
      throw sqlFailure(`PostgreSQL ${this.#name}`, error);
    }
  }

  stream(
    command: string,
    onMessage: (message: Buffer) => void,
    onEnd: (error: Error) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onEnd = reject;
      this.#wire.on('replicationStart', () => {
        this.#onEnd = onEnd;
        resolve();
      });
      // The client uses its buffer again.
      this.#wire.on('copyData', ({ chunk }) => onMessage(Buffer.from(chunk)));
      this.#client.query(command).then(
        () => this.#ended(new pg.DatabaseError('the server ended the stream', 0, 'error')),
        (error: Error) => this.#ended(error),
      );
    });
  }

  send(message: Buffer): void {
    if (this.#alive) this.#wire.sendCopyFromChunk(message);
  }

  pause(): void {
    this.#wire.stream.pause();
  }

  resume(): void {
    this.#wire.stream.resume();
  }

  async close(): Promise<void> {
    this.#onEnd = undefined;
    this.#abandon();
  }

  get #wire(): WireConnection {
    return (this.#client as unknown as { readonly connection: WireConnection }).connection; // there in every version of the client
  }

  #ended(error: Error): void {
    this.#abandon();
    const onEnd = this.#onEnd;
    this.#onEnd = undefined;
    onEnd?.(sqlFailure(`PostgreSQL ${this.#name}`, error));
  }

  /** The server rolls back what was open. A polite farewell would wait for a server that may be frozen. */
  #abandon(): void {
    this.#alive = false;
    this.#wire.stream.destroy();
  }
}
