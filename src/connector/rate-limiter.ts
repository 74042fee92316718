/** So many records a second, evenly: small batches at intervals instead of a burst a second. Shared by the splits of one subtask. */
import { invalid } from '../base/errors.ts';
import type { Clock } from '../base/world.ts';
import { BATCH_SIZE_MAX } from '../types/record-batch.ts';

const BATCHES_PER_SECOND = 20;

export class RateLimiter {
  readonly #recordsPerSecond: number;
  readonly #clock: Clock;
  /** When what has been booked so far is paid for. */
  #freeAtMs: number;

  /** @throws `invalid` BAD_RATE */
  constructor(recordsPerSecond: number, clock: Clock) {
    if (!(recordsPerSecond > 0))
      throw invalid('BAD_RATE', `a rate of ${recordsPerSecond} records a second; it is positive`);
    this.#recordsPerSecond = recordsPerSecond;
    this.#clock = clock;
    this.#freeAtMs = clock.monotonicMs();
  }

  /** The largest batch that keeps the flow even. */
  get batchSize(): number {
    const even = Math.floor(this.#recordsPerSecond / BATCHES_PER_SECOND);
    return Math.max(1, Math.min(BATCH_SIZE_MAX, even));
  }

  /** Books `records`: how many milliseconds to wait before they may go. */
  book(records: number): number {
    const nowMs = this.#clock.monotonicMs();
    const goAtMs = Math.max(this.#freeAtMs, nowMs);
    this.#freeAtMs = goAtMs + (records * 1000) / this.#recordsPerSecond;
    return goAtMs - nowMs;
  }
}
