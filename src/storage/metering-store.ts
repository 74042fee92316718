/** Counts requests, bytes and time of the store it wraps, and what they would cost: two additions and two looks at the clock a request. */
import type { Clock } from '../base/world.ts';
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

/** Dollars per million requests of a kind. */
export interface StorePrices {
  readonly get: number;
  readonly head: number;
  readonly put: number;
  readonly delete: number;
  readonly list: number;
}

/** List prices of Amazon S3 Standard; bytes read within a region cost nothing. */
const S3_STANDARD: StorePrices = { get: 0.4, head: 0.4, put: 5, delete: 0, list: 5 };

export interface MeteringOptions {
  readonly clock?: Clock;
  /** Default: list prices of Amazon S3 Standard. */
  readonly prices?: StorePrices;
}

/** A store answers a listing in pages of this many keys, each a request. */
const KEYS_PER_LIST = 1000;

export interface StoreUsage {
  /** Successful or not: a failed request was made all the same. */
  readonly requests: {
    readonly get: number;
    readonly head: number;
    /** Of all three kinds. */
    readonly put: number;
    readonly delete: number;
    /** Pages of 1,000 keys. */
    readonly list: number;
  };
  readonly failures: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Summed over all requests but listings, also those under way at the same time; 0 without a clock. */
  readonly waitedMs: number;
  readonly dollars: number;
}

type Kind = keyof StoreUsage['requests'];

/** @public */
export class MeteringStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #requests: Record<Kind, number> = { get: 0, head: 0, put: 0, delete: 0, list: 0 };
  readonly #clock: Clock | undefined;
  readonly #prices: StorePrices;
  #failures = 0;
  #waitedMs = 0;
  #bytesRead = 0;
  #bytesWritten = 0;

  constructor(inner: ObjectStore, { clock, prices = S3_STANDARD }: MeteringOptions = {}) {
    this.#inner = inner;
    this.#clock = clock;
    this.#prices = prices;
  }

  /** So far. */
  get usage(): StoreUsage {
    const { get, head, put, delete: deletes, list } = this.#requests;
    const prices = this.#prices;
    const microDollars =
      get * prices.get +
      head * prices.head +
      put * prices.put +
      deletes * prices.delete +
      list * prices.list;
    return {
      requests: { ...this.#requests },
      failures: this.#failures,
      bytesRead: this.#bytesRead,
      bytesWritten: this.#bytesWritten,
      waitedMs: this.#waitedMs,
      dollars: microDollars / 1e6,
    };
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.#count('get', this.#inner.get(key, range, signal));
    this.#bytesRead += bytes.length;
    return bytes;
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    return this.#count('head', this.#inner.head(key, signal));
  }

  put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    this.#bytesWritten += bytes.length;
    return this.#count('put', this.#inner.put(key, bytes, signal));
  }

  putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    this.#bytesWritten += bytes.length;
    return this.#count('put', this.#inner.putIfAbsent(key, bytes, signal));
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    this.#bytesWritten += bytes.length;
    return this.#count('put', this.#inner.putIfMatch(key, bytes, etag, signal));
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#count('delete', this.#inner.delete(key, signal));
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    this.#requests.list++;
    let keys = 0;
    try {
      for await (const meta of this.#inner.list(prefix, signal)) {
        if (keys > 0 && keys % KEYS_PER_LIST === 0) this.#requests.list++;
        keys++;
        yield meta;
      }
    } catch (error) {
      this.#failures++;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #count<T>(kind: Kind, request: Promise<T>): Promise<T> {
    this.#requests[kind]++;
    const startMs = this.#clock?.monotonicMs() ?? 0;
    try {
      return await request;
    } catch (error) {
      this.#failures++;
      throw error;
    } finally {
      this.#waitedMs += (this.#clock?.monotonicMs() ?? 0) - startMs;
    }
  }
}
