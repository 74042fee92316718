/**
 * The job's head: the one object, `<jobId>/head`, that says who coordinates the job and which checkpoints exist. Changed only by
 * compare-and-set. Pure functions from one head to the next.
 *
 *   version 1  generation, status, checkpoints
 *   version 2  and: condemned, pins, origins
 *   version 3  and: coordinator, restored
 */
import { crc32 } from 'node:zlib';
import { invalid, MillraceError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readVerified } from '../storage/read-verified.ts';
import { checkedBody } from './checkpoint-record.ts';

export const JOB_HEAD_VERSION = 3;

/** A checkpoint as the head lists it. */
export interface RetainedCheckpoint {
  readonly checkpointId: number;
  /** Key of its record. */
  readonly key: string;
  readonly completedAtMs: number;
}

/** A checkpoint that exists no more and whose objects are yet to be deleted. */
export interface CondemnedCheckpoint extends RetainedCheckpoint {
  /** Of the coordinator that dropped it. */
  readonly generation: number;
}

/** Somebody else needs a checkpoint of this job: while the pin is there, none of its objects is deleted. */
export interface Pin {
  readonly id: string;
  readonly checkpointId: number;
  /** Key of the checkpoint's record. */
  readonly key: string;
  /** Whom to ask whether it is still needed: a job's id, or what a person wrote. */
  readonly owner: string;
}

/** A pin that this job has on a checkpoint of another. */
export interface Origin {
  readonly jobId: string;
  readonly pinId: string;
}

/** The savepoint that the job began from last. */
export interface RestoredFrom {
  /** As `execution.state-recovery.path` named it. */
  readonly path: string;
  readonly savepointId: string;
}

export interface JobHead {
  readonly version: number;
  readonly jobId: string;
  readonly generation: number;
  /**
   * Unique to the coordinator that took the head over last. Two that race write different bytes, so that one which repeats a request can
   * tell the other's head from its own; without, both could come to believe in the same generation.
   */
  readonly coordinator?: string;
  readonly status: 'running' | 'finished';
  /** Oldest first. */
  readonly checkpoints: readonly RetainedCheckpoint[];
  /** Oldest first. */
  readonly condemned: readonly CondemnedCheckpoint[];
  readonly pins: readonly Pin[];
  readonly origins: readonly Origin[];
  readonly restored?: RestoredFrom;
}

/** While deletions fail for long, the oldest are left to the sweep of the next coordinator. */
const CONDEMNED_MAX = 1000;
const PINS_MAX = 1000;

export const headKeyOf = (jobId: string): string => `${jobId}/head`;

export const newHead = (jobId: string): JobHead => ({
  version: JOB_HEAD_VERSION,
  jobId,
  generation: 0,
  status: 'running',
  checkpoints: [],
  condemned: [],
  pins: [],
  origins: [],
});

/** A new coordinator's head: the same checkpoints under the next generation. */
export const takeOver = (head: JobHead, coordinator: string): JobHead => ({
  ...head,
  generation: head.generation + 1,
  coordinator,
});

/** The head with one more checkpoint, at most `retained` in all. */
export function withCheckpoint(
  head: JobHead,
  checkpoint: RetainedCheckpoint,
  retained: number,
): JobHead {
  const checkpoints = [...head.checkpoints, checkpoint];
  return drop({ ...head, checkpoints }, checkpoints.slice(0, -retained));
}

/** Without checkpoints, as before the first run; the generation stays. */
export const emptied = (head: JobHead): JobHead =>
  drop({ ...head, status: 'running' }, head.checkpoints);

export const finished = (head: JobHead): JobHead => ({ ...head, status: 'finished' });

function drop(head: JobHead, dropped: readonly RetainedCheckpoint[]): JobHead {
  const { generation, jobId } = head;
  const own = dropped.filter(({ key }) => isOwn(jobId, key));
  const condemned = [
    ...head.condemned,
    ...own.map((checkpoint) => ({ ...checkpoint, generation })),
  ];
  return {
    ...head,
    checkpoints: head.checkpoints.filter((checkpoint) => !dropped.includes(checkpoint)),
    condemned: condemned.slice(-CONDEMNED_MAX),
  };
}

/** The objects of these condemned checkpoints are gone. */
export function without(head: JobHead, collected: ReadonlySet<string>): JobHead {
  const condemned = head.condemned.filter(({ key }) => !collected.has(key));
  return condemned.length === head.condemned.length ? head : { ...head, condemned };
}

/** Whether an object is in the job's own folder. What is not belongs to another job and is never deleted by this one. */
export const isOwn = (jobId: string, key: string): boolean => key.startsWith(`${jobId}/`);

/** `beside`: a pin that holds the checkpoint already, retained or not. @throws `invalid` CHECKPOINT_NOT_RETAINED, PIN_EXISTS, TOO_MANY_PINS */
export function pinned(head: JobHead, pin: Pin, beside?: string): JobHead {
  const same = head.pins.find(({ id }) => id === pin.id);
  if (same?.key === pin.key) return head;
  if (same !== undefined)
    throw invalid(
      'PIN_EXISTS',
      `pin ${pin.id} of job ${head.jobId} is on checkpoint ${same.checkpointId}; choose another id`,
    );
  const holder = head.pins.find(({ id }) => id === beside);
  if (holder?.key !== pin.key && !head.checkpoints.some(({ key }) => key === pin.key))
    throw invalid(
      'CHECKPOINT_NOT_RETAINED',
      `checkpoint ${pin.checkpointId} of job ${head.jobId} does not exist any more; take a newer one`,
      { key: pin.key },
    );
  if (head.pins.length >= PINS_MAX)
    throw invalid(
      'TOO_MANY_PINS',
      `job ${head.jobId} has ${PINS_MAX} pins; release those that nobody needs`,
    );
  return { ...head, pins: [...head.pins, pin] };
}

export function unpinned(head: JobHead, pinId: string): JobHead {
  const pins = head.pins.filter(({ id }) => id !== pinId);
  return pins.length === head.pins.length ? head : { ...head, pins };
}

export function restoredFrom(head: JobHead, restored: RestoredFrom, origin?: Origin): JobHead {
  const origins = origin === undefined ? head.origins : [...head.origins, origin];
  return { ...head, origins, restored };
}

export function encodeHead(head: JobHead): Uint8Array {
  const body = JSON.stringify(head);
  return Buffer.from(JSON.stringify({ crc32: crc32(body), body }));
}

/** @throws `data` as `decodeHead`; what the store throws */
export const readHeadAt = (store: Pick<ObjectStore, 'get'>, key: string): Promise<JobHead> =>
  readVerified(
    () => store.get(key),
    (bytes) => decodeHead(bytes, key),
  );

/** @throws `data` CHECKPOINT_RECORD_CORRUPT, JOB_HEAD_VERSION */
export function decodeHead(bytes: Uint8Array, key: string): JobHead {
  const head = JSON.parse(checkedBody(bytes, key)) as JobHead; // written by encodeHead, guarded by its checksum
  if (![1, 2, JOB_HEAD_VERSION].includes(head.version))
    throw new MillraceError(
      'data',
      'JOB_HEAD_VERSION',
      `${key} has version ${String(head.version)}; this release reads 1 to ${JOB_HEAD_VERSION}. Nothing was changed; use the release that wrote it`,
      { details: { key } },
    );
  return { ...newHead(head.jobId), ...head, version: JOB_HEAD_VERSION };
}
