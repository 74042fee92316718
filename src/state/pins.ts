/**
 * Holding checkpoints of a job that somebody else coordinates, and starting jobs from them by reference.
 *
 * A pin is an entry in the head of the job whose checkpoint it is, put there by compare-and-set while the checkpoint exists. From then on the
 * job's own coordinator deletes nothing that the checkpoint names; it still drops it from its list when its time comes.
 *
 * Who dies between pinning and using leaves a pin that holds storage and hurts nothing: `state list` shows it, `releasePin` removes it.
 */
import { invalid, MillraceError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import {
  encodeHead,
  headKeyOf,
  type JobHead,
  newHead,
  type Pin,
  pinned,
  readHeadAt,
  type RetainedCheckpoint,
  unpinned,
} from './job-head.ts';

type HeadStore = Pick<ObjectStore, 'head' | 'get' | 'putIfMatch' | 'putIfAbsent'>;

/** Attempts at a head that others change all the time. */
const TRIES_MAX = 100;

/**
 * `beside`: the id of a pin that holds the checkpoint already, which then need not be retained any more.
 * @throws `invalid` NO_SUCH_JOB, CHECKPOINT_NOT_RETAINED, TOO_MANY_PINS
 */
export async function pinCheckpoint(
  store: HeadStore,
  jobId: string,
  pin: Pin,
  beside?: string,
): Promise<void> {
  await changeHead(store, jobId, (head) => pinned(head, pin, beside));
}

/** Idempotent, also if the job is gone. */
export async function releasePin(store: HeadStore, jobId: string, pinId: string): Promise<void> {
  if ((await store.head(headKeyOf(jobId))) === undefined) return;
  await changeHead(store, jobId, (head) => unpinned(head, pinId));
}

export interface Fork {
  /** The job whose checkpoint it is. */
  readonly jobId: string;
  /** Undefined: the newest. */
  readonly checkpointId?: number | undefined;
  /** The new job. */
  readonly into: string;
  /** Unique, for the pin. */
  readonly pinId: string;
}

/**
 * A new job that starts from another's checkpoint, in the same store, without a copy. Neither can hurt the other: each deletes in its own
 * folder only, and the pin goes when the new job's checkpoints name nothing of the old one's any more.
 * @public
 * @throws `invalid` NO_SUCH_JOB, NO_SUCH_CHECKPOINT, CHECKPOINT_NOT_RETAINED, JOB_EXISTS
 */
export async function forkJob(store: HeadStore, fork: Fork): Promise<RetainedCheckpoint> {
  const { jobId, checkpointId, into, pinId } = fork;
  const head = await readHead(store, jobId);
  const checkpoint =
    checkpointId === undefined
      ? head.checkpoints.at(-1)
      : head.checkpoints.find((retained) => retained.checkpointId === checkpointId);
  if (checkpoint === undefined)
    throw invalid(
      'NO_SUCH_CHECKPOINT',
      `job ${jobId} has ${checkpointId === undefined ? 'no checkpoint' : `no checkpoint ${checkpointId}`}; it has ${head.checkpoints.map((retained) => retained.checkpointId).join(', ') || 'none'}`,
    );
  const { key } = checkpoint;
  await pinCheckpoint(store, jobId, {
    id: pinId,
    checkpointId: checkpoint.checkpointId,
    key,
    owner: into,
  });
  const put = await store.putIfAbsent(
    headKeyOf(into),
    encodeHead({ ...newHead(into), checkpoints: [checkpoint], origins: [{ jobId, pinId }] }),
  );
  if (put.outcome === 'stored') return checkpoint;
  await releasePin(store, jobId, pinId);
  throw invalid('JOB_EXISTS', `there is a job ${into} already; fork into a name that is free`);
}

/** @throws `invalid` NO_SUCH_JOB */
export async function readHead(
  store: Pick<ObjectStore, 'head' | 'get'>,
  jobId: string,
): Promise<JobHead> {
  return (await readVersioned(store, jobId)).head;
}

async function readVersioned(
  store: Pick<ObjectStore, 'head' | 'get'>,
  jobId: string,
): Promise<{ readonly head: JobHead; readonly etag: string }> {
  const key = headKeyOf(jobId);
  const meta = await store.head(key);
  if (meta === undefined)
    throw invalid('NO_SUCH_JOB', `there is no job ${jobId}: ${key} does not exist`);
  return { head: await readHeadAt(store, key), etag: meta.etag };
}

async function changeHead(
  store: HeadStore,
  jobId: string,
  change: (head: JobHead) => JobHead,
): Promise<void> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const { head, etag } = await readVersioned(store, jobId);
    const next = change(head);
    if (next === head) return;
    const put = await store.putIfMatch(headKeyOf(jobId), encodeHead(next), etag);
    if (put.outcome === 'stored') return;
  }
  throw new MillraceError(
    'unavailable',
    'HEAD_CONTENDED',
    `${headKeyOf(jobId)} was changed by others ${TRIES_MAX} times in a row; try again`,
  );
}
