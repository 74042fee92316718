/**
 * Any object store with faults, by seed: for tests of what stands between the engine and a store. (Whole jobs use `sim-store.ts`, which knows
 * nodes that crash and freeze.)
 *
 *   latency   each way takes a fixed and a random time
 *   throttled a request fails before it has an effect, and is told when to come back
 *   refused   a request fails before it has an effect (`unavailable`)
 *   lost      it has its effect, and the caller gets `unavailable`
 *   torn      a plain put succeeds, but half the bytes are gone: a disk that lied about syncing and then lost power
 *   stale     a listing does not know of the latest change
 */
import { MillraceError } from '../base/errors.ts';
import type { Timers } from '../base/world.ts';
import type {
  ByteRange,
  ConditionalPut,
  ETag,
  ObjectMeta,
  ObjectStore,
} from '../storage/object-store.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface FaultyStoreOptions {
  readonly timers: Timers;
  readonly random: SeededRandom;
  /** Default 0. */
  readonly latencyMaxMs?: number;
  /** Of a whole request, on top: 0.068 for a store in the same rack, 1.5 for fast ones, 23 for S3. Default 0. */
  readonly latencyMs?: number;
  /** Default 0, as of all that follow. */
  readonly refusedProbability?: number;
  readonly throttledProbability?: number;
  readonly lostAnswerProbability?: number;
  readonly tornPutProbability?: number;
  readonly staleListProbability?: number;
}

const unanswered = (operation: string, key: string): MillraceError =>
  new MillraceError(
    'unavailable',
    'STORE_UNAVAILABLE',
    `${operation} of ${key}: the store did not answer`,
    { details: { key } },
  );

const RETRY_AFTER_MS = 100;

const throttled = (operation: string, key: string): MillraceError =>
  new MillraceError('unavailable', 'STORE_THROTTLED', `${operation} of ${key}: come back later`, {
    details: { key, retryAfterMs: RETRY_AFTER_MS },
  });

export class FaultyStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #options: FaultyStoreOptions;
  /** What the last change did, for listings that do not know it yet. */
  #lastChange: { readonly key: string; readonly before: ObjectMeta | undefined } | undefined;
  /** Faults so far: a test that met none has tested nothing. */
  faults = 0;

  constructor(inner: ObjectStore, options: FaultyStoreOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#request('get', key, () => this.#inner.get(key, range, signal));
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    return this.#request('head', key, () => this.#inner.head(key, signal));
  }

  put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    const torn = this.#chance(this.#options.tornPutProbability);
    const kept = torn ? bytes.subarray(0, bytes.length >> 1) : bytes;
    return this.#change('put', key, () => this.#inner.put(key, kept, signal));
  }

  putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    return this.#change('create', key, () => this.#inner.putIfAbsent(key, bytes, signal));
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    return this.#change('replace', key, () => this.#inner.putIfMatch(key, bytes, etag, signal));
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#change('delete', key, () => this.#inner.delete(key, signal));
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    const metas = await this.#request('list', prefix, async () => {
      const found: ObjectMeta[] = [];
      for await (const meta of this.#inner.list(prefix, signal)) found.push(meta);
      return found;
    });
    const stale = this.#lastChange;
    if (stale?.key.startsWith(prefix) !== true || !this.#chance(this.#options.staleListProbability))
      yield* metas;
    else
      yield* [
        ...metas.filter(({ key }) => key !== stale.key),
        ...(stale.before === undefined ? [] : [stale.before]),
      ].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #change<T>(operation: string, key: string, effect: () => Promise<T>): Promise<T> {
    return this.#request(operation, key, async () => {
      const before = await this.#inner.head(key);
      const result = await effect();
      this.#lastChange = { key, before };
      return result;
    });
  }

  async #request<T>(operation: string, key: string, effect: () => Promise<T>): Promise<T> {
    const { refusedProbability, throttledProbability, lostAnswerProbability } = this.#options;
    await this.#travel();
    if (throttledProbability !== undefined && this.#chance(throttledProbability))
      throw throttled(operation, key);
    if (this.#chance(refusedProbability)) throw unanswered(operation, key);
    const result = await effect();
    await this.#travel();
    if (this.#chance(lostAnswerProbability)) throw unanswered(operation, key);
    return result;
  }

  #chance(probability = 0): boolean {
    const happens = this.#options.random.chance(probability);
    if (happens) this.faults++;
    return happens;
  }

  #travel(): Promise<void> {
    const { timers, random, latencyMaxMs = 0, latencyMs = 0 } = this.#options;
    if (latencyMaxMs === 0 && latencyMs === 0) return Promise.resolve();
    const jitterMs = latencyMaxMs === 0 ? 0 : random.float(0, latencyMaxMs);
    return new Promise((resolve) => timers.after(latencyMs / 2 + jitterMs, resolve));
  }
}
