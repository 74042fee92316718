/** At most so many records a second, shared by the splits of a subtask, and smooth: batches are small. */
import type { Clock } from '../../src/base/world.ts';
import { BATCH_SIZE_MAX } from '../../src/types/record-batch.ts';

const BATCHES_PER_SECOND = 20;

export class RateLimiter {
  readonly #perSecond: number;
  readonly #clock: Clock;
  #nextMs: number;

  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#nextMs = clock.monotonicMs();
  }

  get batchSize(): number {
    const even = Math.floor(this.#perSecond / BATCHES_PER_SECOND);
    return Math.max(1, Math.min(BATCH_SIZE_MAX, even));
  }

  /** Books `records` and says how long to wait before they may go. */
  book(records: number): number {
    const now = this.#clock.monotonicMs();
    const waitMs = Math.max(0, this.#nextMs - now);
    this.#nextMs = Math.max(this.#nextMs, now) + (records * 1000) / this.#perSecond;
    return waitMs;
  }
}
