/**
 * Runs jobs in this process: the composition root of `node job.ts`.
 *
 * One slot: job master and tasks share the main thread, so that a debugger sees plain code. More slots: as many worker threads as the
 * machine has processors, at most one per slot. Each runs the user's module again; where the main thread starts the job, a worker
 * becomes a task manager, and its `execute` never settles.
 */
import type { Executor, JobResult } from '../api/executor.ts';
import { MillraceError } from '../base/errors.ts';
import { currentWorker, processorCount, realThreads } from '../base/real-threads.ts';
import { realWorld } from '../base/real-world.ts';
import type { MessageLink, Threads, WorkerHandle, WorkerHost, World } from '../base/world.ts';
import type { JobMaster, WorkerRef } from '../cluster/job-master/job-master.ts';
import { memoryLink } from '../cluster/memory-link.ts';
import { settle } from '../cluster/options.ts';
import { jobIdOf, runJob, type WorkerPool } from '../cluster/run-job.ts';
import { checkFingerprint, TaskManager } from '../cluster/task-manager/task-manager.ts';
import { buildJobGraph } from '../graph/build-job-graph.ts';
import type { JobGraph } from '../graph/job-graph.ts';
import type { Program } from '../graph/program.ts';
import type { ToJobMaster, ToTaskManager } from '../runtime/messages.ts';
import { LocalStore } from '../storage/local-store.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Which `execute` of the program a worker serves. */
interface WorkerData {
  readonly ordinal: number;
}

let executions = 0;

export function embeddedExecutor(): Executor {
  const world = realWorld();
  return {
    validateConfig: settle,
    execute(program) {
      const ordinal = executions++;
      const host = currentWorker();
      return host === undefined
        ? runHere(world, program, ordinal)
        : serve(world, program, ordinal, host);
    },
  };
}

function storeOf(world: World, program: Program): ObjectStore {
  const dir = program.config['execution.checkpointing.dir'];
  return typeof dir === 'string'
    ? new LocalStore(dir.replace(/^file:\/\//, ''), world.ids)
    : new MemoryStore();
}

async function runHere(world: World, program: Program, ordinal: number): Promise<JobResult> {
  const store = storeOf(world, program);
  const startedMs = world.clock.monotonicMs();
  let master: JobMaster | undefined;
  const onInterrupt = (): void => {
    if (master === undefined) process.exit(130);
    world.logger.log('warn', 'canceling the job; interrupt again to exit at once');
    master.cancel();
    master = undefined;
  };
  process.on('SIGINT', onInterrupt);
  try {
    const end = await runJob({
      world,
      program,
      store,
      openPool: ({ graph, slots, jobId }) =>
        slots === 1
          ? localPool({ world, program, graph, jobId, store })
          : threadPool({ world, graph, slots, ordinal }),
      onMaster: (started) => {
        master = started;
      },
    });
    return {
      jobId: end.jobId,
      name: program.graph.name,
      state: end.state,
      netRuntimeMs: world.clock.monotonicMs() - startedMs,
      metrics: end.state === 'finished' ? end.metrics : {},
    };
  } finally {
    process.off('SIGINT', onInterrupt);
    await store.close();
  }
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
    report: (message) => workerEnd.post(message),
  });
  workerEnd.onMessage((message) => manager.onMessage(message as ToTaskManager)); // the job master sends nothing else
  return {
    workers: [{ name: 'main', slots: 1, send: (message) => masterEnd.post(message) }],
    attach: (master) => masterEnd.onMessage((message) => master.onMessage(message as ToJobMaster)), // the task manager sends nothing else
    close: async () => masterEnd.close(),
  };
}

/** Worker threads; one that dies is started anew. */
class ThreadPool implements WorkerPool {
  readonly workers: readonly WorkerRef[];
  readonly #params: { readonly world: World; readonly graph: JobGraph; readonly ordinal: number };
  readonly #threads: Threads = realThreads();
  readonly #handles = new Map<string, WorkerHandle>();
  #master: JobMaster | undefined;
  #closing = false;

  constructor(params: { world: World; graph: JobGraph; slots: number; ordinal: number }) {
    this.#params = params;
    const count = Math.min(params.slots, processorCount());
    this.workers = Array.from({ length: count }, (_, i) => ({
      name: `worker-${i}`,
      slots: Math.floor(((i + 1) * params.slots) / count) - Math.floor((i * params.slots) / count),
      send: (message) => this.#handles.get(`worker-${i}`)?.control.post(message),
    }));
  }

  async open(): Promise<void> {
    await Promise.all(this.workers.map(({ name }) => this.#start(name)));
    const handles = [...this.#handles.values()];
    handles.forEach((a, i) => handles.slice(i + 1).forEach((b) => this.#threads.connect(a, b)));
  }

  attach(master: JobMaster): void {
    this.#master = master;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#handles.values()].map((handle) => handle.terminate()));
  }

  /** Settles when the worker has registered. */
  #start(name: string): Promise<void> {
    const data: WorkerData = { ordinal: this.#params.ordinal };
    const handle = this.#threads.start(name, data);
    this.#handles.set(name, handle);
    return new Promise((resolve, reject) => {
      handle.control.onMessage((received) => {
        const message = received as ToJobMaster; // a worker's TaskManager sends nothing else
        if (message.type !== 'register') {
          this.#master?.onMessage(message);
          return;
        }
        try {
          checkFingerprint(name, message.fingerprint, this.#params.graph.fingerprint);
          resolve();
        } catch (error) {
          reject(error as Error); // checkFingerprint throws errors
        }
      });
      void handle.exited.then((error) => {
        const lost = new MillraceError(
          'unavailable',
          'WORKER_LOST',
          `worker ${name} ended: ${error?.message ?? 'it exited'}`,
          { cause: error },
        );
        reject(lost);
        if (!this.#closing) this.#replace(name, lost);
      });
    });
  }

  #replace(name: string, lost: MillraceError): void {
    if (this.#master === undefined) return;
    this.#start(name).then(
      () => {
        for (const [other, handle] of this.#handles)
          if (other !== name) this.#threads.connect(this.#handles.get(name)!, handle);
        this.#master?.onWorkerLost(name, lost);
      },
      (error: unknown) =>
        this.#params.world.logger.log(
          'error',
          `worker ${name} cannot be started again: ${String(error)}`,
        ),
    );
  }
}

async function threadPool(params: {
  world: World;
  graph: JobGraph;
  slots: number;
  ordinal: number;
}): Promise<WorkerPool> {
  const pool = new ThreadPool(params);
  try {
    await pool.open();
  } catch (error) {
    await pool.close();
    throw error;
  }
  return pool;
}

/** The worker's part. */
function serve(
  world: World,
  program: Program,
  ordinal: number,
  host: WorkerHost,
): Promise<JobResult> {
  const data = host.data as WorkerData; // ThreadPool gives workers this
  // An earlier job of the same program: it has run already; go on to ours.
  if (ordinal !== data.ordinal) {
    return Promise.resolve({
      jobId: '',
      name: program.graph.name,
      state: 'already-finished',
      netRuntimeMs: 0,
      metrics: {},
    });
  }
  const graph = buildJobGraph(program.graph);
  const report = (message: ToJobMaster): void => host.control.post(message);
  const manager = new TaskManager({
    name: host.name,
    world,
    program,
    graph,
    jobId: jobIdOf(program.graph.name),
    store: storeOf(world, program),
    report,
  });
  host.onPeer((peer: string, link: MessageLink) => manager.addPeer(peer, link));
  host.control.onMessage((message) => manager.onMessage(message as ToTaskManager)); // the job master sends nothing else
  report({ type: 'register', worker: host.name, slots: 1, fingerprint: graph.fingerprint });
  return new Promise(() => {});
}
