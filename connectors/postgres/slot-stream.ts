/**
 * The stream of a slot that lasts: taken over from a predecessor, opened when it is needed, and opened again from where the reader stands
 * when a connection breaks.
 */
import { MillraceError } from '../../src/base/errors.ts';
import type { Clock, Logger, Timers } from '../../src/base/world.ts';
import type { ChangeStream } from './change-stream.ts';
import type { Database } from './database.ts';
import { LastingSession } from './lasting-session.ts';
import { lsnText, parseLsn } from './lsn.ts';
import type { PostgresSplit } from './postgres-split.ts';
import type { WalMessage } from './replication-messages.ts';
import { findSlot, systemOf } from './source-preparation.ts';
import { WalStream } from './wal-stream.ts';

export interface SlotStreamOptions {
  readonly database: Database;
  readonly split: PostgresSplit;
  readonly publication: string;
  readonly bufferBytes: number;
  readonly persistMs: number;
  /** Of this reader alone. */
  readonly applicationName: string;
  readonly services: {
    readonly clock: Clock;
    readonly timers: Timers;
    readonly logger: Logger;
  };
}

const ADVANCE_MS_MAX = 5000;

export class SlotStream {
  readonly #options: SlotStreamOptions;
  readonly #control: LastingSession;
  #wal: WalStream | undefined;
  #wake: (() => void) | undefined;
  #confirmed: bigint | undefined;
  #closed = false;

  constructor(options: SlotStreamOptions) {
    this.#options = options;
    const { database, persistMs, applicationName, services } = options;
    this.#control = new LastingSession({ database, persistMs, applicationName, services });
  }

  /** Checks that the slot has what follows `from`, ends whoever reads it, and reads it: from then on it is taken. @throws `data` PG_SLOT_LOST, PG_SLOT_AHEAD, PG_OTHER_SERVER */
  async take(from: bigint): Promise<void> {
    const { database, split } = this.#options;
    const system = await this.persist(() => systemOf(database));
    if (system !== split.system)
      throw gone(
        'PG_OTHER_SERVER',
        `the slot ${split.slot} was of another server (system ${split.system}, this one is ${system}): places in its log mean nothing here`,
      );
    await this.persist(() => this.#open(from, true));
  }

  /** Runs what may be repeated while the server is unavailable. */
  persist<T>(act: () => Promise<T>): Promise<T> {
    return this.#control.persist(act);
  }

  /** The next message, if one is there. */
  next(): WalMessage | undefined {
    return this.#wal?.take();
  }

  /** Settles when there may be a message. */
  async ready<T>(stream: ChangeStream<T>): Promise<void> {
    if (this.#wal === undefined) {
      await this.persist(() => this.#open(stream.place.lsn, false));
      return;
    }
    if (this.#wal.failure === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#wake = undefined;
    const failure = this.#wal?.failure;
    if (failure === undefined || this.#closed) return;
    if ((failure as { kind?: unknown }).kind !== 'unavailable') throw failure; // ours, all of them
    await this.#wal?.close();
    this.#wal = undefined;
    stream.restart();
  }

  /** A slot that nobody reads any more is moved on by itself; a server that cannot do so keeps more log than it has to. */
  async confirm(lsn: bigint): Promise<void> {
    this.#confirmed = lsn;
    if (this.#closed) await this.#advance(lsn);
    else this.#wal?.confirm(lsn);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#control.close();
    await this.#wal?.close();
  }

  async #advance(lsn: bigint): Promise<void> {
    const { database, applicationName, services, split } = this.#options;
    const session = new LastingSession({
      ...{ database, applicationName, services, persistMs: ADVANCE_MS_MAX },
    });
    try {
      await session.persist((open) =>
        open.query('SELECT pg_replication_slot_advance($1, $2::pg_lsn)', [
          split.slot,
          lsnText(lsn),
        ]),
      );
    } catch (error) {
      services.logger.log('debug', `could not move the slot ${split.slot} on`, {
        reason: String(error),
      });
    } finally {
      await session.close();
    }
  }

  async #open(from: bigint, takeOver: boolean): Promise<void> {
    await this.#check(from, takeOver);
    const { database, applicationName, split, publication, bufferBytes, services } = this.#options;
    const wal = await WalStream.open({
      ...{ database, applicationName, publication, from, bufferBytes, services },
      slot: split.slot,
      onChange: () => this.#wake?.(),
    });
    if (this.#closed) await wal.close();
    else this.#wal = wal;
    if (this.#confirmed !== undefined) wal.confirm(this.#confirmed);
  }

  async #check(from: bigint, takeOver: boolean): Promise<void> {
    const { slot } = this.#options.split;
    const session = await this.#control.get();
    const found = await findSlot(session, slot);
    if (found === undefined || found === 'lost')
      throw gone(
        'PG_SLOT_LOST',
        `the slot ${slot} ${found === undefined ? 'is not there any more' : 'has lost log that it needs (max_slot_wal_keep_size)'}: what has changed since ${lsnText(from)} cannot be read`,
      );
    if (parseLsn(found.lsn) > from)
      throw gone(
        'PG_SLOT_AHEAD',
        `the slot ${slot} was confirmed up to ${found.lsn}, and this checkpoint goes on from ${lsnText(from)}: the changes in between are gone. A newer checkpoint was completed, or the slot was made anew`,
      );
    if (found.pid === undefined) return;
    if (!takeOver && found.application !== this.#options.applicationName)
      throw new MillraceError(
        'unavailable',
        'PG_REPLACED',
        `another reader (${found.application}) has taken over the slot ${slot}; if two jobs read by it, give one another slot`,
      );
    await session.query('SELECT pg_terminate_backend($1::int)', [found.pid]);
    throw new MillraceError('unavailable', 'PG_PREDECESSOR_ENDING', `the slot ${slot} is in use`);
  }
}

const gone = (code: string, message: string): MillraceError =>
  new MillraceError(
    'data',
    code,
    `${message}. Start the source without its state: it reads the tables anew`,
    { details: { permanent: true } },
  );
