/** Drives checkpoints: timers, messages and storage around the decisions of `checkpoint-progress.ts`. */
import { isMillraceError, MillraceError } from '../../base/errors.ts';
import type { Timer, World } from '../../base/world.ts';
import type { CheckpointBarrier } from '../../runtime/stream-element.ts';
import type { CheckpointRecord } from '../../state/checkpoint-record.ts';
import type { CheckpointStore } from '../../state/checkpoint-store.ts';
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import type { CheckpointOptions } from '../job-options.ts';
import {
  type CheckpointAction,
  type CheckpointEvent,
  type CheckpointProgress,
  decideCheckpoint,
  isBusy,
  noProgress,
  type PendingCheckpoint,
  type TriggerFacts,
} from './checkpoint-progress.ts';

export interface CoordinatorHooks {
  /** Attempts that must acknowledge, all running; empty while the job is not running as a whole. */
  participants(): readonly string[];
  /** Sends the barrier to the sources, after capturing what the enumerators know. Throwing declines the checkpoint. */
  inject(barrier: CheckpointBarrier): void;
  /** The record of a checkpoint that everybody has acknowledged. */
  record(checkpoint: PendingCheckpoint): CheckpointRecord;
  notifyComplete(checkpointId: number, final: boolean): void;
  notifyAborted(checkpointId: number): void;
  /** Too many checkpoints failed, or the coordinator was fenced. */
  failJob(error: MillraceError): void;
  /** Bytes that an aborted checkpoint left behind. */
  discard(snapshots: readonly SubtaskSnapshot[]): void;
}

export interface CoordinatorParams {
  readonly world: World;
  readonly store: Pick<CheckpointStore, 'add'>;
  readonly options: CheckpointOptions;
  readonly hooks: CoordinatorHooks;
  /** Ids go on from here. */
  readonly lastId: number;
}

export class CheckpointCoordinator {
  readonly #params: CoordinatorParams;
  #progress: CheckpointProgress;
  #periodic: Timer | undefined;
  #timeout: Timer | undefined;
  #stopped = false;
  #waiting: (() => void)[] = [];
  completed = 0;

  constructor(params: CoordinatorParams) {
    this.#params = params;
    this.#progress = noProgress(params.lastId);
  }

  /** Begins periodic checkpoints, if an interval is set. */
  start(): void {
    this.onEvent({ type: 'start' });
  }

  /** A checkpoint now, if none is under way. */
  trigger(): void {
    this.onEvent({ type: 'trigger', final: false, ...this.#facts() });
  }

  /** The last checkpoint of a bounded job, when all tasks have ended. */
  triggerFinal(): void {
    this.onEvent({ type: 'trigger', final: true, ...this.#facts() });
  }

  get isBusy(): boolean {
    return isBusy(this.#progress);
  }

  /** Runs `then` when no checkpoint is under way: at once, or when the one that is has ended. */
  whenIdle(then: () => void): void {
    if (this.isBusy) this.#waiting.push(then);
    else then();
  }

  onEvent(event: CheckpointEvent): void {
    if (this.#stopped) return;
    const { world, options } = this.#params;
    const context = { options, nowMs: world.clock.monotonicMs() };
    const { progress, actions } = decideCheckpoint(this.#progress, event, context);
    this.#progress = progress;
    for (const action of actions) this.#act(action);
    if (!this.isBusy) for (const then of this.#waiting.splice(0)) then();
  }

  /** Nothing happens any more. A record that is on its way to the store may still arrive there. */
  stop(): void {
    this.#stopped = true;
    this.#waiting = [];
    this.#periodic?.cancel();
    this.#timeout?.cancel();
  }

  #facts(): TriggerFacts {
    const { world, hooks } = this.#params;
    return { wallMs: world.clock.wallMs(), attemptIds: hooks.participants() };
  }

  #act(action: CheckpointAction): void {
    const { hooks, world } = this.#params;
    switch (action.type) {
      case 'inject':
        this.#inject(action.checkpoint);
        return;
      case 'store':
        this.#timeout?.cancel();
        this.#store(action.checkpoint);
        return;
      case 'schedule':
        this.#periodic?.cancel();
        this.#periodic = world.timers.after(action.delayMs, () =>
          this.onEvent({ type: 'due', ...this.#facts() }),
        );
        return;
      case 'notify-complete':
        this.completed++;
        hooks.notifyComplete(action.checkpointId, action.final);
        return;
      case 'notify-aborted':
        this.#timeout?.cancel();
        hooks.notifyAborted(action.checkpointId);
        return;
      case 'discard':
        hooks.discard(action.snapshots);
        return;
      case 'fail-job':
        hooks.failJob(this.#tooManyFailed(action.reason));
    }
  }

  #inject(checkpoint: PendingCheckpoint): void {
    const { checkpointId, triggeredAtMs } = checkpoint;
    const { world, hooks, options } = this.#params;
    this.#timeout = world.timers.after(options.timeoutMs, () =>
      this.onEvent({ type: 'timeout', checkpointId }),
    );
    try {
      const { mode, overtakesAfterMs } = options;
      const overtaking = overtakesAfterMs === undefined ? {} : { overtakesAfterMs };
      hooks.inject({ kind: 'barrier', checkpointId, triggeredAtMs, mode, ...overtaking });
    } catch (reason) {
      this.onEvent({ type: 'decline', checkpointId, reason });
    }
  }

  #store(checkpoint: PendingCheckpoint): void {
    const { checkpointId } = checkpoint;
    const { store, hooks } = this.#params;
    store.add(hooks.record(checkpoint)).then(
      () => this.onEvent({ type: 'stored', checkpointId }),
      (reason: unknown) => {
        // Fenced: somebody else coordinates this job. That is no failed checkpoint, it is the end.
        if (!isFenced(reason)) this.onEvent({ type: 'store-failed', checkpointId, reason });
        else if (!this.#stopped) hooks.failJob(reason);
      },
    );
  }

  #tooManyFailed(reason: unknown): MillraceError {
    if (isFenced(reason)) return reason;
    const { failuresTolerated } = this.#params.options;
    return new MillraceError(
      'unavailable',
      'CHECKPOINTS_FAILED',
      `more checkpoints failed in a row than execution.checkpointing.tolerable-failed-checkpoints (${failuresTolerated}) allows; the last because ${reasonText(reason)}`,
      { cause: reason },
    );
  }
}

const isFenced = (reason: unknown): reason is MillraceError =>
  isMillraceError(reason) && reason.kind === 'fenced';

const reasonText = (reason: unknown): string =>
  typeof reason === 'string' ? reason : ((reason as Partial<Error>).message ?? String(reason)); // errors, or what user code threw
