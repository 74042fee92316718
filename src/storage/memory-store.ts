/** Objects in memory: for tests, and for jobs that keep no checkpoints. */
import { checkKey, checkPrefix, checkRange, objectNotFound } from './object-key.ts';
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

interface Stored {
  readonly bytes: Uint8Array;
  readonly etag: ETag;
}

export class MemoryStore implements ObjectStore {
  readonly #objects = new Map<string, Stored>();
  #versions = 0;

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkKey(key);
    signal?.throwIfAborted();
    const stored = this.#objects.get(key);
    if (stored === undefined) throw objectNotFound(key);
    if (range === undefined) return stored.bytes.slice();
    checkRange(key, range, stored.bytes.length);
    return stored.bytes.slice(range.offset, range.offset + range.length);
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    checkKey(key);
    signal?.throwIfAborted();
    const stored = this.#objects.get(key);
    return stored === undefined ? undefined : { key, size: stored.bytes.length, etag: stored.etag };
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    checkKey(key);
    signal?.throwIfAborted();
    return this.#store(key, bytes);
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    checkKey(key);
    signal?.throwIfAborted();
    if (this.#objects.has(key)) return { outcome: 'conflict' };
    return { outcome: 'stored', etag: this.#store(key, bytes) };
  }

  async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    checkKey(key);
    signal?.throwIfAborted();
    if (this.#objects.get(key)?.etag !== etag) return { outcome: 'conflict' };
    return { outcome: 'stored', etag: this.#store(key, bytes) };
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    checkKey(key);
    signal?.throwIfAborted();
    this.#objects.delete(key);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    checkPrefix(prefix);
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    for (const key of keys) {
      signal?.throwIfAborted();
      const stored = this.#objects.get(key);
      if (stored !== undefined) yield { key, size: stored.bytes.length, etag: stored.etag };
    }
  }

  async close(): Promise<void> {}

  #store(key: string, bytes: Uint8Array): ETag {
    const etag = `v${++this.#versions}`;
    // Not bytes.slice(): of a Buffer that is a view, and the caller may write into it again.
    this.#objects.set(key, { bytes: new Uint8Array(bytes), etag });
    return etag;
  }
}
