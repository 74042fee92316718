/**
 * Runs the tasks of one thread: cooperative, fair, and out of the way of I/O.
 *
 * A task is a state machine with a synchronous `step`. Tasks that have something to do stand in a ring; each gets a step in turn until
 * the quantum is over, then the event loop gets its turn. There is no promise per step.
 */
import type { Clock, Timers } from '../base/world.ts';

export interface Steppable {
  /** Does a bounded piece of work; true if there may be more to do at once. */
  step(): boolean;
}

/** How long tasks run between two turns of the event loop. */
const QUANTUM_MS = 5;

export class TaskScheduler {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #ready: Steppable[] = [];
  readonly #waiting = new Set<Steppable>();
  #scheduled = false;

  constructor(world: { readonly clock: Clock; readonly timers: Timers }) {
    this.#clock = world.clock;
    this.#timers = world.timers;
  }

  /** The task has something to do: mail, input, credit. Idempotent, callable from anywhere on the thread. */
  wake(task: Steppable): void {
    if (this.#waiting.has(task)) return;
    this.#waiting.add(task);
    this.#ready.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#timers.soon(() => this.#run());
  }

  #run(): void {
    const until = this.#clock.monotonicMs() + QUANTUM_MS;
    let task = this.#ready.shift();
    while (task !== undefined) {
      // Off the list first: what happens during the step may wake it again.
      this.#waiting.delete(task);
      if (task.step()) this.#again(task);
      if (this.#clock.monotonicMs() >= until) break;
      task = this.#ready.shift();
    }
    this.#scheduled = this.#ready.length > 0;
    if (this.#scheduled) this.#timers.soon(() => this.#run());
  }

  #again(task: Steppable): void {
    if (this.#waiting.has(task)) return;
    this.#waiting.add(task);
    this.#ready.push(task);
  }
}
