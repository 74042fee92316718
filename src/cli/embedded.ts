/**
 * Runs jobs in this process: the composition root of `node job.ts`.
 *
 * One slot: job master and tasks share the main thread, so that a debugger sees plain code. More slots: worker threads, by default as many as
 * the machine has processors, at most one per slot. Each runs the user's module again; where the main thread starts the job, a worker
 * becomes a task manager, and its `execute` never settles. Jobs of one program are matched by their order.
 *
 * SIGINT and SIGTERM cancel the job: its tasks close, its checkpoints stay for the next run, and then the signal takes its usual effect. A
 * second one takes it at once.
 */
import { realDisk } from '../base/real-disk.ts';
import type { Executor, JobResult } from '../api/executor.ts';
import type { JobClient } from '../api/job-client.ts';
import { asError, MillraceError } from '../base/errors.ts';
import { currentWorker, processorCount, realThreads } from '../base/real-threads.ts';
import { keepAlive, realEnvironment, realWorld } from '../base/real-world.ts';
import type { WorkerHost, World } from '../base/world.ts';
import type { JobMaster } from '../cluster/job-master/job-master.ts';
import { memoryLink } from '../cluster/memory-link.ts';
import { settle } from '../cluster/options.ts';
import type { JobOperations } from '../cluster/job-operations.ts';
import { jobIdOf, type JobSetup, runJob, type WorkerPool } from '../cluster/run-job.ts';
import { openThreadPool, serveAsWorker } from '../cluster/thread-pool.ts';
import { TaskManager } from '../cluster/task-manager/task-manager.ts';
import type { JobGraph } from '../graph/job-graph.ts';
import type { Program } from '../graph/program.ts';
import type { ToJobMaster, ToTaskManager } from '../runtime/messages.ts';
import type { CompactionExecutor } from '../lsm/compaction/compaction-task.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { openObjectStore } from '../storage/open-store.ts';
import { OverlayStore } from '../storage/overlay-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { forkedProgram } from './forked-program.ts';
import { givenOptions } from './given-options.ts';
import { interceptor } from './intercept.ts';
import { openCompactionThread } from './open-compaction-thread.ts';

/** Which `execute` of the program a worker serves. */
interface WorkerData {
  readonly ordinal: number;
}

let executions = 0;

export interface EmbeddedOptions {
  /** Puts something around the store of checkpoints and state, to measure or to disturb. */
  readonly wrapStore?: (store: ObjectStore) => ObjectStore;
}

export function embeddedExecutor({ wrapStore = same }: EmbeddedOptions = {}): Executor {
  const world = realWorld();
  const start = (given: Program): Promise<JobClient> => {
    const program = forkedProgram(given, () => capturesOf(world, given));
    const intercept = interceptor();
    if (intercept !== undefined) {
      intercept(program);
      return Promise.resolve(endedClient(elsewhere(program)));
    }
    const ordinal = executions++;
    const host = currentWorker();
    return host === undefined
      ? startHere({ world, program, ordinal, wrapStore })
      : serve({ world, program, ordinal, wrapStore }, host);
  };
  return {
    validateConfig: (config) => settle({ ...config, ...givenOptions(realEnvironment()) }),
    async execute(program) {
      return (await start(program)).result();
    },
    start,
  };
}

/** One `execute`. */
interface Execution {
  readonly world: World;
  readonly program: Program;
  readonly ordinal: number;
  readonly wrapStore: (store: ObjectStore) => ObjectStore;
}

const same = (store: ObjectStore): ObjectStore => store;

/** In memory, checkpoints end with the process. */
const outlivesJob = (program: Program): boolean =>
  typeof program.config['execution.checkpointing.dir'] === 'string';

/** A thread can open the same store only where it has a location. */
function compactionThreadOf({ config }: Program): (() => CompactionExecutor) | undefined {
  const dir = config['execution.checkpointing.dir'];
  return typeof dir === 'string' ? () => openCompactionThread(dir, config) : undefined;
}

function storeOf(world: World, program: Program): ObjectStore {
  const dir = program.config['execution.checkpointing.dir'];
  if (typeof dir !== 'string') return new MemoryStore();
  const store = storeAt(world, program, dir);
  const origin = program.config['execution.fork.origin'];
  return typeof origin === 'string'
    ? new OverlayStore(store, storeAt(world, program, origin))
    : store;
}

/** A fork is given its folder by `run --fork`. */
const capturesOf = (world: World, program: Program): ObjectStore =>
  storeAt(world, program, String(program.config['execution.checkpointing.dir']));

const storeAt = (world: World, { config }: Program, location: string): ObjectStore =>
  openObjectStore(location, { config, environment: realEnvironment(), world });

/** Settles when the job runs, or has ended without running. */
function startHere(execution: Execution): Promise<JobClient> {
  const started = Promise.withResolvers<JobClient>();
  const { name } = execution.program.graph;
  let isAwaited = true;
  const result = runHere(execution, (operations) => {
    isAwaited = false;
    started.resolve({
      jobId: jobIdOf(name),
      name,
      triggerCheckpoint: () => operations.triggerCheckpoint(),
      triggerSavepoint: (options = {}) => operations.triggerSavepoint(options),
      stopWithSavepoint: (options = {}) => operations.stopWithSavepoint(options),
      cancel: () => operations.cancel(),
      result: () => {
        isAwaited = true;
        return result;
      },
    });
  });
  result.then(
    (end) => started.resolve(endedClient(end)),
    (error: unknown) => {
      started.reject(asError(error));
      // Whoever started it does not look: it must not fail in silence.
      if (!isAwaited) execution.world.logger.log('error', `job ${name}: ${asError(error).message}`);
    },
  );
  return started.promise;
}

/** Of a job that ended before anything could be asked of it. */
function endedClient(end: JobResult): JobClient {
  const refuse = (): Promise<never> =>
    Promise.reject(new MillraceError('cancelled', 'JOB_OVER', `job ${end.name} has ended`));
  return {
    jobId: end.jobId,
    name: end.name,
    triggerCheckpoint: refuse,
    triggerSavepoint: refuse,
    stopWithSavepoint: refuse,
    cancel: () => {},
    result: () => Promise.resolve(end),
  };
}

/** Of a job that is not run here. */
const elsewhere = ({ graph }: Program): JobResult => ({
  jobId: '',
  name: graph.name,
  state: 'already-finished',
  netRuntimeMs: 0,
  metrics: {},
});

async function runHere(
  { world, program, ordinal, wrapStore }: Execution,
  onRunning: (operations: JobOperations) => void,
): Promise<JobResult> {
  const store = wrapStore(storeOf(world, program));
  const startedMs = world.clock.monotonicMs();
  const signals = new Signals(world);
  const letGo = keepAlive();
  try {
    const end = await runJob({
      world,
      program,
      store,
      openStore: (location) => storeAt(world, program, location),
      openPool: (job) =>
        job.slots === 1
          ? localPool({ world, program, store, ...job })
          : workerPool(world, ordinal, job),
      onMaster: (master, operations) => {
        signals.master = master;
        if (operations !== undefined) onRunning(operations);
      },
    });
    return {
      jobId: end.jobId,
      name: program.graph.name,
      state: end.state,
      netRuntimeMs: world.clock.monotonicMs() - startedMs,
      metrics: end.state === 'already-finished' ? {} : end.metrics,
    };
  } finally {
    letGo();
    await store.close();
    signals.close();
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Turns the first signal into a cancellation, and lets it take effect when the job is over. */
class Signals {
  readonly #world: World;
  readonly #listener = (signal: NodeJS.Signals): void => this.#onSignal(signal);
  #received: NodeJS.Signals | undefined;
  master: JobMaster | undefined;

  constructor(world: World) {
    this.#world = world;
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  #onSignal(signal: NodeJS.Signals): void {
    const isFirst = this.#received === undefined;
    this.#received = signal;
    if (!isFirst || this.master === undefined) {
      this.close();
      return;
    }
    this.#world.logger.log('warn', `${signal}: canceling the job; once more to exit at once`);
    this.master.cancel();
  }

  /** With nobody else listening, raising the signal again ends the process as it would have without us. */
  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
    const signal = this.#received;
    this.#received = undefined;
    if (signal !== undefined) process.kill(process.pid, signal);
  }
}

type Job = Parameters<JobSetup['openPool']>[0];

function workerPool(world: World, ordinal: number, { graph, slots, options }: Job) {
  return openThreadPool({
    world,
    threads: realThreads(),
    graph,
    slots,
    workersMax: processorCount(),
    slotsPerWorker: options.slotsPerWorker,
    data: { ordinal } satisfies WorkerData,
  });
}

/** A task manager on this thread. */
async function localPool(params: {
  world: World;
  program: Program;
  graph: JobGraph;
  jobId: string;
  store: ObjectStore;
}): Promise<WorkerPool> {
  const [masterEnd, workerEnd] = memoryLink(params.world.timers);
  const manager = new TaskManager({
    ...params,
    name: 'main',
    stateOutlivesJob: outlivesJob(params.program),
    localDisk: realDisk,
    compactionThread: compactionThreadOf(params.program),
    report: (message) => workerEnd.post(message),
  });
  workerEnd.onMessage((message) => manager.onMessage(message as ToTaskManager)); // the job master sends nothing else
  return {
    workers: [{ name: 'main', slots: 1, send: (message) => masterEnd.post(message) }],
    attach: (master) => masterEnd.onMessage((message) => master.onMessage(message as ToJobMaster)), // the task manager sends nothing else
    close: async () => {
      masterEnd.close();
      await manager.close();
    },
  };
}

/** The worker's part. */
function serve(
  { world, program, ordinal, wrapStore }: Execution,
  host: WorkerHost,
): Promise<JobClient> {
  const data = host.data as WorkerData; // ThreadPool gives workers this
  // An earlier job of the same program: it has run already; go on to ours.
  if (ordinal !== data.ordinal) {
    return Promise.resolve(endedClient(elsewhere(program)));
  }
  serveAsWorker({
    host,
    world,
    program,
    store: wrapStore(storeOf(world, program)),
    stateOutlivesJob: outlivesJob(program),
    localDisk: realDisk,
    compactionThread: compactionThreadOf(program),
  });
  return new Promise(() => {});
}
