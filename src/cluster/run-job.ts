/**
 * A job from its program to its end, over whatever workers the caller provides: opens the checkpoint store (taking the job over), finds
 * what there is to restore, and runs a job master.
 */
import { asError, invalid, isMillraceError } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import { buildJobGraph } from '../graph/build-job-graph.ts';
import type { JobGraph } from '../graph/job-graph.ts';
import { fingerprintOf } from '../graph/operator-id.ts';
import type { Program } from '../graph/program.ts';
import type { CheckpointRecord } from '../state/checkpoint-record.ts';
import { newAttemptId } from '../state/object-owner.ts';
import { importSavepoint, readSavepoint } from '../state/savepoint/import-savepoint.ts';
import { CheckpointStore } from '../state/checkpoint-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointOptions, type JobOptions, jobOptions } from './job-options.ts';
import { JobMaster, type JobOutcome, type WorkerRef } from './job-master/job-master.ts';
import { slotsNeeded } from './job-master/schedule.ts';

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
  /** Opens another place, where a savepoint is. */
  openStore?(location: string): ObjectStore;
  /** Starts workers with `slots` slots in all. */
  openPool(job: {
    readonly jobId: string;
    readonly graph: JobGraph;
    readonly options: JobOptions;
    readonly slots: number;
  }): Promise<WorkerPool>;
  /** Told the master as soon as there is one, to cancel the job. */
  onMaster?(master: JobMaster): void;
}

export type JobEnd =
  | { readonly jobId: string; readonly state: 'already-finished' }
  | (JobOutcome & { readonly jobId: string; readonly state: 'finished' });

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
  const jobId = jobIdOf(name);
  const options = jobOptions(program.config);
  const checkpoints = await CheckpointStore.open(store, jobId, {
    retained: options.checkpoints.retainedMax,
    graceMs: options.checkpoints.graceMs,
    clock: world.clock,
    ids: world.ids,
    log: (message, error) => world.logger.log('warn', message, { reason: String(error) }),
  });
  if (checkpoints.head.status === 'finished') {
    if (options.finishedJob === 'skip') {
      world.logger.log(
        'warn',
        `job "${name}" has finished in an earlier run: nothing is done. To run it anew, give it another name or set execution.state-recovery.finished-job to start-over`,
      );
      return { jobId, state: 'already-finished' };
    }
    await checkpoints.reset();
  }
  const own = await checkpoints.latest();
  const latest =
    own ?? (await fromSavepoint({ world, store, jobId, options, checkpoints, openStore }));
  checkpoints.sweep();
  const pool = await openPool({ jobId, graph, options, slots: slotsNeeded(graph) });
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
    onMaster?.(master);
    const outcome = await master.run();
    return { ...outcome, jobId, state: 'finished' };
  } catch (error) {
    if (endsForGood(asError(error), options.checkpoints.retention)) await checkpoints.reset();
    throw error;
  } finally {
    await pool.close();
    await checkpoints.close();
  }
}

/** The checkpoint that a savepoint becomes: the first of the job. */
async function fromSavepoint({
  world,
  store,
  jobId,
  options,
  checkpoints,
  openStore,
}: {
  readonly world: World;
  readonly store: ObjectStore;
  readonly jobId: string;
  readonly options: JobOptions;
  readonly checkpoints: CheckpointStore;
  readonly openStore: JobSetup['openStore'];
}): Promise<CheckpointRecord | undefined> {
  if (options.savepoint === undefined || openStore === undefined) return undefined;
  const from = openStore(options.savepoint);
  try {
    const { generation } = checkpoints.head;
    const attemptId = newAttemptId(generation, world.ids);
    const savepoint = await readSavepoint(from);
    const record = await importSavepoint(savepoint, from, { store, jobId, generation, attemptId });
    await checkpoints.add(record);
    return record;
  } finally {
    await from.close();
  }
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
