/**
 * Counters and gauges of a task under Flink's names; plain fields, read when somebody asks.
 *
 * `busyTimeMsPerSecond`, `idleTimeMsPerSecond` and `backPressuredTimeMsPerSecond` are averages since the last reading and add up to 1,000.
 */
import type { Counter, MetricGroup } from '../operators/contract.ts';
import type { TaskTime } from './task-time.ts';

class PlainCounter implements Counter {
  value = 0;
  inc(by: number): void {
    this.value += by;
  }
}

export class TaskMetrics implements MetricGroup {
  readonly #counters = new Map<string, PlainCounter>();
  readonly #gauges = new Map<string, () => number>();
  readonly #time: TaskTime;
  #lastTime: ReturnType<TaskTime['read']> = { idleMs: 0, backPressuredMs: 0, totalMs: 0 };

  constructor(time: TaskTime) {
    this.#time = time;
  }

  /** Operators of a task that count the same thing count together. */
  counter(name: string): Counter {
    let counter = this.#counters.get(name);
    if (counter === undefined) {
      counter = new PlainCounter();
      this.#counters.set(name, counter);
    }
    return counter;
  }

  gauge(name: string, read: () => number): void {
    this.#gauges.set(name, read);
  }

  read(): Readonly<Record<string, number>> {
    const values: Record<string, number> = {};
    for (const [name, { value }] of this.#counters) values[name] = value;
    for (const [name, read] of this.#gauges) values[name] = read();
    return { ...values, ...this.#readTime() };
  }

  #readTime(): Readonly<Record<string, number>> {
    const last = this.#lastTime;
    const time = this.#time.read();
    this.#lastTime = time;
    const seconds = (time.totalMs - last.totalMs) / 1000;
    if (seconds <= 0) return {};
    const idle = (time.idleMs - last.idleMs) / seconds;
    const backPressured = (time.backPressuredMs - last.backPressuredMs) / seconds;
    return {
      idleTimeMsPerSecond: idle,
      backPressuredTimeMsPerSecond: backPressured,
      busyTimeMsPerSecond: Math.max(0, 1000 - idle - backPressured),
    };
  }
}
