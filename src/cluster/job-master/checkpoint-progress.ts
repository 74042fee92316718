/**
 * The checkpoint coordinator's decisions: a pure state machine. `decideCheckpoint` returns the next state and what is to be done; the
 * driver (`checkpoint-coordinator.ts`) does it.
 *
 * Periodic checkpoints: one is due an interval after the one before was triggered. One that comes due while another is under way is
 * taken when that has ended and the minimum pause is over.
 *
 * Invariants
 *  P1  At most one checkpoint is pending. Acknowledgements for any other are late and change nothing but that their bytes are discarded.
 *  P2  A checkpoint is completed once every expected attempt has acknowledged it, never before and never twice.
 *  P3  Failed checkpoints in a row are counted; one more than tolerated fails the job. A completed one resets the count. One that
 *      somebody asked for does not count: who asked is told.
 *  P4  A checkpoint whose record could not be stored may exist all the same: its bytes are left alone.
 */
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import type { CheckpointOptions } from '../job-options.ts';

export type Asked = 'checkpoint' | 'stop';

export interface PendingCheckpoint {
  readonly checkpointId: number;
  /** Wall clock. */
  readonly triggeredAtMs: number;
  /** Final: taken when all input has ended. */
  readonly final: boolean;
  /** Somebody asked for it; 'stop': tasks process nothing after it. */
  readonly asked: Asked | undefined;
  readonly expected: ReadonlySet<string>;
  readonly acknowledged: ReadonlyMap<string, SubtaskSnapshot>;
}

export interface CheckpointProgress {
  readonly nextId: number;
  readonly pending: PendingCheckpoint | undefined;
  /** All acknowledged, its record being written. */
  readonly completing: PendingCheckpoint | undefined;
  readonly failedInARow: number;
  /** A periodic checkpoint came due while another was under way. */
  readonly isOverdue: boolean;
  /** When the last one ended, well or not; monotonic. */
  readonly endedAtMs: number;
  /** The newest that were given up: acknowledgements for them may still come. */
  readonly aborted: readonly number[];
}

/** What attempts there are, and the wall clock, at a trigger. */
export interface TriggerFacts {
  readonly wallMs: number;
  /** Empty while the job does not run as a whole: nothing is triggered. */
  readonly attemptIds: readonly string[];
}

export type CheckpointEvent =
  /** The job begins to run. */
  | { readonly type: 'start' }
  /** The time that a `schedule` action asked for has come. */
  | ({ readonly type: 'due' } & TriggerFacts)
  | ({
      readonly type: 'trigger';
      readonly final: boolean;
      readonly asked?: Asked | undefined;
    } & TriggerFacts)
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
  | {
      readonly type: 'notify-complete';
      readonly checkpointId: number;
      /** The last one: of all input, or that the job stops at. */
      readonly ends: 'final' | 'stop' | undefined;
    }
  | { readonly type: 'notify-aborted'; readonly checkpointId: number; readonly reason: unknown }
  | { readonly type: 'discard'; readonly snapshots: readonly SubtaskSnapshot[] }
  /** Send `due` in so many milliseconds, and at no other time. */
  | { readonly type: 'schedule'; readonly delayMs: number }
  | { readonly type: 'fail-job'; readonly reason: unknown };

export interface Decision {
  readonly progress: CheckpointProgress;
  readonly actions: readonly CheckpointAction[];
}

export interface CheckpointContext {
  readonly options: Pick<CheckpointOptions, 'intervalMs' | 'minPauseMs' | 'failuresTolerated'>;
  /** Monotonic. */
  readonly nowMs: number;
}

/** Given-up checkpoints that are remembered. */
const ABORTED_MAX = 16;

export const noProgress = (lastId: number): CheckpointProgress => ({
  nextId: lastId + 1,
  pending: undefined,
  completing: undefined,
  failedInARow: 0,
  isOverdue: false,
  endedAtMs: Number.NEGATIVE_INFINITY,
  aborted: [],
});

export const isBusy = ({ pending, completing }: CheckpointProgress): boolean =>
  pending !== undefined || completing !== undefined;

export function decideCheckpoint(
  progress: CheckpointProgress,
  event: CheckpointEvent,
  context: CheckpointContext,
): Decision {
  const { pending, completing } = progress;
  switch (event.type) {
    case 'start':
      return { progress, actions: afterInterval(context) };
    case 'due':
      return due(progress, event, context);
    case 'trigger':
      return trigger(progress, event, event);
    case 'ack':
      return acknowledge(progress, event);
    case 'decline':
    case 'timeout':
      if (event.checkpointId !== pending?.checkpointId) return unchanged(progress);
      return failed(progress, pending, {
        ...context,
        reason: event.type === 'timeout' ? 'it timed out' : event.reason,
      });
    case 'cancel':
      // What is completing may or may not come to exist: it goes on, its record is immutable and all its bytes are durable.
      return pending === undefined
        ? unchanged(progress)
        : abort(progress, pending, { ...context, reason: 'tasks were restarted' });
    case 'stored':
      return event.checkpointId === completing?.checkpointId
        ? completed(progress, completing, context)
        : unchanged(progress);
    case 'store-failed':
      if (event.checkpointId !== completing?.checkpointId) return unchanged(progress);
      // P4
      return failed(
        progress,
        { ...completing, acknowledged: new Map() },
        { ...context, reason: event.reason },
      );
  }
}

const unchanged = (progress: CheckpointProgress): Decision => ({ progress, actions: [] });

const afterInterval = ({ options }: CheckpointContext): readonly CheckpointAction[] =>
  options.intervalMs === undefined ? [] : [{ type: 'schedule', delayMs: options.intervalMs }];

function due(
  progress: CheckpointProgress,
  facts: TriggerFacts,
  context: CheckpointContext,
): Decision {
  if (isBusy(progress)) return unchanged({ ...progress, isOverdue: true });
  const pauseMs = progress.endedAtMs + context.options.minPauseMs - context.nowMs;
  if (pauseMs > 0) return { progress, actions: [{ type: 'schedule', delayMs: pauseMs }] };
  const { progress: next, actions } = trigger(progress, facts, { final: false });
  return { progress: next, actions: [...actions, ...afterInterval(context)] };
}

function trigger(
  progress: CheckpointProgress,
  { wallMs, attemptIds }: TriggerFacts,
  { final, asked }: { readonly final: boolean; readonly asked?: Asked | undefined },
): Decision {
  if (isBusy(progress) || attemptIds.length === 0) return unchanged(progress);
  const checkpoint: PendingCheckpoint = {
    checkpointId: progress.nextId,
    triggeredAtMs: wallMs,
    final,
    asked,
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
  const { pending, aborted } = progress;
  if (aborted.includes(checkpointId))
    return { progress, actions: [{ type: 'discard', snapshots: [snapshot] }] };
  if (pending?.checkpointId !== checkpointId || !pending.expected.has(attemptId))
    return unchanged(progress);
  const checkpoint = {
    ...pending,
    acknowledged: new Map(pending.acknowledged).set(attemptId, snapshot),
  };
  if (checkpoint.acknowledged.size < checkpoint.expected.size)
    return unchanged({ ...progress, pending: checkpoint });
  return {
    progress: { ...progress, pending: undefined, completing: checkpoint },
    actions: [{ type: 'store', checkpoint }],
  };
}

function completed(
  progress: CheckpointProgress,
  { checkpointId, final, asked }: PendingCheckpoint,
  context: CheckpointContext,
): Decision {
  const ends = final ? 'final' : asked === 'stop' ? asked : undefined;
  const ended = end({ ...progress, failedInARow: 0 }, context);
  return {
    progress: ended.progress,
    actions: [{ type: 'notify-complete', checkpointId, ends }, ...ended.actions],
  };
}

function abort(
  progress: CheckpointProgress,
  { checkpointId, acknowledged }: PendingCheckpoint,
  { reason, ...context }: Failure,
): Decision {
  const aborted = [...progress.aborted, checkpointId].slice(-ABORTED_MAX);
  const ended = end({ ...progress, aborted }, context);
  const snapshots = [...acknowledged.values()];
  return {
    progress: ended.progress,
    actions: [
      { type: 'notify-aborted', checkpointId, reason },
      ...(snapshots.length === 0 ? [] : [{ type: 'discard', snapshots } as const]),
      ...ended.actions,
    ],
  };
}

/** None is under way any more; one that is overdue has its turn. */
function end(progress: CheckpointProgress, { nowMs, options }: CheckpointContext): Decision {
  return {
    progress: {
      ...progress,
      pending: undefined,
      completing: undefined,
      isOverdue: false,
      endedAtMs: nowMs,
    },
    actions: progress.isOverdue ? [{ type: 'schedule', delayMs: options.minPauseMs }] : [],
  };
}

type Failure = CheckpointContext & { readonly reason: unknown };

/** P3 */
function failed(
  before: CheckpointProgress,
  checkpoint: PendingCheckpoint,
  failure: Failure,
): Decision {
  const { progress, actions } = abort(before, checkpoint, failure);
  if (checkpoint.asked !== undefined) return { progress, actions };
  const { reason, options } = failure;
  const failedInARow = progress.failedInARow + 1;
  const isTooMany = failedInARow > options.failuresTolerated;
  return {
    progress: { ...progress, failedInARow },
    actions: isTooMany ? [...actions, { type: 'fail-job', reason }] : actions,
  };
}
