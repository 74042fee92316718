/** One simulated history: a seed, virtual time, a network and the processes in it. */
import { CALM_NETWORK, type NetworkFaults, SimNetwork } from './sim-network.ts';
import { SimNode } from './sim-node.ts';
import { type RunOptions, type RunOutcome, SimScheduler } from './sim-scheduler.ts';
import { SimThreads, type SimThreadsOptions, type WorkerEntry } from './sim-threads.ts';
import { SimWorld } from './sim-world.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface SimulationOptions {
  /** The whole history follows from it. */
  readonly seed: number;
  /** Keeps a line per event in `scheduler.trace`. */
  readonly trace?: boolean;
  readonly network?: NetworkFaults;
}

export class Simulation {
  readonly seed: number;
  readonly scheduler: SimScheduler;
  readonly network: SimNetwork;
  readonly #processes: SimNode[] = [];
  readonly #threads: SimThreads[] = [];
  #incarnations = 0;

  constructor(options: SimulationOptions) {
    this.seed = options.seed;
    this.scheduler = new SimScheduler(options);
    this.network = new SimNetwork(this.scheduler, options.network ?? CALM_NETWORK);
  }

  get nowMs(): number {
    return this.scheduler.nowMs;
  }

  /** A random stream of the scenario's own. */
  random(label: string): SeededRandom {
    return this.scheduler.random.fork(`scenario ${label}`);
  }

  /** A new process; to restart one that died, start another with its name. */
  startProcess(name: string, host: string = name): SimWorld {
    const node = new SimNode(this.scheduler, `${name}@${this.#incarnations++}`, host);
    this.#processes.push(node);
    return new SimWorld(node, this.network);
  }

  /** Worker threads of a process. */
  threads(process: SimWorld, entry: WorkerEntry, options?: SimThreadsOptions): SimThreads {
    const threads = new SimThreads({ node: process.node, network: this.network }, entry, options);
    this.#threads.push(threads);
    return threads;
  }

  /** Ends every process and every thread, frozen ones and those that outlived their parents, too. */
  killAll(): void {
    for (const node of this.#processes) node.crash();
    for (const { workers } of this.#threads) for (const { node } of workers) node.crash();
  }

  /** Something that the scenario does `delayMs` from now, outside of all nodes. */
  at(delayMs: number, what: string, action: () => void): void {
    this.scheduler.after(delayMs, `scenario ${what}`, action);
  }

  run(options?: RunOptions): Promise<RunOutcome> {
    return this.scheduler.run(options);
  }

  /** Runs until `promise` settles and hands on its value. @throws what it rejects with, or `internal` SIMULATION_STUCK */
  settle<T>(promise: Promise<T>, options?: Omit<RunOptions, 'until'>): Promise<T> {
    return this.scheduler.settle(promise, options);
  }
}
