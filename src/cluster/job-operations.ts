/**
 * What an operator may ask of a running job, whoever passes it on: the program's own JobClient, or a request in the job's checkpoint folder.
 *
 * Invariants
 *  O1  A savepoint is made from a checkpoint that was taken for it and that is an ordinary one: what it holds is committed, and recovery may use it.
 *  O2  The job is stopped only when its savepoint exists. If that fails it goes on, and who asked is told.
 *  O3  One savepoint at a time; the job may be told to stop once.
 */
import { asError, invalid, MillraceError } from '../base/errors.ts';
import type { CheckpointRecord } from '../state/checkpoint-record.ts';
import { pinCheckpoint, releasePin } from '../state/pins.ts';
import type { JobMaster } from './job-master/job-master.ts';
import {
  type ExportPlaces,
  exportSavepoint,
  planSavepoint,
  type SavepointPlan,
  type SavepointTarget,
} from './savepoint-export.ts';

export interface StopTarget extends SavepointTarget {
  /** Event time runs to its end first: windows and timers fire, and the job is finished. */
  readonly drain?: boolean | undefined;
}

export class JobOperations {
  readonly #master: JobMaster;
  readonly #places: ExportPlaces;
  /** Settles when the job has ended. */
  readonly #ended: Promise<unknown>;
  #savepoints: Promise<unknown> = Promise.resolve();
  #stops = false;

  constructor(master: JobMaster, places: ExportPlaces, ended: Promise<unknown>) {
    this.#master = master;
    this.#places = places;
    this.#ended = ended;
  }

  /** The id of a checkpoint that exists now. */
  async triggerCheckpoint(): Promise<number> {
    return (await this.#master.takeCheckpoint()).checkpointId;
  }

  /** Where the savepoint is. @throws `invalid` NO_SAVEPOINT_DIR, NATIVE_NEEDS_DIR; `unavailable` CHECKPOINT_FAILED */
  triggerSavepoint(target: SavepointTarget): Promise<string> {
    return this.#inTurn(async () => {
      const plan = planSavepoint(target, this.#places);
      const record = await this.#master.takeCheckpoint(pinOf(plan));
      await exportSavepoint(record, plan, this.#places);
      return plan.location;
    });
  }

  /** Where the savepoint is; the job ends soon after. @throws as `triggerSavepoint`; `invalid` ALREADY_STOPPING: the job goes on */
  stopWithSavepoint({ drain = false, ...target }: StopTarget): Promise<string> {
    return this.#inTurn(async () => {
      if (this.#stops)
        throw invalid('ALREADY_STOPPING', 'the job has been told to stop already; wait for it');
      const plan = planSavepoint(target, this.#places);
      this.#stops = true;
      try {
        await (drain ? this.#drain(plan) : this.#halt(plan));
      } catch (error) {
        this.#stops = drain;
        throw error;
      }
      return plan.location;
    });
  }

  /** The job ends with JOB_CANCELED; its checkpoints stay or go by `execution.checkpointing.externalized-checkpoint-retention`. */
  cancel(): void {
    this.#master.cancel();
  }

  /** Settles when nothing is being written any more. */
  async close(): Promise<void> {
    await this.#savepoints;
  }

  async #halt(plan: SavepointPlan): Promise<void> {
    let record: CheckpointRecord;
    try {
      record = await this.#master.halt(pinOf(plan));
    } catch (error) {
      await releasePin(this.#places.store, this.#places.jobId, plan.pinId).catch(() => {}); // why it failed counts
      throw error;
    }
    try {
      await exportSavepoint(record, plan, this.#places);
    } catch (error) {
      this.#master.resume();
      throw error;
    }
    this.#master.stop();
  }

  /** The input has ended whatever becomes of the savepoint. */
  #drain(plan: SavepointPlan): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#master.drain(async (final) => {
        try {
          const { store, jobId } = this.#places;
          const { checkpointId, generation } = final;
          const key = `${jobId}/chk-${checkpointId}-g${generation}/_metadata`;
          await pinCheckpoint(store, jobId, { ...pinOf(plan), checkpointId, key });
          await exportSavepoint(final, plan, this.#places);
          resolve();
        } catch (error) {
          reject(drainedWithout(asError(error)));
        }
      });
      const over = (): void =>
        reject(new MillraceError('cancelled', 'JOB_OVER', 'the job ended before its savepoint'));
      this.#ended.then(over, over);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#savepoints.then(work);
    this.#savepoints = result.catch(() => {}); // the caller is told
    return result;
  }
}

const pinOf = ({ pinId, location }: SavepointPlan): { id: string; owner: string } => ({
  id: pinId,
  owner: location,
});

const drainedWithout = (cause: Error): MillraceError =>
  new MillraceError(
    'unavailable',
    'DRAINED_WITHOUT_SAVEPOINT',
    `the job was drained and is finished, but its savepoint could not be written: ${cause.message}. Its last checkpoint is kept: write one from it with \`millrace savepoint create\``,
    { cause },
  );
