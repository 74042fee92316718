/**
 * A session that comes back: opened when it is needed, given up when it breaks, and what was under way tried again for a while.
 *
 * It owns an advisory lock of the database, if it is given one: whoever opens later ends the session that holds it. A session that was replaced
 * does not take the lock back (`PG_REPLACED`), so that a frozen process that comes back cannot write.
 */
import { MillraceError } from '../../src/base/errors.ts';
import type { Clock, Timers } from '../../src/base/world.ts';
import type { Database, Session } from './database.ts';
import { isUnavailable } from './sql-errors.ts';

/** A lock by two numbers of 32 bits, and which others are taken over with it. */
export interface Ownership {
  /** Whose: one sink. */
  readonly space: number;
  /** Which of them is ours. */
  readonly number: number;
  /** Numbers that are equal to ours modulo this are predecessors. */
  readonly modulo: number;
}

export interface LastingSessionOptions {
  readonly database: Database;
  readonly applicationName: string;
  readonly persistMs: number;
  readonly ownership?: Ownership;
  readonly services: { readonly clock: Clock; readonly timers: Timers };
}

const PAUSE_MS = 50;
const PAUSE_MS_MAX = 1000;

export class LastingSession {
  readonly #options: LastingSessionOptions;
  #session: Session | undefined;
  /** The lock was ours once: it is not taken from anybody again. */
  #owned = false;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(options: LastingSessionOptions) {
    this.#options = options;
  }

  /** The session as it is, opened if need be; once. @throws what opening throws */
  async get(): Promise<Session> {
    if (this.#closed) throw cancelled();
    const open = this.#session;
    if (open?.alive === true) return open;
    const { database, applicationName } = this.#options;
    const session = await database.open(applicationName);
    try {
      await session.query(SAFE_COMMITS);
      await this.#own(session);
      if (this.#closed) throw cancelled();
    } catch (error) {
      await session.close();
      throw error;
    }
    this.#session = session;
    return session;
  }

  /** Runs what may be repeated; again for `persistMs` while the server is unavailable. */
  async persist<T>(act: (session: Session) => Promise<T>): Promise<T> {
    const { clock } = this.#options.services;
    const deadlineMs = clock.monotonicMs() + this.#options.persistMs;
    for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(PAUSE_MS_MAX, pauseMs * 2)) {
      try {
        return await act(await this.get());
      } catch (error) {
        if (!isUnavailable(error) || isReplaced(error)) throw error;
        if (clock.monotonicMs() + pauseMs > deadlineMs || this.#closed) throw error;
      }
      await this.#pause(pauseMs);
    }
  }

  /** All of it or nothing. A failure rolls back; one without an answer leaves it to the server. */
  async transaction<T>(act: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.get();
    await session.query('BEGIN');
    let result: T;
    try {
      result = await act(session);
      await session.query('COMMIT');
    } catch (error) {
      // A session in which rolling back fails is broken, and says so to whoever uses it next.
      if (session.alive) await session.query('ROLLBACK').catch(() => session.close());
      throw error;
    }
    return result;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#session?.close();
  }

  async #own(session: Session): Promise<void> {
    const { ownership } = this.#options;
    if (ownership === undefined) return;
    const { space, number, modulo } = ownership;
    if (!this.#owned) await session.query(END_PREDECESSORS, [space, number, modulo]);
    const [row] = await session.query('SELECT pg_try_advisory_lock($1, $2)::text AS locked', [
      ...[space, number],
    ]);
    if (row?.['locked'] === 'true') {
      this.#owned = true;
      return;
    }
    throw this.#owned ? await this.#replacedOrLate(session, ownership) : held('is ending');
  }

  /** The lock is held by an own session whose end the server has not noticed, or by a successor. */
  async #replacedOrLate(session: Session, { space, number }: Ownership): Promise<MillraceError> {
    const [holder] = await session.query(HOLDER, [space, number]);
    if (holder === undefined) return held('has just ended');
    if (holder['application_name'] !== this.#options.applicationName) return replaced();
    await session.query('SELECT pg_terminate_backend($1::int)', [holder['pid'] ?? null]);
    return held('is ending');
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.services.timers.after(ms, () => resolve());
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** What was committed survives a crash of the server, whatever its default is. */
const SAFE_COMMITS = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`;

const OWN_LOCKS = `l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.objsubid = 2 AND l.classid = ($1::bigint & 4294967295)::oid`;

const END_PREDECESSORS = `SELECT pg_terminate_backend(l.pid)::text FROM pg_locks l WHERE ${OWN_LOCKS} AND l.objid::bigint % $3::int = $2::int % $3::int AND l.pid <> pg_backend_pid()`;

const HOLDER = `SELECT l.pid::text AS pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE ${OWN_LOCKS} AND l.objid = $2::int::oid`;

const held = (how: string): MillraceError =>
  new MillraceError(
    'unavailable',
    'PG_PREDECESSOR_ENDING',
    `the session of an earlier attempt ${how}`,
  );

/** Kind `unavailable`: should both live, a restart decides between them; the job master of a zombie does not restart it. */
const replaced = (): MillraceError =>
  new MillraceError(
    'unavailable',
    'PG_REPLACED',
    'another attempt has taken over what this one writes; if two jobs write under one name, stop one of them',
  );

const isReplaced = (error: unknown): boolean =>
  (error as { code?: unknown }).code === 'PG_REPLACED'; // any error has it or not

const cancelled = (): MillraceError =>
  new MillraceError('cancelled', 'PG_CLOSED', 'the connector was closed');
