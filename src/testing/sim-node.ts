/**
 * A simulated process: what owns events, and what crashes, freezes and comes back as a zombie.
 *
 * Invariants
 *  N1  Everything that runs on a node runs as an event of the node. Code of a dead node never runs again: its timers, deliveries and
 *      answers are dropped, and promises that wait for them stay pending for ever, as they do in a process that was killed.
 *  N2  A frozen node runs nothing; what falls due meanwhile is held, and runs when it thaws, in the order in which it fell due.
 *  N3  An error that escapes from an event kills the node, as it kills a process.
 *  N4  Computing takes time: each reading of the monotonic clock moves the node's own time on a little, and an event that falls due
 *      while the node is still busy waits. Loops that run until a time slice is over therefore end, as they do in reality.
 *  N5  The death of a node is announced once, to listeners that belong to the simulation, not to the node.
 */
import { asError } from '../base/errors.ts';
import type { Timer } from '../base/world.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimScheduler } from './sim-scheduler.ts';

export type NodeState = 'running' | 'frozen' | 'dead';

/** A callback takes this long at least: virtual time passes even in a loop of `soon`. */
const SOON_MIN_MS = 0.001;
const SOON_MAX_MS = 0.03;
/** Mean of what a reading of the clock costs. */
const CPU_PER_READING_MS = 0.02;

export class SimNode {
  /** Name and incarnation, for traces. */
  readonly name: string;
  /** Its address in the simulated network. */
  readonly host: string;
  readonly scheduler: SimScheduler;
  readonly random: SeededRandom;
  readonly startedAtMs: number;
  /** N4. A slow machine has more. */
  cpuPerReadingMs = CPU_PER_READING_MS;
  readonly #cpu: SeededRandom;
  #busyUntilMs = 0;
  #state: NodeState = 'running';
  #failure: Error | undefined;
  #held: (() => void)[] = [];
  readonly #soon: (() => void)[] = [];
  readonly #deathListeners = new Set<(failure: Error | undefined) => void>();

  constructor(scheduler: SimScheduler, name: string, host: string) {
    this.name = name;
    this.host = host;
    this.scheduler = scheduler;
    this.random = scheduler.random.fork(`node ${name}`);
    this.startedAtMs = scheduler.nowMs;
    this.#cpu = this.random.fork('cpu');
  }

  /** The node's own time, on the scale of the scheduler: ahead of it while the node computes. */
  get nowMs(): number {
    return Math.max(this.scheduler.nowMs, this.#busyUntilMs);
  }

  /** N4 */
  readClock(): number {
    this.#busyUntilMs = this.nowMs + this.#cpu.float(0, 2 * this.cpuPerReadingMs);
    return this.#busyUntilMs - this.startedAtMs;
  }

  get state(): NodeState {
    return this.#state;
  }

  get alive(): boolean {
    return this.#state !== 'dead';
  }

  /** Why it died, where an error escaped. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** An event of this node (N1, N2). */
  after(delayMs: number, label: string, callback: () => void): Timer {
    let cancelled = false;
    const guarded = (): void => {
      if (!cancelled) callback();
    };
    if (this.#state === 'dead') return { cancel: () => {} };
    const timer = this.scheduler.after(delayMs, `${this.name} ${label}`, () => this.#run(guarded));
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  /** In a later turn, in the order of the calls, as `setImmediate` does it. */
  soon(callback: () => void): void {
    this.#soon.push(callback);
    this.after(this.random.float(SOON_MIN_MS, SOON_MAX_MS), 'soon', () => {
      this.#soon.shift()?.();
    });
  }

  /**
   * The node is about to do something that others can see, or has just done it. The scenario may kill it here; false: it is dead, and what it
   * was about to do must not happen.
   */
  step(what: string): boolean {
    this.scheduler.onStep?.(what, this);
    return this.alive;
  }

  /** Kills it at once, without its cooperation. Idempotent. */
  crash(failure?: Error): void {
    if (this.#state === 'dead') return;
    this.#state = 'dead';
    this.#failure = failure;
    this.#held = [];
    this.#soon.length = 0;
    this.scheduler.note(`${this.name} dies${failure === undefined ? '' : `: ${failure.message}`}`);
    for (const listener of this.#deathListeners) listener(failure);
    this.#deathListeners.clear();
  }

  /** Stops running anything, as SIGSTOP does; nobody is told. */
  freeze(): void {
    if (this.#state !== 'running') return;
    this.#state = 'frozen';
    this.scheduler.note(`${this.name} freezes`);
  }

  /** Goes on with everything that fell due meanwhile. */
  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    this.scheduler.note(`${this.name} thaws`);
    const held = this.#held;
    this.#held = [];
    const next = (): void => {
      const callback = held.shift();
      if (callback === undefined) return;
      this.scheduler.after(0, `${this.name} held`, () => {
        this.#run(callback);
        next();
      });
    };
    next();
  }

  /** Tells the simulation when the node dies; at once if it is dead. Returns how to stop listening. */
  onDeath(listener: (failure: Error | undefined) => void): () => void {
    if (this.#state === 'dead') {
      listener(this.#failure);
      return () => {};
    }
    this.#deathListeners.add(listener);
    return () => {
      this.#deathListeners.delete(listener);
    };
  }

  #run(callback: () => void): void {
    if (this.#state === 'dead') return;
    if (this.#state === 'frozen') {
      this.#held.push(callback);
      return;
    }
    const busyMs = this.#busyUntilMs - this.scheduler.nowMs;
    if (busyMs > 0) {
      this.scheduler.after(busyMs, `${this.name} busy`, () => this.#run(callback));
      return;
    }
    try {
      callback();
    } catch (error) {
      this.crash(asError(error));
    }
  }
}
