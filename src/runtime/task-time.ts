/**
 * Where a task's time goes: waiting for input (idle), waiting for credit or a blocked operator (back-pressured), or busy, which is all the
 * rest. The clock is read when a task begins and ends to wait, not for every step.
 */
import type { Clock } from '../base/world.ts';

export type Waiting = 'input' | 'credit';

export class TaskTime {
  readonly #clock: Clock;
  readonly #startedMs: number;
  #waiting: Waiting | undefined;
  #sinceMs = 0;
  #idleMs = 0;
  #backPressuredMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  /** The task has nothing to do until something of this kind arrives. */
  wait(waiting: Waiting): void {
    if (this.#waiting === waiting) return;
    const now = this.#clock.monotonicMs();
    this.#settle(now);
    this.#waiting = waiting;
    this.#sinceMs = now;
  }

  /** The task goes on. */
  work(): void {
    if (this.#waiting === undefined) return;
    this.#settle(this.#clock.monotonicMs());
    this.#waiting = undefined;
  }

  /**
   * Milliseconds during which the task could have taken input. Idleness is measured by it: a split whose records nobody fetches because
   * of backpressure is not idle.
   */
  receptiveMs(): number {
    const now = this.#clock.monotonicMs();
    return now - this.#startedMs - this.#backPressuredMs - this.#current('credit', now);
  }

  /** Milliseconds since the task was made, by kind. */
  read(): { readonly idleMs: number; readonly backPressuredMs: number; readonly totalMs: number } {
    const now = this.#clock.monotonicMs();
    return {
      idleMs: this.#idleMs + this.#current('input', now),
      backPressuredMs: this.#backPressuredMs + this.#current('credit', now),
      totalMs: now - this.#startedMs,
    };
  }

  #current(waiting: Waiting, now: number): number {
    return this.#waiting === waiting ? now - this.#sinceMs : 0;
  }

  #settle(now: number): void {
    this.#idleMs += this.#current('input', now);
    this.#backPressuredMs += this.#current('credit', now);
  }
}
