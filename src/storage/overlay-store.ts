/**
 * A store over another: what is here is read here, what is not is read there; everything that is written, listed or deleted is so here. The other
 * store is never changed.
 *
 * Cost: a read of what is there asks here first.
 */
import { isMillraceError } from '../base/errors.ts';
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

export class OverlayStore implements ObjectStore {
  readonly #here: ObjectStore;
  readonly #there: ObjectStore;

  constructor(here: ObjectStore, there: ObjectStore) {
    this.#here = here;
    this.#there = there;
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    try {
      return await this.#here.get(key, range, signal);
    } catch (error) {
      if (!isMillraceError(error) || error.code !== 'OBJECT_NOT_FOUND') throw error;
      return this.#there.get(key, range, signal);
    }
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    return (await this.#here.head(key, signal)) ?? this.#there.head(key, signal);
  }

  put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    return this.#here.put(key, bytes, signal);
  }

  putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    return this.#here.putIfAbsent(key, bytes, signal);
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    return this.#here.putIfMatch(key, bytes, etag, signal);
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#here.delete(key, signal);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    return this.#here.list(prefix, signal);
  }

  async close(): Promise<void> {
    await this.#here.close();
    await this.#there.close();
  }
}
