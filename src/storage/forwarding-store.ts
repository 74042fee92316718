/** A store that hands everything on to another: what wraps a store and changes a part of it begins here. */
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

export class ForwardingStore implements ObjectStore {
  protected readonly inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    return this.inner.get(key, range, signal);
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    return this.inner.head(key, signal);
  }

  put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    return this.inner.put(key, bytes, signal);
  }

  putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    return this.inner.putIfAbsent(key, bytes, signal);
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    return this.inner.putIfMatch(key, bytes, etag, signal);
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.inner.delete(key, signal);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    return this.inner.list(prefix, signal);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
