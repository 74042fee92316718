/** Reads of one file that are repeated while its store does not answer, until the reader closes. */
import { isMillraceError } from '../../src/base/errors.ts';
import type { Timers } from '../../src/base/world.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';

const READ_ATTEMPTS_MAX = 8;
const READ_PAUSE_MS = 100;

export class FileReads {
  readonly #store: ObjectStore;
  readonly #key: string;
  readonly #timers: Timers;
  readonly #abort = new AbortController();

  constructor(store: ObjectStore, key: string, timers: Timers) {
    this.#store = store;
    this.#key = key;
    this.#timers = timers;
  }

  get closed(): boolean {
    return this.#abort.signal.aborted;
  }

  close(): void {
    this.#abort.abort();
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { signal } = this.#abort;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#store.get(this.#key, { offset, length }, signal);
      } catch (error) {
        const retry = isMillraceError(error) && error.kind === 'unavailable';
        if (signal.aborted || !retry || attempt >= READ_ATTEMPTS_MAX) throw error;
        await this.pause(READ_PAUSE_MS * 2 ** (attempt - 1));
      }
    }
  }

  /** Ends early at `close`. */
  pause(delayMs: number): Promise<void> {
    const { signal } = this.#abort;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        timer.cancel();
        resolve();
      };
      const timer = this.#timers.after(delayMs, done);
      signal.addEventListener('abort', done);
    });
  }
}
