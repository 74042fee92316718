/**
 * A job from its program to its end, over whatever workers the caller provides: opens the checkpoint store (taking the job over), finds
 * what there is to restore, and runs a job master.
 */
import { asError, invalid, isMillraceError } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import { buildJobGraph } from '../graph/build-job-graph.ts';
import { checkDelivery, deliveryFindings, pathDeliveries } from '../graph/delivery.ts';
import { deliveryText } from '../graph/explain.ts';
import type { JobGraph } from '../graph/job-graph.ts';
import { fingerprintOf } from '../graph/operator-id.ts';
import type { Program } from '../graph/program.ts';
import { CheckpointStore } from '../state/checkpoint-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { watchControl } from './control-watch.ts';
import { type CheckpointOptions, type JobOptions, jobOptions } from './job-options.ts';
import { JobOperations } from './job-operations.ts';
import { JobMaster, type JobOutcome, type WorkerRef } from './job-master/job-master.ts';
import { slotsNeeded } from './job-master/schedule.ts';
import { beginsAtSavepoint, restoreSavepoint } from './savepoint-restore.ts';

/** The workers of one job. */
export interface WorkerPool {
  readonly workers: readonly WorkerRef[];
  /** Hands every message of a worker, and every loss of one, to the job master. */
  attach(master: JobMaster): void;
  close(): Promise<void>;
}

export interface JobSetup {
  readonly world: World;
  readonly program: Program;
  readonly store: ObjectStore;
  /** Opens another place, where a savepoint is or will be. Absent: there are no savepoints, and nobody asks for anything. */
  openStore?(location: string): ObjectStore;
  /** Starts workers with `slots` slots in all. */
  openPool(job: {
    readonly jobId: string;
    readonly graph: JobGraph;
    readonly options: JobOptions;
    readonly slots: number;
  }): Promise<WorkerPool>;
  /** Told the master as soon as there is one, to cancel the job, and what may be asked of it where savepoints are possible. */
  onMaster?(master: JobMaster, operations: JobOperations | undefined): void;
}

export type JobEnd =
  | { readonly jobId: string; readonly state: 'already-finished' }
  | (JobOutcome & { readonly jobId: string });

/** The same name is the same job: its checkpoints are found again. */
export function jobIdOf(name: string): string {
  if (name === '')
    throw invalid(
      'BAD_JOB_NAME',
      'a job needs a name: it is the identity under which its state is found again',
    );
  return fingerprintOf(`job ${name}`);
}

export async function runJob({
  world,
  program,
  store,
  openStore,
  openPool,
  onMaster,
}: JobSetup): Promise<JobEnd> {
  const graph = buildJobGraph(program.graph);
  const { name } = program.graph;
  tellDelivery(program, world);
  const jobId = jobIdOf(name);
  const options = jobOptions(program.config);
  const checkpoints = await CheckpointStore.open(store, jobId, {
    retained: options.checkpoints.retainedMax,
    graceMs: options.checkpoints.graceMs,
    clock: world.clock,
    ids: world.ids,
    log: (message, error) => world.logger.log('warn', message, { reason: String(error) }),
  });
  const { savepoint } = options;
  const begins = openStore !== undefined && beginsAtSavepoint(checkpoints, savepoint);
  if (checkpoints.head.status === 'finished') {
    if (options.finishedJob === 'skip' && !begins) {
      world.logger.log(
        'warn',
        `job "${name}" has finished in an earlier run: nothing is done. To run it anew, give it another name or set execution.state-recovery.finished-job to start-over`,
      );
      return { jobId, state: 'already-finished' };
    }
    await checkpoints.reset();
  }
  const checkpointDir = directoryOf(program);
  const latest = begins
    ? await restoreSavepoint({
        ...{ world, jobId, path: savepoint!, checkpoints, store, checkpointDir, openStore },
        claims: options.claimMode === 'claim',
      })
    : await checkpoints.latest();
  checkpoints.sweep();
  const pool = await openPool({ jobId, graph, options, slots: slotsNeeded(graph) });
  const closing: (() => Promise<void>)[] = [];
  try {
    const master = new JobMaster({
      world,
      jobId,
      program,
      graph,
      options,
      store: checkpoints,
      objects: store,
      workers: pool.workers,
      latest,
    });
    pool.attach(master);
    const running = master.run();
    running.catch(() => {}); // it is waited for below
    if (openStore === undefined) onMaster?.(master, undefined);
    else {
      const { savepointDir, controlPollMs } = options;
      const places = { world, jobId, store, checkpointDir, savepointDir, openStore };
      const operations = new JobOperations(master, places, running);
      closing.push(() => operations.close());
      onMaster?.(master, operations);
      if (checkpointDir !== undefined && controlPollMs > 0) {
        const { generation } = checkpoints.head;
        const watch = watchControl({
          world,
          store,
          jobId,
          generation,
          pollMs: controlPollMs,
          operations,
        });
        closing.unshift(() => watch.close());
      }
    }
    const outcome = await running;
    return { ...outcome, jobId };
  } catch (error) {
    if (endsForGood(asError(error), options.checkpoints.retention)) await checkpoints.reset();
    throw error;
  } finally {
    for (const close of closing) await close();
    await pool.close();
    await checkpoints.close();
  }
}

/** What the job promises, before anything of it runs. @throws `invalid` DELIVERY_REFUSED */
function tellDelivery({ graph, config }: Program, { logger }: World): void {
  checkDelivery(graph, config);
  for (const path of pathDeliveries(graph, config)) logger.log('info', deliveryText(path));
  for (const { text } of deliveryFindings(graph, config)) logger.log('warn', text);
}

function directoryOf({ config }: Program): string | undefined {
  const dir = config['execution.checkpointing.dir'];
  return typeof dir === 'string' ? dir : undefined;
}

/** Whether a job that ends with this error is not to go on when it is started again. */
function endsForGood(error: Error, retention: CheckpointOptions['retention']): boolean {
  const isCanceled = isMillraceError(error) && error.code === 'JOB_CANCELED';
  // Somebody else has the job: its checkpoints are theirs.
  const isFenced = isMillraceError(error) && error.kind === 'fenced';
  switch (retention) {
    case 'retain-on-cancellation':
      return false;
    case 'delete-on-cancellation':
      return isCanceled;
    case 'no-externalized-checkpoints':
      return !isFenced;
  }
}
