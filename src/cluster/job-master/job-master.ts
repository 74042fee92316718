/**
 * Runs one job: deploys its subtasks, coordinates checkpoints, restarts regions that fail, and ends it.
 *
 *   running -> finishing -> over      all input was processed, its results are committed, the head says so: tasks may close
 *   running -> stopping -> over       stopped at a checkpoint that everybody has committed: tasks are canceled, a later run goes on from it
 *   running -> failing -> over        canceled, or failed for good: tasks are canceled
 *
 * The decisions are elsewhere, pure: `schedule.ts`, `checkpoint-progress.ts`, `failover.ts`, `state-assignment.ts`. Here is what drives them.
 *
 * Invariants
 *  J1  Every deployment starts from the newest checkpoint that exists, or from nothing if there is none.
 *  J2  Messages of attempts that are not current change nothing.
 *  J3  The job is over when every attempt is, or has had `END_PATIENCE_MS` to be.
 *  J4  Once the head says finished the job is finished, whatever becomes of its tasks.
 */
import {
  asError,
  fromWireError,
  isMillraceError,
  MillraceError,
  type WireError,
} from '../../base/errors.ts';
import type { JsonValue } from '../../base/json.ts';
import type { Timer, World } from '../../base/world.ts';
import { pathDeliveries } from '../../graph/delivery.ts';
import type { JobGraph, JobVertex } from '../../graph/job-graph.ts';
import type { Program } from '../../graph/program.ts';
import type { TaskState, ToJobMaster, ToTaskManager } from '../../runtime/messages.ts';
import type { CheckpointBarrier } from '../../runtime/stream-element.ts';
import type { TaskDescriptor } from '../../runtime/task-descriptor.ts';
import { type CheckpointRecord, exclusiveObjectsOf } from '../../state/checkpoint-record.ts';
import type { CheckpointStore, PinRequest } from '../../state/checkpoint-store.ts';
import { newAttemptId } from '../../state/object-owner.ts';
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { JobOptions } from '../job-options.ts';
import { recordOf } from './checkpoint-contents.ts';
import { CheckpointCoordinator } from './checkpoint-coordinator.ts';
import { byWorker, type Execution, Executions, isOver, placeOf } from './executions.ts';
import { decideFailover, failoverRegions, type Region } from './failover.ts';
import { assignInFlight } from './in-flight-assignment.ts';
import { JobMetrics } from './job-metrics.ts';
import { JobSources } from './job-sources.ts';
import { LastCheckpoint } from './last-checkpoint.ts';
import { RegionRestarts } from './region-restarts.ts';
import { NO_RESTARTS, type RestartHistory } from './restart-strategy.ts';
import {
  connectSubtasks,
  describeTask,
  type Placement,
  placeSubtasks,
  subtaskKey,
  type WorkerSlots,
} from './schedule.ts';
import { assignState, checkRestore } from './state-assignment.ts';
import { WatermarkAlignment } from './watermark-alignment.ts';

/** A task manager as the job master sees it. */
export interface WorkerRef extends WorkerSlots {
  send(message: ToTaskManager): void;
  /** Stops it without its cooperation; `onWorkerLost` follows. Absent where that is impossible. */
  abandon?(): void;
}

export interface JobMasterParams {
  readonly world: World;
  readonly jobId: string;
  readonly program: Program;
  readonly graph: JobGraph;
  readonly options: JobOptions;
  readonly store: CheckpointStore;
  /** Where snapshot bytes are, to discard those of aborted checkpoints. */
  readonly objects: ObjectStore;
  readonly workers: readonly WorkerRef[];
  /** The checkpoint to start from. */
  readonly latest: CheckpointRecord | undefined;
}

export interface JobOutcome {
  readonly state: 'finished' | 'stopped';
  readonly metrics: Readonly<Record<string, number>>;
}

/** Pause before the checkpoint store is asked again. */
const STORE_RETRY_MS = 500;
/** Pause before a final checkpoint that failed is tried again. */
const FINAL_RETRY_MS = 100;
/** How long tasks of a job that has ended may take to close (J3). */
const END_PATIENCE_MS = 10_000;

type Phase =
  | { readonly type: 'running' }
  | { readonly type: 'finishing' }
  | { readonly type: 'stopping' }
  | { readonly type: 'failing'; readonly error: MillraceError }
  | { readonly type: 'over' };

export class JobMaster {
  readonly #params: JobMasterParams;
  readonly #world: World;
  readonly #placement: Placement;
  readonly #regions: readonly Region[];
  readonly #coordinator: CheckpointCoordinator;
  readonly #executions = new Executions();
  readonly #restarts: RegionRestarts;
  readonly #sources: JobSources;
  readonly #alignment = new WatermarkAlignment();
  readonly #metrics = new JobMetrics();
  readonly #outcome = Promise.withResolvers<JobOutcome>();
  #phase: Phase = { type: 'running' };
  #latest: CheckpointRecord | undefined;
  #history: RestartHistory = NO_RESTARTS;
  #nextChannel = 1;
  #patience: Timer | undefined;
  /** As of the trigger of the pending checkpoint, by vertex id. */
  #enumerators: ReadonlyMap<string, JsonValue> = new Map();
  readonly #last = new LastCheckpoint();
  /** Input ends here, and this is called with the final checkpoint before the job is finished. */
  #draining: ((final: CheckpointRecord) => Promise<void>) | undefined;

  constructor(params: JobMasterParams) {
    const { world, graph, options, store, latest } = params;
    this.#params = params;
    this.#world = world;
    this.#latest = latest;
    this.#placement = placeSubtasks(graph, params.workers);
    this.#regions = failoverRegions(graph, options.failover);
    this.#restarts = new RegionRestarts({
      world,
      executions: this.#executions,
      cancellationTimeoutMs: options.cancellationTimeoutMs,
      cancel: (executions) => this.#cancelAll(executions),
      abandon: (worker, stuck) => this.#abandon(worker, stuck),
      deploy: (region) => this.#redeploy(region),
    });
    this.#sources = new JobSources({
      world,
      program: params.program,
      executions: this.#executions,
      send: (worker, message) => this.#send(worker, message),
      fail: ({ id, operators }, error) =>
        this.#onFailure(
          `the enumerator of "${operators[0]!.name}"`,
          [this.#executions.at(id, 0)!],
          error,
        ),
    });
    const { graph: logical, config } = params.program;
    const deliveries = pathDeliveries(logical, config).map(({ source, sink, delivery }) => {
      return { source, sink, delivery };
    });
    this.#coordinator = new CheckpointCoordinator({
      world,
      store,
      options: options.checkpoints,
      lastId: store.head.checkpoints.at(-1)?.checkpointId ?? 0,
      hooks: {
        participants: () => this.#participants(),
        inject: (barrier) => this.#inject(barrier),
        record: (checkpoint) =>
          recordOf(checkpoint, graph, {
            jobId: params.jobId,
            generation: store.head.generation,
            completedAtMs: world.clock.wallMs(),
            mode: options.checkpoints.mode,
            deliveries,
            enumerators: this.#enumerators,
            attemptIdOf: (vertexId, index) => this.#executions.at(vertexId, index)!.attemptId,
          }),
        notifyComplete: (record, ends) => this.#onCompleted(record, ends),
        notifyAborted: (checkpointId) => this.#onAborted(checkpointId),
        failJob: (error) => this.#onFailure('the job', this.#executions.all, error),
        discard: (snapshots) => this.#discard(snapshots),
      },
    });
  }

  /**
   * Runs the job to its end.
   * @throws `cancelled` JOB_CANCELED after `cancel`; `data` RESTORE_REFUSED; else what made the job fail for good
   */
  async run(): Promise<JobOutcome> {
    const { graph, options } = this.#params;
    if (this.#latest !== undefined) checkRestore(this.#latest, graph, options.ignoreUnclaimedState);
    for (const region of this.#regions) this.#deploy(region);
    this.#coordinator.start();
    return this.#outcome.promise;
  }

  onMessage(message: ToJobMaster): void {
    if (message.type === 'task-state') {
      this.#onTaskState(message.attemptId, message.state, message.error);
      return;
    }
    if (message.type === 'metrics') {
      this.#metrics.report(this.#executions.find(message.attemptId), message.values);
      return;
    }
    if (this.#phase.type !== 'running') return;
    switch (message.type) {
      case 'register':
        return;
      case 'checkpoint-ack':
        this.#coordinator.onEvent({
          type: 'ack',
          checkpointId: message.checkpointId,
          attemptId: message.attemptId,
          snapshot: message.snapshot,
        });
        return;
      case 'checkpoint-decline':
        this.#onDeclined(message.checkpointId, message.error);
        return;
      case 'checkpoint-committed':
        this.#last.onCommitted(message.checkpointId, message.attemptId);
        return;
      case 'caught-up':
        this.#onCaughtUp(message.attemptId);
        return;
      case 'split-request':
        this.#onSplitRequest(message.attemptId);
        return;
      case 'watermark-report':
        this.#onWatermarkReport(message.attemptId, message.group, message.watermark);
    }
  }

  /** A worker is gone, and with it every attempt it ran. */
  onWorkerLost(worker: string, error: MillraceError): void {
    const lost = this.#executions.all.filter(
      (execution) => execution.worker === worker && !isOver(execution),
    );
    for (const { attemptId } of lost) this.#executions.change(attemptId, 'failed');
    for (const { attemptId } of lost) this.#leaveAlignment(attemptId);
    if (lost.length > 0) this.#onFailure(`worker ${worker}`, lost, error);
    this.#onAttemptOver();
  }

  /** Takes a checkpoint now, unless one is under way or the job does not run as a whole. @testing */
  triggerCheckpoint(): void {
    if (this.#phase.type === 'running') this.#coordinator.trigger();
  }

  /**
   * A checkpoint that its caller needs, taken as soon as possible. @throws `unavailable` CHECKPOINT_FAILED; `cancelled` JOB_OVER
   */
  takeCheckpoint(pin?: PinRequest): Promise<CheckpointRecord> {
    return this.#coordinator.request('checkpoint', pin);
  }

  /**
   * Takes the last checkpoint: when this settles it is committed, and nothing is processed until `stop` or `resume`.
   * @throws as `takeCheckpoint`; `unavailable` STOP_INTERRUPTED: the job goes on
   */
  async halt(pin?: PinRequest): Promise<CheckpointRecord> {
    const record = await this.#coordinator.request('stop', pin);
    await this.#last.committed();
    return record;
  }

  resume(): void {
    this.#last.clear();
    this.#broadcast({ type: 'resume' });
  }

  /** Ends the job where it was halted; `run` settles with 'stopped'. */
  stop(): void {
    if (this.#phase.type !== 'running') return;
    this.#phase = { type: 'stopping' };
    this.#wind(({ attemptId }) => ({ type: 'cancel', attemptIds: [attemptId] }));
  }

  /** Ends the input here: event time runs to its end, and the job finishes. `beforeEnd` is given its final checkpoint. */
  drain(beforeEnd: (final: CheckpointRecord) => Promise<void>): void {
    this.#draining = beforeEnd;
    this.#broadcast({ type: 'drain' });
  }

  /** Stops the job; `run` rejects with `cancelled`. */
  cancel(): void {
    const { name } = this.#params.graph;
    this.fail(new MillraceError('cancelled', 'JOB_CANCELED', `job ${name} was canceled`));
  }

  /** Ends the job; `run` rejects with the error once its tasks have closed. */
  fail(error: MillraceError): void {
    if (this.#phase.type !== 'running') return;
    this.#phase = { type: 'failing', error };
    this.#wind((execution) => ({ type: 'cancel', attemptIds: [execution.attemptId] }));
  }

  #deploy(region: Region): void {
    const { graph } = this.#params;
    const restores = new Map<string, TaskDescriptor['restore']>();
    for (const vertex of graph.vertices)
      for (let index = 0; region.has(vertex.id) && index < vertex.parallelism; index++)
        restores.set(subtaskKey(vertex.id, index), this.#restoreOf(vertex, index));
    const connected = connectSubtasks(
      graph,
      region,
      this.#placement,
      () => this.#nextChannel++,
      (id, index) =>
        restores.get(subtaskKey(id, index))?.inFlight === undefined ? 'open' : 'held',
    );
    const tasks = new Map<string, TaskDescriptor[]>();
    for (const vertex of graph.vertices) {
      if (!region.has(vertex.id)) continue;
      for (let index = 0; index < vertex.parallelism; index++) {
        const replaced = this.#executions.at(vertex.id, index);
        if (replaced !== undefined) this.#params.store.bury(replaced.attemptId);
        const execution = this.#executions.begin(vertex, index, {
          attemptId: newAttemptId(this.#params.store.head.generation, this.#world.ids),
          worker: this.#placement.get(vertex.id)![index]!,
        });
        const restore = restores.get(subtaskKey(vertex.id, index));
        const { attempt, attemptId, worker } = execution;
        const { jobId } = this.#params;
        const descriptor = describeTask(vertex, index, connected, {
          jobId,
          attempt,
          attemptId,
          restore,
        });
        tasks.set(worker, [...(tasks.get(worker) ?? []), descriptor]);
      }
      if (vertex.operators[0]!.kind === 'source') this.#sources.open(vertex, this.#latest);
    }
    for (const [worker, descriptors] of tasks)
      this.#send(worker, { type: 'deploy', tasks: descriptors });
  }

  /** J1 */
  #restoreOf(vertex: JobVertex, subtaskIndex: number): TaskDescriptor['restore'] {
    const latest = this.#latest;
    if (latest === undefined) return undefined;
    const operators = assignState(latest, vertex, subtaskIndex);
    const inFlight = assignInFlight(latest, this.#params.graph, vertex, subtaskIndex);
    const { checkpointId } = latest;
    return { checkpointId, operators, ...(inFlight === undefined ? {} : { inFlight }) };
  }

  #onTaskState(attemptId: string, state: TaskState, wire: WireError | undefined): void {
    const execution = this.#executions.change(attemptId, state);
    if (execution === undefined) return;
    if (state === 'ended' || isOver(execution)) this.#leaveAlignment(attemptId);
    if (state === 'running' && this.#draining !== undefined) this.#broadcast({ type: 'drain' });
    if (state === 'failed') this.#onFailure(placeOf(execution), [execution], errorOf(wire));
    if (isOver(execution)) this.#onAttemptOver();
    if (state === 'ended') this.#onEnded();
  }

  /** What a failure brings about that takes these attempts along. */
  #onFailure(place: string, failed: readonly Execution[], error: MillraceError): void {
    if (this.#phase.type !== 'running') return;
    const { options } = this.#params;
    const moment = { nowMs: this.#world.clock.monotonicMs(), random: this.#world.random.next() };
    const regions = this.#regions.filter((region) =>
      failed.some(({ vertex }) => region.has(vertex.id)),
    );
    const decision = decideFailover(
      { error, regions, moment },
      this.#restarts.regions,
      options.restarts,
      this.#history,
    );
    if (decision.type === 'fail') {
      const text = `${place} failed and the job is not restarted (${decision.reason}): ${error.message}`;
      const { kind, code, details } = error;
      this.fail(new MillraceError(kind, code, text, { details, cause: error }));
    }
    if (decision.type !== 'restart') return;
    const { restartAtMs } = decision.history;
    const delayMs = Math.round(restartAtMs - moment.nowMs);
    const text = `${place} failed, restarting in ${delayMs} ms: ${error.message}`;
    this.#world.logger.log('warn', text, { code: error.code });
    this.#history = decision.history;
    this.#metrics.restarts++;
    this.#last.clear();
    for (const region of decision.regions) this.#restarts.begin(region, restartAtMs);
    this.#coordinator.onEvent({ type: 'cancel' });
  }

  #onAttemptOver(): void {
    this.#restarts.onAttemptOver();
    const isEnding = this.#phase.type !== 'running' && this.#phase.type !== 'over';
    if (isEnding && this.#executions.all.every(isOver)) this.#settle();
  }

  /** J1: from what exists now, which may be newer than what this master has seen completing. */
  #redeploy(region: Region): void {
    // A record that is on its way to the store decides what there is to restore.
    this.#coordinator.whenIdle(() => {
      this.#params.store.latest().then(
        (latest) => {
          if (this.#phase.type !== 'running') return;
          this.#latest = latest;
          this.#deploy(region);
        },
        (error: unknown) => this.#retryOrFail(error, () => this.#redeploy(region)),
      );
    });
  }

  #abandon(worker: string, stuck: Execution): void {
    const text = `${placeOf(stuck)} did not end within task.cancellation.timeout (${this.#params.options.cancellationTimeoutMs} ms) after it was canceled`;
    const { abandon } = this.#workerOf(worker);
    this.#world.logger.log('error', `${text}; stopping ${worker}`);
    if (abandon === undefined)
      this.fail(new MillraceError('internal', 'TASK_STUCK', text, { details: { worker } }));
    else abandon();
  }

  #onSplitRequest(attemptId: string): void {
    const execution = this.#executions.find(attemptId);
    if (execution !== undefined) this.#sources.onRequest(execution);
  }

  #onWatermarkReport(attemptId: string, group: string, watermark: number): void {
    const execution = this.#executions.find(attemptId);
    if (execution === undefined || execution.state === 'ended' || isOver(execution)) return;
    const minimum = this.#alignment.report(group, attemptId, watermark);
    this.#broadcast({ type: 'align-watermark', group, minimum });
  }

  #leaveAlignment(attemptId: string): void {
    for (const { group, minimum } of this.#alignment.leave(attemptId))
      this.#broadcast({ type: 'align-watermark', group, minimum });
  }

  /** Everybody, while every task runs or has ended; nobody otherwise, or when the final checkpoint is complete. */
  #participants(): readonly string[] {
    return !this.#last.isTaken && this.#isWhole
      ? this.#executions.all.map(({ attemptId }) => attemptId)
      : [];
  }

  get #isWhole(): boolean {
    return this.#restarts.regions.size === 0 && this.#executions.areAll('running', 'ended');
  }

  #inject(barrier: CheckpointBarrier): void {
    this.#enumerators = this.#sources.snapshot();
    const sources = this.#sources.executions;
    for (const [worker, attemptIds] of byWorker(sources))
      this.#send(worker, { type: 'trigger-checkpoint', attemptIds, barrier });
  }

  #onDeclined(checkpointId: number, wire: WireError): void {
    this.#world.logger.log('warn', `checkpoint ${checkpointId} declined: ${wire.message}`);
    const reason = fromWireError(wire);
    this.#coordinator.onEvent({ type: 'decline', checkpointId, reason });
  }

  #onCompleted(record: CheckpointRecord, ends: 'final' | 'stop' | undefined): void {
    const { checkpointId } = record;
    // Attempts that took part may have been lost since: their successors begin from it, end again, and have a final one of their own.
    const isLast =
      ends === 'final' ? this.#executions.areAll('ended') : ends === 'stop' && this.#isWhole;
    if (ends !== undefined) {
      const attemptIds = this.#executions.all.map(({ attemptId }) => attemptId);
      this.#last.take(checkpointId, attemptIds);
      if (!isLast) this.#last.clear();
    }
    if (ends === 'final' && isLast) void this.#endWith(record);
    this.#broadcast({ type: 'checkpoint-complete', checkpointId });
    if (!isLast) this.#onEnded();
  }

  #onAborted(checkpointId: number): void {
    this.#broadcast({ type: 'checkpoint-aborted', checkpointId });
    // It may have been the final one.
    this.#world.timers.after(FINAL_RETRY_MS, () => this.#onEnded());
  }

  /** When all input has ended a last checkpoint makes the results visible. */
  #onEnded(): void {
    if (this.#phase.type === 'running' && this.#executions.areAll('ended'))
      this.#coordinator.triggerFinal();
  }

  /** When every source of a job that runs until now has read what there was, it stops until its next run. */
  #onCaughtUp(attemptId: string): void {
    this.#sources.onCaughtUp(attemptId);
    if (!this.#sources.areCaughtUp) return;
    this.halt().then(
      // Not if tasks were restarted meanwhile, and read again.
      () => (this.#sources.areCaughtUp ? this.stop() : this.resume()),
      (error: unknown) => {
        if (this.#phase.type !== 'running') return;
        // Tasks that are started again report again.
        this.#world.logger.log('warn', `not stopped yet: ${asError(error).message}`);
        this.#world.timers.after(STORE_RETRY_MS, () => this.#onCaughtUp(attemptId));
      },
    );
  }

  async #endWith(final: CheckpointRecord): Promise<void> {
    try {
      await this.#last.committed();
    } catch {
      return; // void: there will be another
    }
    await this.#draining?.(final);
    this.#finish();
  }

  /** Everything is committed: the job is finished once its head says so. */
  #finish(): void {
    if (!this.#last.isTaken || this.#phase.type !== 'running') return;
    this.#params.store.finish().then(
      () => {
        if (this.#phase.type !== 'running') return;
        this.#phase = { type: 'finishing' };
        this.#wind(({ state, attemptId }) => ({
          type: state === 'ended' ? 'finish' : 'cancel',
          attemptIds: [attemptId],
        }));
      },
      (error: unknown) => this.#retryOrFail(error, () => this.#finish()),
    );
  }

  /** Nothing begins any more; tasks are told to end, each in its way. */
  #wind(farewell: (execution: Execution) => ToTaskManager): void {
    this.#coordinator.stop();
    this.#restarts.stop();
    this.#sources.close();
    for (const execution of this.#executions.all)
      if (!isOver(execution)) this.#send(execution.worker, farewell(execution));
    this.#patience = this.#world.timers.after(END_PATIENCE_MS, () => this.#settle());
    this.#onAttemptOver();
  }

  #settle(): void {
    const phase = this.#phase;
    this.#phase = { type: 'over' };
    this.#patience?.cancel();
    if (phase.type === 'finishing' || phase.type === 'stopping')
      this.#outcome.resolve({
        state: phase.type === 'finishing' ? 'finished' : 'stopped',
        metrics: this.#metrics.total({
          numberOfCompletedCheckpoints: this.#coordinator.completed,
        }),
      });
    else if (phase.type === 'failing') this.#outcome.reject(phase.error);
  }

  /** A store that does not answer is asked again until it does. Anything else ends the job. */
  #retryOrFail(error: unknown, retry: () => void): void {
    if (this.#phase.type !== 'running') return;
    if (!isMillraceError(error) || error.kind !== 'unavailable') {
      this.fail(
        isMillraceError(error)
          ? error
          : new MillraceError('internal', 'JOB_FAILED', asError(error).message, { cause: error }),
      );
      return;
    }
    this.#world.logger.log('warn', `the checkpoint store does not answer: ${error.message}`);
    this.#world.timers.after(STORE_RETRY_MS, () => {
      if (this.#phase.type === 'running') retry();
    });
  }

  #discard(snapshots: readonly SubtaskSnapshot[]): void {
    for (const key of exclusiveObjectsOf(snapshots)) {
      this.#params.objects
        .delete(key)
        .catch((error: unknown) =>
          this.#world.logger.log('debug', `could not discard ${key}`, { reason: String(error) }),
        );
    }
  }

  #cancelAll(executions: readonly Execution[]): void {
    for (const [worker, attemptIds] of byWorker(executions))
      this.#send(worker, { type: 'cancel', attemptIds });
  }

  #broadcast(message: ToTaskManager): void {
    for (const worker of this.#params.workers) worker.send(message);
  }

  #send(worker: string, message: ToTaskManager): void {
    this.#workerOf(worker).send(message);
  }

  #workerOf(name: string): WorkerRef {
    return this.#params.workers.find((worker) => worker.name === name)!; // placed by the same list
  }
}

const errorOf = (wire: WireError | undefined): MillraceError =>
  wire === undefined
    ? new MillraceError('internal', 'TASK_FAILED', 'a task failed without a reason')
    : fromWireError(wire);
