/**
 * The workers of an embedded job: worker threads, one that dies started anew; and what such a worker runs.
 *
 * Invariants
 *  W1  The job master hears that a worker was lost only when its successor has registered: what it deploys then arrives.
 *  W2  Messages of a worker's earlier life are not handed on after its successor was started.
 *  W3  A worker that cannot be started is tried again with a pause, up to `START_ATTEMPTS_MAX` times in a row; then the job fails. So is
 *      one that does not register in time.
 */
import { internal, MillraceError } from '../base/errors.ts';
import type { OpenLocalDisk } from '../base/local-disk.ts';
import type { MessageLink, Threads, WorkerHandle, WorkerHost, World } from '../base/world.ts';
import { buildJobGraph } from '../graph/build-job-graph.ts';
import type { JobGraph } from '../graph/job-graph.ts';
import type { Program } from '../graph/program.ts';
import type { ToJobMaster, ToTaskManager } from '../runtime/messages.ts';
import type { CompactionExecutor } from '../lsm/compaction/compaction-task.ts';
import type { stateBackendOf } from '../state/backends.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { JobMaster, WorkerRef } from './job-master/job-master.ts';
import { jobIdOf, type WorkerPool } from './run-job.ts';
import { checkFingerprint, TaskManager } from './task-manager/task-manager.ts';

export interface ThreadPoolParams {
  readonly world: World;
  readonly threads: Threads;
  readonly graph: JobGraph;
  readonly slots: number;
  readonly workersMax: number;
  /** Undefined: slots are dealt out evenly to as many workers as allowed. */
  readonly slotsPerWorker?: number | undefined;
  /** Handed to each worker; structured-cloneable. */
  readonly data: unknown;
}

const START_ATTEMPTS_MAX = 5;
const START_PAUSE_MS = 200;
/** From the start of a worker to its registration: as long as Flink gives a worker. */
const REGISTRATION_MS_MAX = 300_000;

/** Slots of each worker. */
export function dealSlots({
  slots,
  workersMax,
  slotsPerWorker,
}: Pick<ThreadPoolParams, 'slots' | 'workersMax' | 'slotsPerWorker'>): readonly number[] {
  if (slotsPerWorker !== undefined)
    return Array.from({ length: Math.ceil(slots / slotsPerWorker) }, () => slotsPerWorker);
  const count = Math.min(slots, workersMax);
  return Array.from(
    { length: count },
    (_, i) => Math.floor(((i + 1) * slots) / count) - Math.floor((i * slots) / count),
  );
}

class ThreadPool implements WorkerPool {
  readonly workers: readonly WorkerRef[];
  readonly #params: ThreadPoolParams;
  readonly #handles = new Map<string, WorkerHandle>();
  #master: JobMaster | undefined;
  #closing = false;

  constructor(params: ThreadPoolParams) {
    this.#params = params;
    this.workers = dealSlots(params).map((slots, i) => ({
      name: `worker-${i}`,
      slots,
      send: (message) => this.#handles.get(`worker-${i}`)?.control.post(message),
      abandon: () => void this.#handles.get(`worker-${i}`)?.terminate(),
    }));
  }

  async open(): Promise<void> {
    await Promise.all(this.workers.map(({ name }) => this.#start(name)));
    const handles = [...this.#handles.values()];
    handles.forEach((a, i) =>
      handles.slice(i + 1).forEach((b) => this.#params.threads.connect(a, b)),
    );
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
    const { world, threads, data, graph } = this.#params;
    const handle = threads.start(name, data);
    this.#handles.set(name, handle);
    return new Promise((resolve, reject) => {
      let registered = false;
      const impatience = world.timers.after(REGISTRATION_MS_MAX, () => void handle.terminate());
      handle.control.onMessage((received) => {
        const message = received as ToJobMaster; // a worker's TaskManager sends nothing else
        if (this.#handles.get(name) !== handle) return; // W2
        if (message.type !== 'register') {
          this.#master?.onMessage(message);
          return;
        }
        impatience.cancel();
        try {
          checkFingerprint(name, message.fingerprint, graph.fingerprint);
          registered = true;
          resolve();
        } catch (error) {
          reject(error as Error); // checkFingerprint throws errors
        }
      });
      void handle.exited.then((error) => {
        impatience.cancel();
        const lost = new MillraceError(
          'unavailable',
          'WORKER_LOST',
          `worker ${name} ended: ${error?.message ?? 'it exited before it came to execute() of this job'}`,
          { cause: error },
        );
        if (!registered) reject(lost);
        else if (!this.#closing) this.#replace(name, lost, 1);
      });
    });
  }

  #replace(name: string, lost: MillraceError, attempt: number): void {
    if (this.#closing) return;
    this.#start(name).then(
      () => {
        for (const [other, handle] of this.#handles)
          if (other !== name) this.#params.threads.connect(this.#handles.get(name)!, handle);
        this.#master?.onWorkerLost(name, lost); // W1
      },
      (error: unknown) => this.#onStartFailed(name, { lost, attempt, error }),
    );
  }

  /** W3 */
  #onStartFailed(
    name: string,
    failure: { readonly lost: MillraceError; readonly attempt: number; readonly error: unknown },
  ): void {
    if (this.#closing) return;
    const { world } = this.#params;
    world.logger.log('error', `worker ${name} cannot be started again: ${String(failure.error)}`);
    if (failure.attempt < START_ATTEMPTS_MAX) {
      world.timers.after(START_PAUSE_MS * failure.attempt, () =>
        this.#replace(name, failure.lost, failure.attempt + 1),
      );
      return;
    }
    this.#master?.fail(
      new MillraceError(
        'unavailable',
        'WORKER_START_FAILED',
        `worker ${name} died and could not be started again in ${START_ATTEMPTS_MAX} attempts`,
        { cause: failure.error },
      ),
    );
  }
}

/** Settles when every worker has registered and all are connected. */
export async function openThreadPool(params: ThreadPoolParams): Promise<WorkerPool> {
  if (params.workersMax < 1) throw internal('NO_WORKERS', 'a thread pool needs a worker');
  const pool = new ThreadPool(params);
  try {
    await pool.open();
  } catch (error) {
    await pool.close();
    throw error;
  }
  return pool;
}

/** The worker's part: a task manager that serves the job master behind `host`. */
export function serveAsWorker(params: {
  readonly host: WorkerHost;
  readonly world: World;
  readonly program: Program;
  readonly store: ObjectStore;
  readonly localDisk?: OpenLocalDisk;
  readonly compactionThread?: (() => CompactionExecutor) | undefined;
  /** See TaskManagerParams. */
  readonly openBackend?: typeof stateBackendOf | undefined;
  readonly stateOutlivesJob: boolean;
}): void {
  const { host, world, program, store, stateOutlivesJob, localDisk, compactionThread } = params;
  const graph = buildJobGraph(program.graph);
  const report = (message: ToJobMaster): void => host.control.post(message);
  const manager = new TaskManager({
    name: host.name,
    world,
    program,
    graph,
    jobId: jobIdOf(program.graph.name),
    store,
    stateOutlivesJob,
    localDisk,
    compactionThread,
    openBackend: params.openBackend,
    report,
  });
  host.onPeer((peer: string, link: MessageLink) => manager.addPeer(peer, link));
  host.control.onMessage((message) => manager.onMessage(message as ToTaskManager)); // the job master sends nothing else
  report({ type: 'register', worker: host.name, slots: 1, fingerprint: graph.fingerprint });
}
