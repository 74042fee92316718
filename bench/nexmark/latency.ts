/**
 * Latency at a rate: events become due evenly, a source yields what is due, and a sink compares when a result reaches it with when the event
 * that caused it was due. What waits before the source counts. Results that wait for a window or a timer have no such latency.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sink, Source } from '../../src/index.ts';
import { BATCH_SIZE_MAX } from '../../src/types/record-batch.ts';
import { eventSource } from './event-source.ts';
import type { Event } from './model.ts';

export interface LatencyFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly results: number;
}

/** Events before this are not measured: the code is still cold. */
const WARM_UP_MS = 2000;
const RUN_MS = 5000;
const POLL_MS = 1;

export class LatencyProbe {
  readonly #events: readonly Event[];
  readonly #perMs: number;
  readonly #latencies: number[] = [];
  /** The number of the first event of each millisecond of event time. */
  readonly #firstOf = new Map<number, number>();
  #startMs = 0;

  constructor(events: readonly Event[], eventsPerSecond: number) {
    this.#perMs = eventsPerSecond / 1000;
    this.#events = events.slice(0, Math.floor((WARM_UP_MS + RUN_MS) * this.#perMs));
    this.#events.forEach(({ dateTime }, n) => {
      if (!this.#firstOf.has(dateTime)) this.#firstOf.set(dateTime, n);
    });
  }

  /** One split. */
  source(): Source<Event> {
    const events = this.#events;
    let next = 0;
    const due = (): number =>
      Math.min(events.length, Math.floor((performance.now() - this.#startMs) * this.#perMs));
    const take = () => {
      const values = events.slice(next, Math.min(due(), next + BATCH_SIZE_MAX));
      next += values.length;
      return { values, timestamps: null };
    };
    return {
      ...eventSource([], { splits: 1, onStart: () => {} }),
      createReader: () => ({
        openSplit: async () => ({
          poll: () => {
            if (this.#startMs === 0) this.#startMs = performance.now();
            if (next === events.length) return null;
            return due() > next ? take() : sleep(POLL_MS).then(take);
          },
          position: () => next,
          close: async () => {},
        }),
        close: async () => {},
      }),
    };
  }

  sink(): Sink<unknown> {
    return {
      guarantee: 'at-least-once',
      accepted: true,
      createWriter: async () => ({
        write: ({ timestamps }) => {
          const first = this.#firstOf.get(timestamps?.[0] ?? Number.NaN);
          if (first === undefined) return;
          const dueMs = first / this.#perMs;
          if (dueMs >= WARM_UP_MS) this.#latencies.push(performance.now() - this.#startMs - dueMs);
        },
        flush: async () => {},
        close: async () => {},
      }),
    };
  }

  /** Of batches of results, by the oldest of each. */
  get figures(): LatencyFigures {
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
    return { p50Ms: at(0.5), p99Ms: at(0.99), results: sorted.length };
  }
}
