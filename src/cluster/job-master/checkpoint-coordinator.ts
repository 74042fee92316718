/** Drives checkpoints: timers, messages and storage around the decisions of `checkpoint-progress.ts`. */
import { internal, isMillraceError, MillraceError } from '../../base/errors.ts';
import type { Timer, World } from '../../base/world.ts';
import type { CheckpointMode, CheckpointBarrier } from '../../runtime/stream-element.ts';
import type { CheckpointRecord } from '../../state/checkpoint-record.ts';
import type { CheckpointStore } from '../../state/checkpoint-storage.ts';
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import type { Settings } from '../options.ts';
import {
  type CheckpointAction,
  type CheckpointEvent,
  type CheckpointProgress,
  decideCheckpoint,
  noProgress,
  type PendingCheckpoint,
} from './checkpoint-progress.ts';

export interface CoordinatorHooks {
  /** Attempts that must acknowledge, all running; empty while the job is not running as a whole. */
  participants(): readonly string[];
  /** Sends the barrier to the sources, after capturing what the enumerators know. */
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

export class CheckpointCoordinator {
  readonly #world: World;
  readonly #store: CheckpointStore;
  readonly #settings: Settings;
  readonly #hooks: CoordinatorHooks;
  #progress: CheckpointProgress;
  #periodic: Timer | undefined;
  #timeout: Timer | undefined;
  #stopped = false;
  completed = 0;
  failed = 0;

  constructor(params: {
    world: World;
    store: CheckpointStore;
    settings: Settings;
    hooks: CoordinatorHooks;
    lastId: number;
  }) {
    this.#world = params.world;
    this.#store = params.store;
    this.#settings = params.settings;
    this.#hooks = params.hooks;
    this.#progress = noProgress(params.lastId);
  }

  /** Begins periodic checkpoints, if an interval is set. */
  start(): void {
    const interval = this.#settings['execution.checkpointing.interval'];
    if (interval !== null) this.#schedule(Number(interval));
  }

  /** A checkpoint now, if none is under way. */
  trigger(): void {
    if (!this.#stopped) this.#trigger(false);
  }

  /** The last checkpoint of a bounded job, when all tasks have ended. */
  triggerFinal(): void {
    this.#trigger(true);
  }

  #trigger(final: boolean): void {
    this.#onEvent({
      type: 'trigger',
      nowMs: this.#world.clock.wallMs(),
      attemptIds: this.#hooks.participants(),
      final,
    });
  }

  onEvent(event: CheckpointEvent): void {
    if (!this.#stopped) this.#onEvent(event);
  }

  get isBusy(): boolean {
    return this.#progress.pending !== undefined || this.#progress.completing !== undefined;
  }

  stop(): void {
    this.#stopped = true;
    this.#periodic?.cancel();
    this.#timeout?.cancel();
  }

  #schedule(delayMs: number): void {
    this.#periodic?.cancel();
    this.#periodic = this.#world.timers.after(delayMs, () => {
      if (this.#stopped) return;
      this.#trigger(false);
      this.#schedule(Number(this.#settings['execution.checkpointing.interval']));
    });
  }

  #onEvent(event: CheckpointEvent): void {
    const tolerated = Number(
      this.#settings['execution.checkpointing.tolerable-failed-checkpoints'],
    );
    const { progress, actions } = decideCheckpoint(this.#progress, event, tolerated);
    this.#progress = progress;
    for (const action of actions) this.#act(action);
  }

  #act(action: CheckpointAction): void {
    switch (action.type) {
      case 'inject':
        this.#inject(action.checkpoint);
        return;
      case 'store':
        this.#timeout?.cancel();
        this.#storeRecord(action.checkpoint);
        return;
      case 'notify-complete':
        this.completed++;
        this.#pause();
        this.#hooks.notifyComplete(action.checkpointId, action.final);
        return;
      case 'notify-aborted':
        this.failed++;
        this.#timeout?.cancel();
        this.#pause();
        this.#hooks.notifyAborted(action.checkpointId);
        this.#hooks.discard(action.acknowledged);
        return;
      case 'fail-job':
        this.#hooks.failJob(
          isMillraceError(action.reason) && action.reason.kind === 'fenced'
            ? action.reason
            : new MillraceError(
                'unavailable',
                'CHECKPOINTS_FAILED',
                `more checkpoints failed in a row than execution.checkpointing.tolerable-failed-checkpoints (${tolerance(this.#settings)}) allows; the last because ${reasonText(action.reason)}`,
                { cause: action.reason },
              ),
        );
    }
  }

  #inject(checkpoint: PendingCheckpoint): void {
    const { checkpointId, triggeredAtMs } = checkpoint;
    const mode = String(this.#settings['execution.checkpointing.mode']) as CheckpointMode; // an enum option with these values
    this.#timeout = this.#world.timers.after(
      Number(this.#settings['execution.checkpointing.timeout']),
      () => {
        this.onEvent({ type: 'timeout', checkpointId });
      },
    );
    this.#hooks.inject({ kind: 'barrier', checkpointId, triggeredAtMs, mode });
  }

  #storeRecord(checkpoint: PendingCheckpoint): void {
    const { checkpointId } = checkpoint;
    this.#store.add(this.#hooks.record(checkpoint)).then(
      () => this.onEvent({ type: 'stored', checkpointId }),
      (reason: unknown) => {
        // Fenced: somebody else coordinates this job. That is no failed checkpoint, it is the end.
        if (isMillraceError(reason) && reason.kind === 'fenced') this.#hooks.failJob(reason);
        else this.onEvent({ type: 'store-failed', checkpointId, reason });
      },
    );
  }

  /** Keeps the minimum pause after a checkpoint has ended. */
  #pause(): void {
    const pause = Number(this.#settings['execution.checkpointing.min-pause']);
    const interval = this.#settings['execution.checkpointing.interval'];
    if (pause > 0 && interval !== null && !this.#stopped)
      this.#schedule(Math.max(pause, Number(interval)));
  }
}

const tolerance = (settings: Settings): number =>
  Number(settings['execution.checkpointing.tolerable-failed-checkpoints']);

const reasonText = (reason: unknown): string =>
  typeof reason === 'string'
    ? reason
    : ((reason as { message?: string } | undefined)?.message ??
      internal('UNKNOWN', 'of an unknown failure').message);
