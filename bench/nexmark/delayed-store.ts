/** A store that is as far away as it is told: every request takes that much longer. */
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  ByteRange,
  ConditionalPut,
  ETag,
  ObjectMeta,
  ObjectStore,
} from '../../src/storage/object-store.ts';

export class DelayedStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #latencyMs: number;

  constructor(inner: ObjectStore, latencyMs: number) {
    this.#inner = inner;
    this.#latencyMs = latencyMs;
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    await this.#delay(signal);
    return this.#inner.get(key, range, signal);
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    await this.#delay(signal);
    return this.#inner.head(key, signal);
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    await this.#delay(signal);
    return this.#inner.put(key, bytes, signal);
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    await this.#delay(signal);
    return this.#inner.putIfAbsent(key, bytes, signal);
  }

  async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    await this.#delay(signal);
    return this.#inner.putIfMatch(key, bytes, etag, signal);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    await this.#delay(signal);
    return this.#inner.delete(key, signal);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    await this.#delay(signal);
    yield* this.#inner.list(prefix, signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #delay(signal: AbortSignal | undefined): Promise<void> {
    return this.#latencyMs === 0
      ? Promise.resolve()
      : sleep(this.#latencyMs, undefined, signal === undefined ? {} : { signal });
  }
}
