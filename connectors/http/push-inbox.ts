/**
 * What was pushed: requests that wait to be read, and requests that wait for the checkpoint that holds their records.
 *
 *   offer ──▶ queued ──take──▶ taken ──acknowledge(checkpoint)──▶ accepted
 *     └─▶ duplicate | busy                        close ──▶ closed (from anywhere)
 *
 * Invariants
 *  I1  A request is answered `accepted` only when a complete checkpoint holds all of its records.
 *  I2  A key is taken once within the window of remembered keys, whatever attempts and restarts lie between: the keys are part of the position.
 *  I3  A request of which a checkpoint holds the first records only, and whose sender repeats it under the same key, goes on after them.
 *  I4  Bytes that wait to be read, and requests that wait for an answer, are bounded.
 *
 * Cost: a copy of the remembered keys for each batch.
 */
import { MillraceError } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';

export type PushOutcome =
  | { readonly kind: 'accepted'; readonly records: number }
  /** The key was taken before; its records are in a complete checkpoint. */
  | { readonly kind: 'duplicate' }
  /** Too much waits already (I4): nothing was taken. */
  | { readonly kind: 'busy' }
  /** The reader is closing: what becomes of the records is not known. */
  | { readonly kind: 'closed' };

export interface Push<T> {
  /** The sender's idempotency key. */
  readonly key: string | undefined;
  readonly values: readonly T[];
  /** When it arrived, epoch milliseconds: the timestamp of its records. */
  readonly timestamp: number;
  readonly bytes: number;
  readonly answer: (outcome: PushOutcome) => void;
}

export interface PushLimits {
  /** Of bodies that are being received or wait to be read. */
  readonly bufferBytesMax: number;
  /** Requests that wait for their answer. */
  readonly requestsMax: number;
  /** How many of the last keys are remembered; not less than `requestsMax`. */
  readonly keysMax: number;
}

interface Entry<T> extends Push<T> {
  /** Others with the same key that came meanwhile. */
  readonly followers: Push<T>['answer'][];
}

interface Waiting {
  /** How many requests had been read whole, this one included. */
  readonly number: number;
  readonly records: number;
  readonly answers: Push<unknown>['answer'][];
}

/** The place right after the last record read. */
export interface PushPosition {
  /** Requests read whole. */
  readonly requests: number;
  /** The last keys that were read whole, oldest first. */
  readonly keys: readonly string[];
  /** Requests of which the first records were read, and which their senders have not repeated yet. */
  readonly partials: readonly (readonly [key: string, records: number])[];
}

const START: PushPosition = { requests: 0, keys: [], partials: [] };
/** One comes from each restart at most; the oldest are given up. */
const PARTIALS_MAX = 16;

/** @throws `data` HTTP_BAD_POSITION */
export function pushPositionOf(position: JsonValue | undefined): PushPosition {
  if (position === undefined) return START;
  const { requests, keys, partials } = position as Partial<Record<keyof PushPosition, JsonValue>>;
  if (Number.isSafeInteger(requests) && Array.isArray(keys) && Array.isArray(partials))
    return position as unknown as PushPosition; // written by `position`
  throw new MillraceError(
    'data',
    'HTTP_BAD_POSITION',
    `the restored position of an HTTP source is ${JSON.stringify(position).slice(0, 200)}; restore with the source that wrote it, or start this one under another uid`,
  );
}

export class PushInbox<T> {
  readonly #limits: PushLimits;
  readonly #queue: Entry<T>[] = [];
  /** Keys in the queue. */
  readonly #queued = new Map<string, Entry<T>>();
  /** Read whole, oldest first, not in a complete checkpoint yet. */
  readonly #taken: Waiting[] = [];
  /** Keys of requests that were read whole, with their numbers, oldest first. */
  readonly #keys: Map<string, number>;
  /** I3; by key. */
  readonly #partials: Map<string, number>;
  #requests: number;
  #acknowledged: number;
  /** Of the first entry in the queue. */
  #recordsRead = 0;
  #bytes = 0;
  #waiting = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(limits: PushLimits, restored: PushPosition) {
    this.#limits = limits;
    this.#requests = restored.requests;
    this.#acknowledged = restored.requests;
    this.#partials = new Map(restored.partials);
    this.#keys = new Map(restored.keys.map((key) => [key, restored.requests]));
  }

  /** Room for a body that is about to be received; `release` gives it back. False: too much waits (I4). */
  reserve(bytes: number): boolean {
    const { bufferBytesMax, requestsMax } = this.#limits;
    if (this.#closed || this.#waiting >= requestsMax) return false;
    if (this.#bytes > 0 && this.#bytes + bytes > bufferBytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Takes a request over, or answers it at once. */
  offer(push: Push<T>): void {
    if (this.#closed) return push.answer({ kind: 'closed' });
    if (push.key !== undefined && this.#isKnown(push.key, push.answer)) return;
    if (this.#waiting >= this.#limits.requestsMax || !this.reserve(push.bytes))
      return push.answer({ kind: 'busy' });
    this.#waiting++;
    const entry: Entry<T> = { ...push, followers: [] };
    this.#queue.push(entry);
    if (push.key !== undefined) this.#queued.set(push.key, entry);
    this.#wake?.();
  }

  /** At most `max` records; of several requests, where there are. Undefined: nothing is there. */
  take(max: number): RecordBatch<T> | undefined {
    if (this.#queue.length === 0) return undefined;
    const values: T[] = [];
    const timestamps: number[] = [];
    while (values.length < max) {
      const entry = this.#queue[0];
      if (entry === undefined) break;
      if (this.#recordsRead === 0) this.#skipRead(entry);
      const to = Math.min(entry.values.length, this.#recordsRead + max - values.length);
      for (let i = this.#recordsRead; i < to; i++) {
        values.push(entry.values[i]!);
        timestamps.push(entry.timestamp);
      }
      this.#recordsRead = to;
      if (to === entry.values.length) this.#finish(entry);
    }
    return { values, timestamps: Float64Array.from(timestamps) };
  }

  /** Settles when `take` has something to give, or at `close`. */
  arrival(): Promise<void> {
    if (this.#queue.length > 0 || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  position(): PushPosition {
    const key = this.#queue[0]?.key;
    const partials = [...this.#partials];
    if (this.#recordsRead > 0 && key !== undefined) partials.push([key, this.#recordsRead]);
    return {
      requests: this.#requests,
      keys: [...this.#keys.keys()],
      partials: partials.slice(-PARTIALS_MAX),
    };
  }

  /** A checkpoint with this position is complete. */
  acknowledge({ requests }: PushPosition): void {
    this.#acknowledged = Math.max(this.#acknowledged, requests);
    while (this.#taken.length > 0 && this.#taken[0]!.number <= requests) {
      const { records, answers } = this.#taken.shift()!;
      this.#waiting -= answers.length;
      for (const answer of answers) answer({ kind: 'accepted', records });
    }
  }

  close(): void {
    this.#closed = true;
    const answers = [
      ...this.#taken.splice(0).flatMap(({ answers }) => answers),
      ...this.#queue.splice(0).flatMap(({ answer, followers }) => [answer, ...followers]),
    ];
    for (const answer of answers) answer({ kind: 'closed' });
    this.#wake?.();
  }

  /** I2: a repetition is answered with, or after, what it repeats. */
  #isKnown(key: string, answer: Push<T>['answer']): boolean {
    const number = this.#keys.get(key);
    if (number !== undefined && number <= this.#acknowledged) {
      answer({ kind: 'duplicate' });
      return true;
    }
    const followed =
      number === undefined
        ? this.#queued.get(key)?.followers
        : this.#taken.find((waiting) => waiting.number === number)?.answers;
    if (followed === undefined) return false;
    if (this.#waiting >= this.#limits.requestsMax) answer({ kind: 'busy' });
    else {
      followed.push(answer);
      this.#waiting++;
    }
    return true;
  }

  /** I3 */
  #skipRead({ key, values }: Entry<T>): void {
    if (key === undefined) return;
    const read = this.#partials.get(key);
    if (read === undefined) return;
    this.#recordsRead = Math.min(read, values.length);
    this.#partials.delete(key);
  }

  #finish({ key, bytes, answer, followers, values }: Entry<T>): void {
    this.#queue.shift();
    this.#recordsRead = 0;
    this.release(bytes);
    this.#requests++;
    this.#taken.push({
      number: this.#requests,
      records: values.length,
      answers: [answer, ...followers],
    });
    if (key === undefined) return;
    this.#queued.delete(key);
    this.#remember(key);
  }

  #remember(key: string): void {
    this.#keys.delete(key);
    this.#keys.set(key, this.#requests);
    if (this.#keys.size <= this.#limits.keysMax) return;
    const [oldest] = this.#keys.keys();
    this.#keys.delete(oldest!);
  }
}
