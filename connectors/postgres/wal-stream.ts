/**
 * What a slot decodes, as it comes: messages wait in a queue of limited size, beyond which nothing is taken from the network.
 *
 * The server keeps the log from what was confirmed on, so nothing is confirmed that no completed checkpoint has. It is told so every few
 * seconds, lest it takes us for dead.
 */
import { MillraceError } from '../../src/base/errors.ts';
import type { Clock, Timer, Timers } from '../../src/base/world.ts';
import type { Database, ReplicationSession } from './database.ts';
import { literal, quoted } from './identifiers.ts';
import { lsnText } from './lsn.ts';
import { decodeWal, encodeStatus, type WalMessage } from './replication-messages.ts';

export interface WalStreamOptions {
  readonly database: Database;
  readonly applicationName: string;
  readonly slot: string;
  readonly publication: string;
  readonly from: bigint;
  readonly bufferBytes: number;
  readonly services: { readonly clock: Clock; readonly timers: Timers };
  /** Something came, or the stream has ended. */
  readonly onChange: () => void;
}

const STATUS_INTERVAL_MS = 1000;
/** A server that is asked every second and says nothing for so long is given up. */
const SILENCE_MS_MAX = 60_000;
/** Of a message that waits, beside its bytes. */
const MESSAGE_BYTES = 64;

export class WalStream {
  readonly #options: WalStreamOptions;
  readonly #session: ReplicationSession;
  readonly #queue: WalMessage[] = [];
  #head = 0;
  #queuedBytes = 0;
  #paused = false;
  #confirmed: bigint;
  #heardMs: number;
  #timer: Timer | undefined;
  /** What ended it. */
  failure: Error | undefined;

  private constructor(options: WalStreamOptions, session: ReplicationSession) {
    this.#options = options;
    this.#session = session;
    this.#confirmed = options.from;
    this.#heardMs = options.services.clock.monotonicMs();
  }

  /** @throws `unavailable` PG_OBJECT_IN_USE while another session reads the slot */
  static async open(options: WalStreamOptions): Promise<WalStream> {
    const { database, applicationName, slot, publication, from } = options;
    const session = await database.openReplication(applicationName);
    const stream = new WalStream(options, session);
    try {
      await session.stream(
        `START_REPLICATION SLOT ${quoted(slot)} LOGICAL ${lsnText(from)} (proto_version '1', publication_names ${literal(quoted(publication))})`,
        (message) => stream.#onMessage(message),
        (error) => stream.#onEnd(error),
      );
    } catch (error) {
      await session.close();
      throw error;
    }
    stream.#statusLater();
    return stream;
  }

  /** The next message, if one is there. */
  take(): WalMessage | undefined {
    if (this.#head === this.#queue.length) return undefined;
    const message = this.#queue[this.#head++]!; // below the length
    this.#queuedBytes -= sizeOf(message);
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    }
    if (this.#paused && this.#queuedBytes <= this.#options.bufferBytes / 2) {
      this.#paused = false;
      this.#heardMs = this.#options.services.clock.monotonicMs();
      this.#session.resume();
    }
    return message;
  }

  /** The server need not keep what is before. */
  confirm(lsn: bigint): void {
    if (lsn <= this.#confirmed) return;
    this.#confirmed = lsn;
    this.#sendStatus(false);
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#session.close();
  }

  #onMessage(bytes: Buffer): void {
    this.#heardMs = this.#options.services.clock.monotonicMs();
    try {
      const message = decodeWal(bytes);
      if (message.type === 'keep-alive' && message.replyWanted) this.#sendStatus(false);
      this.#queue.push(message);
      this.#queuedBytes += sizeOf(message);
    } catch (error) {
      this.#onEnd(error as Error); // decodeWal throws our errors
      return;
    }
    if (!this.#paused && this.#queuedBytes > this.#options.bufferBytes) {
      this.#paused = true;
      this.#session.pause();
    }
    this.#options.onChange();
  }

  #onEnd(error: Error): void {
    this.failure ??= error;
    this.#timer?.cancel();
    this.#options.onChange();
  }

  /** Asks for a sign of life too: it says how far the log has come without a change for us. */
  #statusLater(): void {
    const { clock, timers } = this.#options.services;
    this.#timer = timers.after(STATUS_INTERVAL_MS, () => {
      if (!this.#paused && clock.monotonicMs() - this.#heardMs > SILENCE_MS_MAX) {
        this.#onEnd(silent());
        return;
      }
      this.#sendStatus(this.#queue.length === 0);
      this.#statusLater();
    });
  }

  #sendStatus(replyWanted: boolean): void {
    if (this.failure !== undefined) return;
    this.#session.send(
      encodeStatus({
        received: this.#confirmed,
        confirmed: this.#confirmed,
        wallMs: this.#options.services.clock.wallMs(),
        replyWanted,
      }),
    );
  }
}

const silent = (): MillraceError =>
  new MillraceError(
    'unavailable',
    'PG_UNAVAILABLE',
    `the server has said nothing for ${SILENCE_MS_MAX} ms`,
  );

const sizeOf = (message: WalMessage): number =>
  MESSAGE_BYTES + (message.type === 'data' ? message.message.length : 0);
