/** Stores of the state benchmarks: a folder, and a remote one as a folder that answers late. */
import { setTimeout as delay } from 'node:timers/promises';
import { realWorld } from '../../src/base/real-world.ts';
import type { TableFiles } from '../../src/lsm/table-files.ts';
import { LocalStore } from '../../src/storage/local-store.ts';
import type {
  ByteRange,
  ConditionalPut,
  ETag,
  ObjectMeta,
  ObjectStore,
} from '../../src/storage/object-store.ts';

export const localStore = (folder: string): LocalStore => new LocalStore(folder, realWorld().ids);

/** Answers every request `delayMs` later, and counts. */
export class LateStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #delayMs: number;
  gets = 0;
  puts = 0;
  bytesRead = 0;

  constructor(inner: ObjectStore, delayMs: number) {
    this.#inner = inner;
    this.#delayMs = delayMs;
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    this.gets++;
    await delay(this.#delayMs);
    const bytes = await this.#inner.get(key, range, signal);
    this.bytesRead += bytes.length;
    return bytes;
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    await delay(this.#delayMs);
    return this.#inner.head(key, signal);
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    this.puts++;
    await delay(this.#delayMs);
    return this.#inner.put(key, bytes, signal);
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    this.puts++;
    await delay(this.#delayMs);
    return this.#inner.putIfAbsent(key, bytes, signal);
  }

  async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    this.puts++;
    await delay(this.#delayMs);
    return this.#inner.putIfMatch(key, bytes, etag, signal);
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#inner.delete(key, signal);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    return this.#inner.list(prefix, signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

let attempts = 0;

/** Every file an object of its own. */
export function plainFiles(store: ObjectStore): TableFiles {
  const attempt = `a${attempts++}`;
  let files = 0;
  return {
    async write(bytes) {
      const id = `${attempt}-${files++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
}

export const yieldToLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
