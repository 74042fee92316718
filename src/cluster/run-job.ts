/**
 * A job from its program to its end, over whatever workers the caller provides: opens the checkpoint store (taking the job over), finds
 * what there is to restore, and runs a job master.
 */
import { invalid } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import { buildJobGraph } from '../graph/build-job-graph.ts';
import type { JobGraph } from '../graph/job-graph.ts';
import { fingerprintOf } from '../graph/operator-id.ts';
import type { Program } from '../graph/program.ts';
import { CheckpointStore } from '../state/checkpoint-storage.ts';
import type { ObjectStore } from '../storage/object-store.ts';
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
  /** Starts workers with `slots` slots in all. */
  openPool(job: {
    readonly jobId: string;
    readonly graph: JobGraph;
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
  openPool,
  onMaster,
}: JobSetup): Promise<JobEnd> {
  const graph = buildJobGraph(program.graph);
  const jobId = jobIdOf(program.graph.name);
  const settings = program.config;
  const checkpoints = await CheckpointStore.open(
    store,
    jobId,
    Number(settings['execution.checkpointing.num-retained']),
  );
  if (checkpoints.head.status === 'finished') return { jobId, state: 'already-finished' };
  const latest = await checkpoints.latest();
  const pool = await openPool({ jobId, graph, slots: slotsNeeded(graph) });
  try {
    const master = new JobMaster(
      {
        world,
        jobId,
        program,
        graph,
        settings,
        store: checkpoints,
        objects: store,
        workers: pool.workers,
      },
      latest,
    );
    pool.attach(master);
    onMaster?.(master);
    const outcome = await master.run();
    return { ...outcome, jobId, state: 'finished' };
  } finally {
    await pool.close();
  }
}
