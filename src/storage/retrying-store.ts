/**
 * Asks again when the store did not answer (`unavailable`), and finds out what became of a conditional put whose answer was lost.
 *
 * Waits grow exponentially with full jitter: a random part of min(delayMaxMs, delayMs * 2^n). A request ends with its last failure after
 * `attemptsMax` attempts, or when the next wait would take its waits beyond `waitBudgetMs`.
 *
 *  R1  A conditional put that failed may have happened. When a later attempt of it meets a conflict, the object is read: if it has our bytes
 *      it is taken as ours, `stored`; other bytes are a `conflict` - somebody else's object, or one that has replaced ours. Callers
 *      whose bytes could equal somebody else's put an id of theirs into them.
 *
 *  R2  All requests of a store draw their repetitions on one budget, which successes fill again. While a store is down for long, requests
 *      fail at their first attempt instead of adding to its load.
 *
 * Everything but conditional puts is idempotent and simply repeated.
 */
import { isMillraceError } from '../base/errors.ts';
import type { Random, Timers } from '../base/world.ts';
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

export interface RetryOptions {
  /** Default 8. */
  readonly attemptsMax?: number;
  /** Upper bound of the first wait. Default 50. */
  readonly delayMs?: number;
  /** Upper bound of every wait. Default 5,000. */
  readonly delayMaxMs?: number;
  /** Of all waits of one request. Default 20,000. */
  readonly waitBudgetMs?: number;
  /** Repetitions of all requests together before they need successes: each takes one, a success gives back a fifth. Default 500. */
  readonly repetitionsMax?: number;
}

const REPETITIONS_PER_SUCCESS = 0.2;

/** R2 */
class RepetitionBudget {
  readonly #max: number;
  #left: number;

  constructor(max: number) {
    this.#max = max;
    this.#left = max;
  }

  take(): boolean {
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  succeeded(): void {
    this.#left = Math.min(this.#max, this.#left + REPETITIONS_PER_SUCCESS);
  }
}

/** The waits of one request. */
class Waits {
  readonly #options: Required<RetryOptions>;
  readonly #world: RetryWorld;
  readonly #budget: RepetitionBudget;
  #attempts = 0;
  #waitedMs = 0;

  constructor(options: Required<RetryOptions>, world: RetryWorld, budget: RepetitionBudget) {
    this.#options = options;
    this.#world = world;
    this.#budget = budget;
  }

  /** Waits before the next attempt. @throws the failure if there is to be none, or the signal's reason */
  async next(failure: unknown, signal: AbortSignal | undefined): Promise<void> {
    if (!isMillraceError(failure) || failure.kind !== 'unavailable') throw failure;
    const { attemptsMax, delayMs, delayMaxMs, waitBudgetMs } = this.#options;
    const ceiling = Math.min(delayMaxMs, delayMs * 2 ** this.#attempts);
    // What the store asks for comes on top: everybody was told the same.
    const wait = retryAfterMs(failure.details) + this.#world.random.next() * ceiling;
    if (++this.#attempts >= attemptsMax || this.#waitedMs + wait > waitBudgetMs) throw failure;
    if (!this.#budget.take()) throw failure;
    this.#waitedMs += wait;
    await sleep(this.#world.timers, wait, signal);
  }
}

export interface RetryWorld {
  readonly timers: Timers;
  readonly random: Random;
}

/** @public */
export class RetryingStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #world: RetryWorld;
  readonly #options: Required<RetryOptions>;
  readonly #budget: RepetitionBudget;

  constructor(inner: ObjectStore, world: RetryWorld, options: RetryOptions = {}) {
    this.#inner = inner;
    this.#world = world;
    this.#options = {
      attemptsMax: 8,
      delayMs: 50,
      delayMaxMs: 5000,
      waitBudgetMs: 20_000,
      repetitionsMax: 500,
      ...options,
    };
    this.#budget = new RepetitionBudget(this.#options.repetitionsMax);
  }

  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#repeat(signal, () => this.#inner.get(key, range, signal));
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    return this.#repeat(signal, () => this.#inner.head(key, signal));
  }

  put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    return this.#repeat(signal, () => this.#inner.put(key, bytes, signal));
  }

  putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    return this.#resolve(key, bytes, signal, () => this.#inner.putIfAbsent(key, bytes, signal));
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    return this.#resolve(key, bytes, signal, () =>
      this.#inner.putIfMatch(key, bytes, etag, signal),
    );
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#repeat(signal, () => this.#inner.delete(key, signal));
  }

  /** Begins again after a failure, and passes over what it has given already. */
  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    const waits = new Waits(this.#options, this.#world, this.#budget);
    let last = '';
    for (;;) {
      try {
        for await (const meta of this.#inner.list(prefix, signal)) {
          if (last !== '' && meta.key <= last) continue;
          last = meta.key;
          yield meta;
        }
        this.#budget.succeeded();
        return;
      } catch (failure) {
        await waits.next(failure, signal);
      }
    }
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #repeat<T>(signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    const waits = new Waits(this.#options, this.#world, this.#budget);
    for (;;) {
      try {
        const answer = await request();
        this.#budget.succeeded();
        return answer;
      } catch (failure) {
        await waits.next(failure, signal);
      }
    }
  }

  /** R1 */
  async #resolve(
    key: string,
    bytes: Uint8Array,
    signal: AbortSignal | undefined,
    request: () => Promise<ConditionalPut>,
  ): Promise<ConditionalPut> {
    let mayHaveHappened = false;
    const put = await this.#repeat(signal, async () => {
      try {
        return await request();
      } catch (failure) {
        mayHaveHappened = true;
        throw failure;
      }
    });
    if (put.outcome === 'stored' || !mayHaveHappened) return put;
    const etag = await this.#repeat(signal, () => this.#etagOfOwn(key, bytes, signal));
    return etag === undefined ? put : { outcome: 'stored', etag };
  }

  /** The version of the object if it has these bytes. */
  async #etagOfOwn(
    key: string,
    bytes: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<ETag | undefined> {
    for (;;) {
      const meta = await this.#inner.head(key, signal);
      if (meta === undefined || meta.size !== bytes.length) return undefined;
      const found = await this.#inner.get(key, undefined, signal).catch(unlessMissing);
      if (found === undefined || Buffer.compare(found, bytes) !== 0) return undefined;
      // The bytes belong to that version only if it is still there afterwards.
      if ((await this.#inner.head(key, signal))?.etag === meta.etag) return meta.etag;
    }
  }
}

/** A store that throttles may say for how long. */
function retryAfterMs(details: Readonly<Record<string, unknown>>): number {
  const { retryAfterMs: after } = details;
  return typeof after === 'number' && after > 0 ? after : 0;
}

function unlessMissing(error: unknown): undefined {
  if (isMillraceError(error) && error.code === 'OBJECT_NOT_FOUND') return undefined;
  throw error;
}

function sleep(timers: Timers, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error); // whatever the caller aborted with
      return;
    }
    const timer = timers.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    const onAbort = (): void => {
      timer.cancel();
      reject(signal!.reason as Error); // whatever the caller aborted with
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
