/** Counters of a job's tasks, added up by vertex: `<vertex name>.<metric>`. Of each subtask the newest report counts. */
import { type Execution, placeOf } from './executions.ts';

export class JobMetrics {
  /** By subtask: vertex name and what it counted. */
  readonly #reports = new Map<string, readonly [string, Readonly<Record<string, number>>]>();
  restarts = 0;

  report(execution: Execution | undefined, values: Readonly<Record<string, number>>): void {
    if (execution === undefined) return;
    const { vertex } = execution;
    this.#reports.set(`${vertex.id} ${placeOf(execution)}`, [vertex.name, values]);
  }

  /** Most gauges have no sum: what is counted is named `num...`; what the state backend tells are sizes and counts. */
  total(more: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
    const sums = new Map<string, number>();
    for (const [vertex, values] of this.#reports.values()) {
      for (const [name, value] of Object.entries(values)) {
        const key = `${vertex}.${name}`;
        if (addsUp(name)) sums.set(key, (sums.get(key) ?? 0) + value);
      }
    }
    return { ...Object.fromEntries(sums), numRestarts: this.restarts, ...more };
  }
}

const addsUp = (name: string): boolean => name.startsWith('num') || name.startsWith('forst.');
