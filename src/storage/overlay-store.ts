/**
 * A store over another: what is here is read here, what is not is read there; everything that is written, listed or deleted is so here. The other
 * store is never changed.
 *
 * Cost: a read of what is there asks here first.
 */
import { isMillraceError } from '../base/errors.ts';
import { ForwardingStore } from './forwarding-store.ts';
import type { ByteRange, ObjectMeta, ObjectStore } from './object-store.ts';

export class OverlayStore extends ForwardingStore {
  readonly #there: ObjectStore;

  constructor(here: ObjectStore, there: ObjectStore) {
    super(here);
    this.#there = there;
  }

  override async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    try {
      return await this.inner.get(key, range, signal);
    } catch (error) {
      if (!isMillraceError(error) || error.code !== 'OBJECT_NOT_FOUND') throw error;
      return this.#there.get(key, range, signal);
    }
  }

  override async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    return (await this.inner.head(key, signal)) ?? this.#there.head(key, signal);
  }

  override async close(): Promise<void> {
    await this.inner.close();
    await this.#there.close();
  }
}
