/** Counts requests and bytes of the store it wraps, and what they would cost at list prices. */
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

/** List prices of the big clouds, per million requests; reading within a region and deleting cost nothing. */
const DOLLARS_PER_PUT_OR_LIST = 5 / 1e6;
const DOLLARS_PER_GET = 0.4 / 1e6;
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
  readonly dollars: number;
}

type Kind = keyof StoreUsage['requests'];

/** @public */
export class MeteringStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #requests: Record<Kind, number> = { get: 0, head: 0, put: 0, delete: 0, list: 0 };
  #failures = 0;
  #bytesRead = 0;
  #bytesWritten = 0;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
  }

  /** So far. */
  get usage(): StoreUsage {
    const { get, head, put, list } = this.#requests;
    return {
      requests: { ...this.#requests },
      failures: this.#failures,
      bytesRead: this.#bytesRead,
      bytesWritten: this.#bytesWritten,
      dollars: (put + list) * DOLLARS_PER_PUT_OR_LIST + (get + head) * DOLLARS_PER_GET,
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
    try {
      return await request;
    } catch (error) {
      this.#failures++;
      throw error;
    }
  }
}
