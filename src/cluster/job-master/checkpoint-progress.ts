/**
 * The checkpoint coordinator's decisions: a pure state machine. `decide(progress, event)` returns the next state and what is to be done; the
 * driver (`checkpoint-coordinator.ts`) does it.
 *
 * Invariants
 *  P1  At most one checkpoint is pending. Acknowledgements for any other are late and change nothing.
 *  P2  A checkpoint is completed once every expected attempt has acknowledged it, never before and never twice.
 *  P3  Failed checkpoints in a row are counted; one more than tolerated fails the job. A completed one resets the count.
 *  P4  A checkpoint whose record could not be stored may exist all the same: its bytes are left alone.
 */
import type { SubtaskSnapshot } from '../../state/snapshot.ts';

export interface PendingCheckpoint {
  readonly checkpointId: number;
  readonly triggeredAtMs: number;
  /** Final: taken when all input has ended. */
  readonly final: boolean;
  readonly expected: ReadonlySet<string>;
  readonly acknowledged: ReadonlyMap<string, SubtaskSnapshot>;
}

export interface CheckpointProgress {
  readonly nextId: number;
  readonly pending: PendingCheckpoint | undefined;
  /** All acknowledged, its record being written. */
  readonly completing: PendingCheckpoint | undefined;
  readonly failedInARow: number;
}

export type CheckpointEvent =
  | {
      readonly type: 'trigger';
      readonly nowMs: number;
      readonly attemptIds: readonly string[];
      readonly final: boolean;
    }
  | {
      readonly type: 'ack';
      readonly checkpointId: number;
      readonly attemptId: string;
      readonly snapshot: SubtaskSnapshot;
    }
  | { readonly type: 'decline'; readonly checkpointId: number; readonly reason: unknown }
  | { readonly type: 'timeout'; readonly checkpointId: number }
  /** Tasks are being restarted: what is pending cannot complete. Does not count as a failure of its own. */
  | { readonly type: 'cancel' }
  | { readonly type: 'stored'; readonly checkpointId: number }
  | { readonly type: 'store-failed'; readonly checkpointId: number; readonly reason: unknown };

export type CheckpointAction =
  | { readonly type: 'inject'; readonly checkpoint: PendingCheckpoint }
  | { readonly type: 'store'; readonly checkpoint: PendingCheckpoint }
  | { readonly type: 'notify-complete'; readonly checkpointId: number; readonly final: boolean }
  | {
      readonly type: 'notify-aborted';
      readonly checkpointId: number;
      readonly acknowledged: readonly SubtaskSnapshot[];
    }
  | { readonly type: 'fail-job'; readonly reason: unknown };

export interface Decision {
  readonly progress: CheckpointProgress;
  readonly actions: readonly CheckpointAction[];
}

export const noProgress = (lastId: number): CheckpointProgress => ({
  nextId: lastId + 1,
  pending: undefined,
  completing: undefined,
  failedInARow: 0,
});

export function decideCheckpoint(
  progress: CheckpointProgress,
  event: CheckpointEvent,
  tolerated: number,
): Decision {
  switch (event.type) {
    case 'trigger':
      return trigger(progress, event);
    case 'ack':
      return acknowledge(progress, event);
    case 'decline':
      return event.checkpointId === progress.pending?.checkpointId
        ? failed(progress, progress.pending, event.reason, tolerated)
        : unchanged(progress);
    case 'timeout':
      return event.checkpointId === progress.pending?.checkpointId
        ? failed(progress, progress.pending, 'it timed out', tolerated)
        : unchanged(progress);
    case 'cancel':
      return cancel(progress);
    case 'stored': {
      if (progress.completing?.checkpointId !== event.checkpointId) return unchanged(progress);
      const { checkpointId, final } = progress.completing;
      return {
        progress: { ...progress, completing: undefined, failedInARow: 0 },
        actions: [{ type: 'notify-complete', checkpointId, final }],
      };
    }
    case 'store-failed':
      return progress.completing?.checkpointId === event.checkpointId
        ? failed(progress, withoutBytes(progress.completing), event.reason, tolerated)
        : unchanged(progress);
  }
}

const unchanged = (progress: CheckpointProgress): Decision => ({ progress, actions: [] });

function trigger(
  progress: CheckpointProgress,
  { nowMs, attemptIds, final }: Extract<CheckpointEvent, { type: 'trigger' }>,
): Decision {
  if (
    progress.pending !== undefined ||
    progress.completing !== undefined ||
    attemptIds.length === 0
  )
    return unchanged(progress);
  const checkpoint: PendingCheckpoint = {
    checkpointId: progress.nextId,
    triggeredAtMs: nowMs,
    final,
    expected: new Set(attemptIds),
    acknowledged: new Map(),
  };
  return {
    progress: { ...progress, nextId: progress.nextId + 1, pending: checkpoint },
    actions: [{ type: 'inject', checkpoint }],
  };
}

function acknowledge(
  progress: CheckpointProgress,
  { checkpointId, attemptId, snapshot }: Extract<CheckpointEvent, { type: 'ack' }>,
): Decision {
  const { pending } = progress;
  if (pending?.checkpointId !== checkpointId || !pending.expected.has(attemptId))
    return unchanged(progress);
  const checkpoint = {
    ...pending,
    acknowledged: new Map(pending.acknowledged).set(attemptId, snapshot),
  };
  if (checkpoint.acknowledged.size < checkpoint.expected.size)
    return { progress: { ...progress, pending: checkpoint }, actions: [] };
  return {
    progress: { ...progress, pending: undefined, completing: checkpoint },
    actions: [{ type: 'store', checkpoint }],
  };
}

const aborted = (checkpoint: PendingCheckpoint): CheckpointAction => ({
  type: 'notify-aborted',
  checkpointId: checkpoint.checkpointId,
  acknowledged: [...checkpoint.acknowledged.values()],
});

/** P4 */
const withoutBytes = (checkpoint: PendingCheckpoint): PendingCheckpoint => ({
  ...checkpoint,
  acknowledged: new Map(),
});

function failed(
  progress: CheckpointProgress,
  checkpoint: PendingCheckpoint,
  reason: unknown,
  tolerated: number,
): Decision {
  const failedInARow = progress.failedInARow + 1;
  return {
    progress: { ...progress, pending: undefined, completing: undefined, failedInARow },
    actions: [
      aborted(checkpoint),
      ...(failedInARow > tolerated ? [{ type: 'fail-job', reason } as const] : []),
    ],
  };
}

/** What is completing may or may not come to exist: it goes on, since its record is immutable and all its bytes are durable. */
function cancel(progress: CheckpointProgress): Decision {
  const { pending } = progress;
  if (pending === undefined) return unchanged(progress);
  return { progress: { ...progress, pending: undefined }, actions: [aborted(pending)] };
}
