/** A store that is as far away as it is told: every request takes that much longer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ForwardingStore } from '../src/storage/forwarding-store.ts';
import type {
  ByteRange,
  ConditionalPut,
  ETag,
  ObjectMeta,
  ObjectStore,
} from '../src/storage/object-store.ts';

export class DelayedStore extends ForwardingStore {
  readonly #latencyMs: number;

  constructor(inner: ObjectStore, latencyMs: number) {
    super(inner);
    this.#latencyMs = latencyMs;
  }

  override async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    await this.#delay(signal);
    return super.get(key, range, signal);
  }

  override async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    await this.#delay(signal);
    return super.head(key, signal);
  }

  override async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    await this.#delay(signal);
    return super.put(key, bytes, signal);
  }

  override async putIfAbsent(
    key: string,
    bytes: Uint8Array,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    await this.#delay(signal);
    return super.putIfAbsent(key, bytes, signal);
  }

  override async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    await this.#delay(signal);
    return super.putIfMatch(key, bytes, etag, signal);
  }

  override async delete(key: string, signal?: AbortSignal): Promise<void> {
    await this.#delay(signal);
    return super.delete(key, signal);
  }

  override async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    await this.#delay(signal);
    yield* super.list(prefix, signal);
  }

  #delay(signal: AbortSignal | undefined): Promise<void> {
    return this.#latencyMs === 0
      ? Promise.resolve()
      : sleep(this.#latencyMs, undefined, signal === undefined ? {} : { signal });
  }
}
