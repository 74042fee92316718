/** A job that runs, as its program holds it. */
import type { JobResult } from './executor.ts';

export interface SavepointOptions {
  /** A folder or s3://bucket/prefix, in which the savepoint gets a folder of its own. Default `execution.checkpointing.savepoint-dir`. */
  readonly directory?: string;
  /**
   * canonical (default): for every backend, parallelism and tool, its cost is that of reading the state. native: by reference to the objects of a
   * checkpoint, at once whatever the size; restored by jobs whose checkpoints are in the same place.
   */
  readonly format?: 'canonical' | 'native';
}

export interface StopOptions extends SavepointOptions {
  /**
   * True: the input ends here, event time runs to its end, windows and timers fire, and the job is finished. False (default): it stops as it is, and
   * its next run goes on.
   */
  readonly drain?: boolean;
}

/** @public What `executeAsync` gives. */
export interface JobClient {
  readonly jobId: string;
  readonly name: string;
  /** Takes a checkpoint now; settles with its id when it exists. @throws `unavailable` CHECKPOINT_FAILED; `cancelled` JOB_OVER */
  triggerCheckpoint(): Promise<number>;
  /**
   * Settles with the place of the savepoint when it exists; the job goes on.
   * @throws `invalid` NO_SAVEPOINT_DIR, NATIVE_NEEDS_DIR; `unavailable` CHECKPOINT_FAILED; `cancelled` JOB_OVER
   */
  triggerSavepoint(options?: SavepointOptions): Promise<string>;
  /** The same, and the job ends: `result` settles soon after. If the savepoint fails the job goes on. @throws besides `invalid` ALREADY_STOPPING */
  stopWithSavepoint(options?: StopOptions): Promise<string>;
  /** Ends the job; `result` rejects with `cancelled` JOB_CANCELED. */
  cancel(): void;
  /** How the job ended. @throws what made it fail */
  result(): Promise<JobResult>;
}
