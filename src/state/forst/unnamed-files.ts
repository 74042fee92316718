/**
 * Deletes files that a worker's trees wrote and gave up before any snapshot named them, as compaction does between two checkpoints that are
 * far apart: nobody else knows of them, and the garbage collector would meet them only after the next start of the job.
 *
 * Invariants
 *  N1  Only what the tree that wrote it tells is deleted: no version that it gave out has the file (`TreeParams.unnamed`), so no manifest does.
 *  N2  Not before the grace period is over, since a read of this worker that began earlier may still be under way.
 *  N3  Packs are left alone: other trees have files in them.
 *
 * What is not deleted, because the worker ended or the store refused, is found by the sweep as ever. Cost: a delete per file.
 */
import type { Timer, Timers } from '../../base/world.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { isPack } from './packed-files.ts';

export class UnnamedFiles {
  readonly #store: Pick<ObjectStore, 'delete'>;
  readonly #timers: Pick<Timers, 'after'>;
  readonly #graceMs: number;
  readonly #waiting = new Set<Timer>();
  readonly #abort = new AbortController();

  constructor(params: {
    store: Pick<ObjectStore, 'delete'>;
    timers: Pick<Timers, 'after'>;
    graceMs: number;
  }) {
    this.#store = params.store;
    this.#timers = params.timers;
    this.#graceMs = params.graceMs;
  }

  giveUp(object: string): void {
    if (isPack(object) || this.#abort.signal.aborted) return;
    const timer = this.#timers.after(this.#graceMs, () => {
      this.#waiting.delete(timer);
      this.#store.delete(object, this.#abort.signal).catch(() => {});
    });
    this.#waiting.add(timer);
  }

  close(): void {
    this.#abort.abort();
    for (const timer of this.#waiting) timer.cancel();
    this.#waiting.clear();
  }
}
