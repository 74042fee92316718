/** Drives checkpoints: timers, messages and storage around the decisions of `checkpoint-progress.ts`. */
import { isMillraceError, MillraceError } from '../../base/errors.ts';
import type { Timer, World } from '../../base/world.ts';
import type { CheckpointBarrier } from '../../runtime/stream-element.ts';
import type { CheckpointRecord } from '../../state/checkpoint-record.ts';
import type { CheckpointStore, PinRequest } from '../../state/checkpoint-store.ts';
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import type { CheckpointOptions } from '../job-options.ts';
import {
  type Asked,
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
  notifyComplete(record: CheckpointRecord, ends: 'final' | 'stop' | undefined): void;
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

/** Pause before a request is tried again while tasks are being started. */
const REQUEST_RETRY_MS = 50;

interface Request extends PromiseWithResolvers<CheckpointRecord> {
  readonly pin: PinRequest | undefined;
}

export class CheckpointCoordinator {
  readonly #params: CoordinatorParams;
  #progress: CheckpointProgress;
  #periodic: Timer | undefined;
  #timeout: Timer | undefined;
  #stopped = false;
  #waiting: (() => void)[] = [];
  readonly #requests = new Set<Request>();
  /** Of the checkpoint under way, if somebody asked for it. */
  #asking: Request | undefined;
  /** What is being stored. */
  #storing: CheckpointRecord | undefined;
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

  /**
   * One that somebody asked for: taken as soon as no other is under way and the job runs as a whole. Settles when it exists; rejects when it was
   * given up, or the coordinator stopped before. With a pin it is held from the moment on in which it exists.
   */
  request(asked: Asked, pin?: PinRequest): Promise<CheckpointRecord> {
    const asking: Request = { ...Promise.withResolvers<CheckpointRecord>(), pin };
    this.#requests.add(asking);
    const begin = (): void => {
      if (this.#stopped) asking.reject(stoppedBefore());
      else if (this.isBusy) this.#waiting.push(begin);
      else {
        this.#asking = asking;
        this.onEvent({ type: 'trigger', final: false, asked, ...this.#facts() });
        if (this.isBusy || this.#asking === undefined) return;
        // The job does not run as a whole just now.
        this.#asking = undefined;
        this.#params.world.timers.after(REQUEST_RETRY_MS, begin);
      }
    };
    begin();
    return asking.promise.finally(() => this.#requests.delete(asking));
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
    for (const asking of this.#requests) asking.reject(stoppedBefore());
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
      case 'notify-complete': {
        const record = this.#storing!; // it was being stored until now
        this.completed++;
        hooks.notifyComplete(record, action.ends);
        this.#settleAsking((asking) => asking.resolve(record));
        return;
      }
      case 'notify-aborted':
        this.#timeout?.cancel();
        hooks.notifyAborted(action.checkpointId);
        this.#settleAsking((asking) => asking.reject(givenUp(action)));
        return;
      case 'discard':
        hooks.discard(action.snapshots);
        return;
      case 'fail-job':
        hooks.failJob(this.#tooManyFailed(action.reason));
    }
  }

  #inject(checkpoint: PendingCheckpoint): void {
    const { checkpointId, triggeredAtMs, asked } = checkpoint;
    const { world, hooks, options } = this.#params;
    this.#timeout = world.timers.after(options.timeoutMs, () =>
      this.onEvent({ type: 'timeout', checkpointId }),
    );
    try {
      hooks.inject({ kind: 'barrier', checkpointId, triggeredAtMs, ...this.#manner(asked) });
    } catch (reason) {
      this.onEvent({ type: 'decline', checkpointId, reason });
    }
  }

  /** What somebody asked for is kept, and restored elsewhere: it is exact and aligned whatever the job is content with. */
  #manner(
    asked: Asked | undefined,
  ): Pick<CheckpointBarrier, 'mode' | 'overtakesAfterMs' | 'stops'> {
    const { mode, overtakesAfterMs } = this.#params.options;
    if (asked === 'stop') return { mode: 'exactly-once', stops: true };
    if (asked === 'checkpoint') return { mode: 'exactly-once' };
    return { mode, ...(overtakesAfterMs === undefined ? {} : { overtakesAfterMs }) };
  }

  #store(checkpoint: PendingCheckpoint): void {
    const { checkpointId } = checkpoint;
    const { store, hooks } = this.#params;
    const record = hooks.record(checkpoint);
    this.#storing = record;
    store.add(record, checkpoint.asked === undefined ? undefined : this.#asking?.pin).then(
      () => this.onEvent({ type: 'stored', checkpointId }),
      (reason: unknown) => {
        // Fenced: somebody else coordinates this job. That is no failed checkpoint, it is the end.
        if (!isFenced(reason)) this.onEvent({ type: 'store-failed', checkpointId, reason });
        else if (!this.#stopped) hooks.failJob(reason);
      },
    );
  }

  #settleAsking(settle: (asking: Request) => void): void {
    const asking = this.#asking;
    this.#asking = undefined;
    if (asking !== undefined) settle(asking);
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

const stoppedBefore = (): MillraceError =>
  new MillraceError('cancelled', 'JOB_OVER', 'the job ended before the checkpoint was taken');

const givenUp = ({
  checkpointId,
  reason,
}: Extract<CheckpointAction, { type: 'notify-aborted' }>): MillraceError =>
  new MillraceError(
    'unavailable',
    'CHECKPOINT_FAILED',
    `checkpoint ${checkpointId} was given up: ${reasonText(reason)}; try again`,
    { cause: reason },
  );

const isFenced = (reason: unknown): reason is MillraceError =>
  isMillraceError(reason) && reason.kind === 'fenced';

const reasonText = (reason: unknown): string =>
  typeof reason === 'string' ? reason : ((reason as Partial<Error>).message ?? String(reason)); // errors, or what user code threw
