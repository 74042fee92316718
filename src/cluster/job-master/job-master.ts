/**
 * Runs one job: deploys its subtasks, coordinates checkpoints, restarts regions that fail, and ends it.
 *
 * The decisions are elsewhere, pure: `schedule.ts`, `checkpoint-progress.ts`, `restart-strategy.ts`, `state-assignment.ts`. Here is what drives them.
 *
 * Invariants
 *  J1  A region is deployed only when no attempt of it is alive any more, as far as its workers have said; a worker that is gone
 *      has no living attempts.
 *  J2  Every deployment starts from the newest checkpoint that exists, or from nothing if there is none.
 *  J3  Messages of attempts that are not current change nothing.
 */
import {
  asError,
  fromWireError,
  isMillraceError,
  MillraceError,
  toWireError,
  type WireError,
} from '../../base/errors.ts';
import type { World } from '../../base/world.ts';
import type { Source } from '../../connector/source.ts';
import { pipelinedRegions } from '../../graph/build-job-graph.ts';
import type { JobGraph, JobVertex } from '../../graph/job-graph.ts';
import type { Program } from '../../graph/program.ts';
import type { TaskState, ToJobMaster, ToTaskManager } from '../../runtime/messages.ts';
import type { CheckpointBarrier } from '../../runtime/stream-element.ts';
import {
  CHECKPOINT_RECORD_VERSION,
  type CheckpointRecord,
  exclusiveObjectsOf,
} from '../../state/checkpoint-record.ts';
import type { CheckpointStore } from '../../state/checkpoint-storage.ts';
import type { JsonValue } from '../../base/json.ts';
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { Settings } from '../options.ts';
import { CheckpointCoordinator } from './checkpoint-coordinator.ts';
import type { PendingCheckpoint } from './checkpoint-progress.ts';
import { decideRestart, NO_RESTARTS, type RestartHistory } from './restart-strategy.ts';
import {
  connectSubtasks,
  describeTask,
  type Placement,
  placeSubtasks,
  subtaskKey,
  type WorkerSlots,
} from './schedule.ts';
import { SourceCoordinator } from './source-coordinator.ts';
import { assignState, checkRestore } from './state-assignment.ts';

/** A task manager as the job master sees it. */
export interface WorkerRef extends WorkerSlots {
  send(message: ToTaskManager): void;
}

export interface JobMasterParams {
  readonly world: World;
  readonly jobId: string;
  readonly program: Program;
  readonly graph: JobGraph;
  readonly settings: Settings;
  readonly store: CheckpointStore;
  /** Where snapshot bytes are, to discard those of aborted checkpoints. */
  readonly objects: ObjectStore;
  readonly workers: readonly WorkerRef[];
}

export interface JobOutcome {
  readonly metrics: Readonly<Record<string, number>>;
}

interface Attempt {
  readonly vertex: JobVertex;
  readonly subtaskIndex: number;
  readonly attemptId: string;
  readonly worker: string;
  state: TaskState;
}

/** Pause before the checkpoint store is asked again. */
const STORE_RETRY_MS = 500;

const isOver = (state: TaskState): boolean =>
  state === 'finished' || state === 'canceled' || state === 'failed';

export class JobMaster {
  readonly #params: JobMasterParams;
  readonly #world: World;
  readonly #placement: Placement;
  readonly #regions: readonly ReadonlySet<string>[];
  readonly #coordinator: CheckpointCoordinator;
  /** Current attempts, by subtask. */
  readonly #attempts = new Map<string, Attempt>();
  readonly #byId = new Map<string, Attempt>();
  readonly #attemptNumbers = new Map<string, number>();
  readonly #sources = new Map<string, SourceCoordinator>();
  readonly #metrics: Record<string, number> = {};
  readonly #alignment = new Map<string, Map<string, number>>();
  #enumeratorStates = new Map<string, JsonValue>();
  #latest: CheckpointRecord | undefined;
  #history: RestartHistory = NO_RESTARTS;
  #nextChannel = 1;
  /** Regions that wait for their attempts to end before they are deployed again. */
  readonly #restarting = new Map<ReadonlySet<string>, { readonly delayMs: number }>();
  #finalCheckpoint: number | undefined;
  #uncommitted = new Set<string>();
  #settled = false;
  #resolve!: (outcome: JobOutcome) => void;
  #reject!: (error: Error) => void;
  restarts = 0;

  constructor(params: JobMasterParams, latest: CheckpointRecord | undefined) {
    this.#params = params;
    this.#world = params.world;
    this.#latest = latest;
    this.#placement = placeSubtasks(params.graph, params.workers);
    this.#regions = pipelinedRegions(params.graph);
    this.#coordinator = new CheckpointCoordinator({
      world: params.world,
      store: params.store,
      settings: params.settings,
      lastId: params.store.head.checkpoints.at(-1)?.checkpointId ?? 0,
      hooks: {
        participants: () => this.#participants(),
        inject: (barrier) => this.#inject(barrier),
        record: (checkpoint) => this.#record(checkpoint),
        notifyComplete: (checkpointId, final) => this.#onCompleted(checkpointId, final),
        notifyAborted: (checkpointId) => {
          this.#broadcast({ type: 'checkpoint-aborted', checkpointId });
          // The final one is tried again.
          this.#world.timers.after(1, () => this.#onEnded());
        },
        failJob: (error) => this.#onJobFailure(error),
        discard: (snapshots) => this.#discard(snapshots),
      },
    });
  }

  /** Runs the job to its end. Rejects when it failed for good. */
  async run(): Promise<JobOutcome> {
    if (this.#latest !== undefined) {
      checkRestore(
        this.#latest,
        this.#params.graph,
        this.#params.settings['execution.state-recovery.ignore-unclaimed-state'] === true,
      );
    }
    const outcome = new Promise<JobOutcome>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    for (const region of this.#regions) this.#deploy(region);
    this.#coordinator.start();
    return outcome;
  }

  onMessage(message: ToJobMaster): void {
    if (this.#settled) return;
    switch (message.type) {
      case 'register':
        return;
      case 'task-state':
        this.#onTaskState(message.attemptId, message.state, message.error);
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
        this.#world.logger.log(
          'warn',
          `checkpoint ${message.checkpointId} declined: ${message.error.message}`,
        );
        this.#coordinator.onEvent({
          type: 'decline',
          checkpointId: message.checkpointId,
          reason: fromWireError(message.error),
        });
        return;
      case 'checkpoint-committed':
        this.#onCommitted(message.checkpointId, message.attemptId);
        return;
      case 'split-request':
        this.#onSplitRequest(message.attemptId);
        return;
      case 'watermark-report':
        this.#onWatermarkReport(message.attemptId, message.group, message.watermark);
        return;
      case 'metrics':
        this.#addMetrics(message.attemptId, message.values);
    }
  }

  /** A worker is gone, and with it every attempt it ran. */
  onWorkerLost(worker: string, error: Error): void {
    for (const attempt of [...this.#attempts.values()]) {
      if (attempt.worker === worker && !isOver(attempt.state))
        this.#onTaskState(attempt.attemptId, 'failed', toWireError(error));
    }
  }

  /** Takes a checkpoint now, unless one is under way or the job does not run as a whole. @testing */
  triggerCheckpoint(): void {
    this.#coordinator.trigger();
  }

  /** Stops the job; `run` rejects with `cancelled`. */
  cancel(): void {
    this.#fail(
      new MillraceError(
        'cancelled',
        'JOB_CANCELED',
        `job ${this.#params.program.graph.name} was canceled`,
      ),
    );
  }

  /** Ends the job with an error of its surroundings; `run` rejects with it. */
  fail(error: Error): void {
    this.#fail(error);
  }

  #deploy(region: ReadonlySet<string>): void {
    const { graph } = this.#params;
    const connected = connectSubtasks(graph, region, this.#placement, () => this.#nextChannel++);
    const tasks = new Map<string, ReturnType<typeof describeTask>[]>();
    for (const vertex of graph.vertices) {
      if (!region.has(vertex.id)) continue;
      if (vertex.operators[0]!.kind === 'source') this.#openSource(vertex);
      for (let index = 0; index < vertex.parallelism; index++) {
        const { attempt, attemptNumber } = this.#newAttempt(vertex, index);
        const latest = this.#latest;
        const descriptor = describeTask(vertex, index, connected, {
          jobId: this.#params.jobId,
          attempt: attemptNumber,
          attemptId: attempt.attemptId,
          restore:
            latest === undefined
              ? undefined
              : {
                  checkpointId: latest.checkpointId,
                  operators: assignState(latest, vertex, index),
                },
        });
        tasks.set(attempt.worker, [...(tasks.get(attempt.worker) ?? []), descriptor]);
      }
    }
    for (const [worker, descriptors] of tasks)
      this.#send(worker, { type: 'deploy', tasks: descriptors });
  }

  #newAttempt(
    vertex: JobVertex,
    subtaskIndex: number,
  ): { attempt: Attempt; attemptNumber: number } {
    const key = subtaskKey(vertex.id, subtaskIndex);
    const attemptNumber = this.#attemptNumbers.get(key) ?? 0;
    this.#attemptNumbers.set(key, attemptNumber + 1);
    const old = this.#attempts.get(key);
    if (old !== undefined) this.#byId.delete(old.attemptId);
    const attempt: Attempt = {
      vertex,
      subtaskIndex,
      attemptId: this.#world.ids.next(),
      worker: this.#placement.get(vertex.id)![subtaskIndex]!,
      state: 'deploying',
    };
    this.#attempts.set(key, attempt);
    this.#byId.set(attempt.attemptId, attempt);
    return { attempt, attemptNumber };
  }

  #openSource(vertex: JobVertex): void {
    const { id } = vertex.operators[0]!;
    const source = this.#params.program.nodes.get(id)!.source as Source<unknown>; // a source node's code, by the graph's contract
    const old = this.#latest?.vertices
      .flatMap(({ operators }) => operators)
      .find((operator) => operator.id === id);
    void this.#sources.get(vertex.id)?.close();
    this.#sources.set(
      vertex.id,
      new SourceCoordinator({
        source,
        parallelism: vertex.parallelism,
        world: this.#world,
        restored: old?.coordinator,
        send: (subtask, message) => {
          const attempt = this.#attempts.get(subtaskKey(vertex.id, subtask))!;
          this.#send(attempt.worker, { ...message, attemptId: attempt.attemptId });
        },
        fail: (error) => this.#fail(error),
      }),
    );
  }

  #onTaskState(attemptId: string, state: TaskState, error: WireError | undefined): void {
    const attempt = this.#byId.get(attemptId);
    if (attempt === undefined || isOver(attempt.state)) return;
    attempt.state = state;
    if (state === 'failed')
      this.#onFailure(
        attempt,
        error === undefined
          ? new MillraceError('internal', 'TASK_FAILED', 'a task failed without a reason')
          : fromWireError(error),
      );
    if (state === 'failed' || state === 'canceled') this.#continueRestarts();
    if (state === 'ended') this.#onEnded();
    if (
      state === 'finished' &&
      [...this.#attempts.values()].every((other) => other.state === 'finished')
    )
      this.#succeed();
  }

  #onFailure(attempt: Attempt, error: MillraceError): void {
    const region = this.#regions.find((vertices) => vertices.has(attempt.vertex.id))!;
    if (this.#restarting.has(region)) return;
    const where = `"${attempt.vertex.name}" (subtask ${attempt.subtaskIndex})`;
    const decision = decideRestart(
      this.#params.settings,
      this.#history,
      this.#world.clock.monotonicMs(),
      this.#world.random.next(),
    );
    if (!decision.restart || error.kind === 'fenced') {
      const reason = decision.restart ? 'it was fenced' : decision.reason;
      this.#fail(
        new MillraceError(
          error.kind,
          error.code,
          `${where} failed and the job is not restarted (${reason}): ${error.message}`,
          { details: error.details, cause: error },
        ),
      );
      return;
    }
    this.#world.logger.log(
      'warn',
      `${where} failed, restarting in ${decision.delayMs} ms: ${error.message}`,
      { code: error.code },
    );
    this.#history = decision.history;
    this.restarts++;
    this.#coordinator.onEvent({ type: 'cancel' });
    this.#finalCheckpoint = undefined;
    this.#restarting.set(region, { delayMs: decision.delayMs });
    this.#cancelAttempts((other) => region.has(other.vertex.id));
  }

  #cancelAttempts(wanted: (attempt: Attempt) => boolean): void {
    const byWorker = new Map<string, string[]>();
    for (const attempt of this.#attempts.values()) {
      if (wanted(attempt) && !isOver(attempt.state))
        byWorker.set(attempt.worker, [...(byWorker.get(attempt.worker) ?? []), attempt.attemptId]);
    }
    for (const [worker, attemptIds] of byWorker) this.#send(worker, { type: 'cancel', attemptIds });
  }

  /** J1: deploys the regions whose attempts have all ended. */
  #continueRestarts(): void {
    for (const [region, { delayMs }] of [...this.#restarting]) {
      const alive = [...this.#attempts.values()].some(
        (attempt) => region.has(attempt.vertex.id) && !isOver(attempt.state),
      );
      if (alive) continue;
      this.#restarting.delete(region);
      this.#world.timers.after(delayMs, () => {
        if (!this.#settled) this.#redeploy(region);
      });
    }
  }

  /** J2: from what exists now, which may be newer than what this master has seen completing. */
  #redeploy(region: ReadonlySet<string>): void {
    if (this.#coordinator.isBusy) {
      // A record is on its way to the store: it decides what there is to restore.
      this.#world.timers.after(1, () => {
        if (!this.#settled) this.#redeploy(region);
      });
      return;
    }
    this.#params.store.latest().then(
      (latest) => {
        if (this.#settled) return;
        this.#latest = latest;
        // A final checkpoint that completed while its tasks were failing has nobody left to commit it: there will be another.
        this.#finalCheckpoint = undefined;
        this.#deploy(region);
      },
      (error: unknown) => this.#retryOrFail(error, () => this.#redeploy(region)),
    );
  }

  #onSplitRequest(attemptId: string): void {
    const attempt = this.#byId.get(attemptId);
    if (attempt !== undefined)
      this.#sources.get(attempt.vertex.id)?.onRequest(attempt.subtaskIndex);
  }

  #onWatermarkReport(attemptId: string, group: string, watermark: number): void {
    if (!this.#byId.has(attemptId)) return;
    const reports = this.#alignment.get(group) ?? new Map<string, number>();
    this.#alignment.set(group, reports.set(attemptId, watermark));
    const current = [...reports]
      .filter(([id]) => this.#byId.has(id))
      .map(([, reported]) => reported);
    this.#broadcast({ type: 'align-watermark', group, minimum: Math.min(...current) });
  }

  /** Everybody, while every task runs or has ended; nobody otherwise. */
  #participants(): readonly string[] {
    const attempts = [...this.#attempts.values()];
    const whole =
      this.#restarting.size === 0 &&
      attempts.length > 0 &&
      attempts.every(({ state }) => state === 'running' || state === 'ended');
    return whole && this.#finalCheckpoint === undefined
      ? attempts.map(({ attemptId }) => attemptId)
      : [];
  }

  #inject(barrier: CheckpointBarrier): void {
    this.#enumeratorStates = new Map(
      [...this.#sources].map(([vertexId, source]) => [vertexId, source.snapshot()]),
    );
    const byWorker = new Map<string, string[]>();
    for (const attempt of this.#attempts.values()) {
      if (attempt.vertex.operators[0]!.kind !== 'source') continue;
      byWorker.set(attempt.worker, [...(byWorker.get(attempt.worker) ?? []), attempt.attemptId]);
    }
    for (const [worker, attemptIds] of byWorker)
      this.#send(worker, { type: 'trigger-checkpoint', attemptIds, barrier });
  }

  #record(checkpoint: PendingCheckpoint): CheckpointRecord {
    const { program, graph, jobId, store } = this.#params;
    return {
      version: CHECKPOINT_RECORD_VERSION,
      jobId,
      jobName: program.graph.name,
      checkpointId: checkpoint.checkpointId,
      generation: store.head.generation,
      triggeredAtMs: checkpoint.triggeredAtMs,
      completedAtMs: this.#world.clock.wallMs(),
      fingerprint: graph.fingerprint,
      vertices: graph.vertices.map((vertex) => ({
        id: vertex.id,
        operators: vertex.operators.map(({ id, name, uid }) => {
          const coordinator = id === vertex.id ? this.#enumeratorStates.get(id) : undefined;
          return {
            id,
            name,
            parallelism: vertex.parallelism,
            maxParallelism: vertex.maxParallelism,
            ...(uid === undefined ? {} : { uid }),
            ...(coordinator === undefined ? {} : { coordinator }),
          };
        }),
        subtasks: Array.from({ length: vertex.parallelism }, (_, i) =>
          checkpoint.acknowledged.get(this.#attempts.get(subtaskKey(vertex.id, i))!.attemptId)!,
        ),
      })),
    };
  }

  #onCompleted(checkpointId: number, final: boolean): void {
    if (final) {
      this.#finalCheckpoint = checkpointId;
      this.#uncommitted = new Set(this.#byId.keys());
    }
    this.#broadcast({ type: 'checkpoint-complete', checkpointId });
    if (!final) this.#onEnded();
  }

  /** When all input has ended a last checkpoint makes the results visible. */
  #onEnded(): void {
    if (this.#settled) return;
    const all = [...this.#attempts.values()].every(({ state }) => state === 'ended');
    if (
      all &&
      this.#restarting.size === 0 &&
      this.#finalCheckpoint === undefined &&
      !this.#coordinator.isBusy
    )
      this.#coordinator.triggerFinal();
  }

  #onCommitted(checkpointId: number, attemptId: string): void {
    if (checkpointId !== this.#finalCheckpoint) return;
    this.#uncommitted.delete(attemptId);
    if (this.#uncommitted.size === 0) this.#finish(checkpointId);
  }

  /** Everything is committed: the job is over once its head says so. */
  #finish(checkpointId: number): void {
    if (checkpointId !== this.#finalCheckpoint || this.#settled) return;
    this.#params.store.finish().then(
      () => {
        const byWorker = new Map<string, string[]>();
        for (const { worker, attemptId: id } of this.#attempts.values())
          byWorker.set(worker, [...(byWorker.get(worker) ?? []), id]);
        for (const [worker, attemptIds] of byWorker)
          this.#send(worker, { type: 'finish', attemptIds });
      },
      (error: unknown) => this.#retryOrFail(error, () => this.#finish(checkpointId)),
    );
  }

  /** The store did not answer: it is asked again until it does. Anything else ends the job. */
  #retryOrFail(error: unknown, retry: () => void): void {
    if (!isMillraceError(error) || error.kind !== 'unavailable') {
      this.#fail(asError(error));
      return;
    }
    this.#world.logger.log('warn', `the checkpoint store does not answer: ${error.message}`);
    this.#world.timers.after(STORE_RETRY_MS, () => {
      if (!this.#settled) retry();
    });
  }

  #addMetrics(attemptId: string, values: Readonly<Record<string, number>>): void {
    const attempt = this.#byId.get(attemptId);
    if (attempt === undefined) return;
    for (const [name, value] of Object.entries(values)) {
      if (!name.startsWith('num')) continue;
      const key = `${attempt.vertex.name}.${name}`;
      this.#metrics[key] = (this.#metrics[key] ?? 0) + value;
    }
  }

  #onJobFailure(error: MillraceError): void {
    if (error.kind === 'fenced') {
      this.#fail(error);
      return;
    }
    const first = [...this.#attempts.values()].find(({ state }) => !isOver(state));
    if (first !== undefined) this.#onTaskState(first.attemptId, 'failed', toWireError(error));
    if (first !== undefined)
      this.#send(first.worker, { type: 'cancel', attemptIds: [first.attemptId] });
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

  #succeed(): void {
    this.#settle();
    this.#resolve({
      metrics: {
        ...this.#metrics,
        numRestarts: this.restarts,
        numberOfCompletedCheckpoints: this.#coordinator.completed,
      },
    });
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#settle();
    this.#cancelAttempts(() => true);
    this.#reject(
      isMillraceError(error)
        ? error
        : new MillraceError('internal', 'JOB_FAILED', error.message, { cause: error }),
    );
  }

  #settle(): void {
    this.#settled = true;
    this.#coordinator.stop();
    for (const source of this.#sources.values()) void source.close();
  }

  #broadcast(message: ToTaskManager): void {
    for (const worker of this.#params.workers) worker.send(message);
  }

  #send(worker: string, message: ToTaskManager): void {
    this.#params.workers.find(({ name }) => name === worker)!.send(message);
  }
}
