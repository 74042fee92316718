/**
 * A whole job in the simulated world: a process with the job master, its worker threads, one bucket for checkpoints, and a supervisor
 * that starts the process again when it died or gave up. The engine's own code, on simulated threads, storage and time.
 */
import type { StreamExecutionEnvironment as Environment } from '../api/environment.ts';
import { StreamExecutionEnvironment } from '../api/environment.ts';
import { asError, internal, isMillraceError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { WorkerHost } from '../base/world.ts';
import { settle } from '../cluster/options.ts';
import { type JobEnd, runJob } from '../cluster/run-job.ts';
import { openThreadPool, serveAsWorker } from '../cluster/thread-pool.ts';
import type { JobMaster } from '../cluster/job-master/job-master.ts';
import type { Program } from '../graph/program.ts';
import type { stateBackendOf } from '../state/backends.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimDisks } from './sim-disk.ts';
import type { SimNode } from './sim-node.ts';
import type { SimBucket } from './sim-store.ts';
import type { SimThreads, SimWorker } from './sim-threads.ts';
import type { SimWorld } from './sim-world.ts';
import type { Simulation } from './simulation.ts';

export interface ProcessServices {
  /** The bucket as this process reaches it. */
  readonly store: ObjectStore;
  readonly world: SimWorld;
  /** Which start of the job this is. */
  readonly start: number;
}

export interface SimJobOptions {
  readonly simulation: Simulation;
  readonly bucket: SimBucket;
  readonly name: string;
  /** Options of the job's start number `start` (0, 1, ...): another parallelism rescales it. */
  configOf(start: number): Readonly<Record<string, JsonValue>>;
  /** Builds the pipeline. Runs in the master and again in each worker, as a program does. */
  build(env: Environment, services: ProcessServices): void;
  readonly workersMax?: number;
  /** Workers outlive a master that crashes. Default false, as threads. */
  readonly detached?: boolean;
  /** What workers keep keyed state in. Default: what the job's options name. */
  readonly openBackend?: typeof stateBackendOf;
  /** What processes get for a store; the seam for planted faults. Default the bucket's own handle. */
  storeOf?(node: SimNode, world: SimWorld): ObjectStore;
  /** Local disk for caches. Default none. */
  readonly disks?: SimDisks;
  /** Whether the supervisor starts a job again that ended with this. Default: what another start may mend. */
  restartsAfter?(error: Error): boolean;
  /** False: a process that ends stays down until `start`. Default true. */
  readonly restarts?: boolean;
}

const notExecuted = (): never => {
  throw internal('NOT_EXECUTED', 'a simulated job is run by SimJob, not by execute');
};

const RESTART_LEAST_MS = 20;
const RESTART_MOST_MS = 2000;

/** One process with a job master. */
interface Running {
  readonly world: SimWorld;
  readonly start: number;
  threads: SimThreads | undefined;
  master: JobMaster | undefined;
}

export class SimJob {
  readonly #options: SimJobOptions;
  readonly #random: SeededRandom;
  #current: Running | undefined;
  #end: JobEnd | undefined;
  /** Why processes ended, oldest first; crashes that the scenario made are not among them. */
  readonly failures: Error[] = [];
  /** A failure no restart can mend. */
  fatal: Error | undefined;
  starts = 0;
  /** Every process that was started, oldest first: what it logged can be read there. */
  readonly processes: SimWorld[] = [];

  constructor(options: SimJobOptions) {
    this.#options = options;
    this.#random = options.simulation.random(`job ${options.name}`);
  }

  /** How it ended; undefined while it has not. */
  get end(): JobEnd | undefined {
    return this.#end;
  }

  get isOver(): boolean {
    return this.#end !== undefined || this.fatal !== undefined;
  }

  /** The process that the supervisor started last; undefined when it is down. */
  get process(): SimWorld | undefined {
    return this.#current?.world;
  }

  get master(): JobMaster | undefined {
    return this.#current?.master;
  }

  /** Live workers of that process. */
  get workers(): readonly SimWorker[] {
    return this.#current?.threads?.workers ?? [];
  }

  /** Starts a process for the job. One that is frozen stays behind as a zombie. */
  start(): void {
    const { simulation, name, bucket } = this.#options;
    const world = simulation.startProcess(name);
    const running: Running = {
      world,
      start: this.starts++,
      threads: undefined,
      master: undefined,
    };
    this.#current = running;
    this.processes.push(world);
    world.node.onDeath((failure) => this.#onDeath(running, failure));
    const store = this.#options.storeOf?.(world.node, world) ?? bucket.of(world.node);
    world.node.after(1, 'runs the job', () => {
      this.#run(running, store).then(
        (end) => this.#onEnd(running, end),
        (error: unknown) => world.node.crash(asError(error)),
      );
    });
  }

  #run(running: Running, store: ObjectStore): Promise<JobEnd> {
    const { simulation, workersMax = 2, detached = false } = this.#options;
    const { world, start } = running;
    const program = this.#program({ store, world, start });
    return runJob({
      world,
      program,
      store,
      openPool: ({ graph, slots }) => {
        const threads = simulation.threads(world, (host, own) => this.#serve(host, own, start), {
          detached,
        });
        running.threads = threads;
        return openThreadPool({ world, threads, graph, slots, workersMax, data: {} });
      },
      onMaster: (master) => {
        running.master = master;
      },
    });
  }

  #serve(host: WorkerHost, world: SimWorld, start: number): void {
    const store = this.#options.storeOf?.(world.node, world) ?? this.#options.bucket.of(world.node);
    const program = this.#program({ store, world, start });
    const { openBackend, disks } = this.#options;
    const localDisk = disks?.of(world.node);
    serveAsWorker({
      ...{ host, world, program, store, openBackend, stateOutlivesJob: true },
      ...(localDisk === undefined ? {} : { localDisk }),
    });
  }

  #program(services: ProcessServices): Program {
    const { name, configOf, build } = this.#options;
    const env = new StreamExecutionEnvironment(
      {
        validateConfig: settle,
        start: notExecuted,
        execute: notExecuted,
      },
      { 'execution.checkpointing.dir': 'simulated', ...configOf(services.start) },
    );
    build(env, services);
    return env.toProgram(name);
  }

  #onEnd(running: Running, end: JobEnd): void {
    if (this.#end === undefined) this.#end = end;
    running.world.node.crash();
  }

  #onDeath(running: Running, failure: Error | undefined): void {
    if (failure !== undefined) {
      this.failures.push(failure);
      const { restartsAfter = isTransient } = this.#options;
      if (!restartsAfter(failure)) this.fatal ??= failure;
    }
    if (this.#current !== running) return;
    this.#current = undefined;
    if (this.isOver || this.#options.restarts === false) return;
    const delayMs = this.#random.float(RESTART_LEAST_MS, RESTART_MOST_MS);
    this.#options.simulation.at(delayMs, `restarts ${this.#options.name}`, () => {
      if (this.#current === undefined && !this.isOver) this.start();
    });
  }
}

/** What a supervisor may answer with another start. Anything else is a bug or needs its user. */
export const isTransient = (error: Error): boolean =>
  isMillraceError(error) &&
  (error.kind === 'unavailable' || error.kind === 'fenced' || error.kind === 'cancelled');
