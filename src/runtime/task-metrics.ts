/** Counters and gauges of a task under the field's names; plain fields, read when somebody asks. */
import type { Counter, MetricGroup } from '../operators/contract.ts';

class PlainCounter implements Counter {
  value = 0;
  inc(by: number): void {
    this.value += by;
  }
}

export class TaskMetrics implements MetricGroup {
  readonly #counters = new Map<string, PlainCounter>();
  readonly #gauges = new Map<string, () => number>();

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
    return values;
  }
}
