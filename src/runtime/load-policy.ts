/**
 * When what is missing is loaded: at once while few loads are under way, in batches while there are many. How large a batch grows follows
 * from how long loads take: with `LOADS_AIM` of them evenly spread over that time, a slow store is asked rarely for much, a fast one often
 * for little. Nothing waits for a batch to fill while the task has no other work, so that no timer is needed.
 */

/** Loads under way that are aimed at. */
const LOADS_AIM = 16;
const LOADS_MAX = 64;
/** Weight of the newest duration in the average. */
const NEWEST = 1 / 8;

export interface LoadPolicyOptions {
  /** Missing entries that are loaded without waiting for more. */
  readonly batchMax: number;
  /** What is missing waits for more at most so long. */
  readonly timeoutMs: number;
}

export interface LoadNeed {
  /** Entries noted as missing, or keys and functions that wait for the next load. */
  readonly missing: number;
  readonly nowMs: number;
  /** A marker or timers wait for it. */
  readonly urgent: boolean;
  /** The task has no other work. */
  readonly starved: boolean;
}

export class LoadPolicy {
  readonly #options: LoadPolicyOptions;
  #averageMs = 0;
  #loads = 0;
  /** Since when something is missing. */
  #sinceMs: number | undefined;

  constructor(options: LoadPolicyOptions) {
    this.#options = options;
  }

  get loadsInFlight(): number {
    return this.#loads;
  }

  get averageMs(): number {
    return this.#averageMs;
  }

  /** Whether a load begins now. */
  wants({ missing, nowMs, urgent, starved }: LoadNeed): boolean {
    if (urgent) return true;
    if (missing === 0) return false;
    if (this.#loads === 0) return true;
    if (this.#loads >= LOADS_MAX) return false;
    if (missing >= this.#options.batchMax || starved) return true;
    this.#sinceMs ??= nowMs;
    const patienceMs = Math.min(this.#options.timeoutMs, this.#averageMs / LOADS_AIM);
    return nowMs - this.#sinceMs >= patienceMs;
  }

  began(): void {
    this.#loads++;
    this.#sinceMs = undefined;
  }

  ended(durationMs: number): void {
    this.#loads--;
    this.#averageMs += (durationMs - this.#averageMs) * NEWEST;
  }
}
