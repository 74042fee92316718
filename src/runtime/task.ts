/**
 * One attempt of one subtask: a mailbox, a chain of operators, an input and outputs, on one thread.
 *
 *   deploying -> running -> ended -> finished        failed or canceled from any of them
 *
 * Invariants
 *  A1  User code runs only inside `step`, or in one of the few asynchronous phases (open, checkpoint, finish, close) during
 *      which no input is taken (`#suspended`).
 *  A2  Mails come before input. No input is taken while an operator is blocked or an output has no credit, but for barriers that overtake.
 *  A3  A watermark's timers have all fired before the watermark is forwarded and before further input; firing pauses for
 *      backpressure between slices.
 *  A4  Whatever ends the task, everything it opened is closed once, and exactly one terminal state is reported.
 *  A5  After the end of input nothing is emitted but barriers: timers that come due then are dropped.
 *  A6  While a channel holds more than its credit, steps take fewer records, down to one: what waits in channels stays bounded, however much
 *      a record expands into.
 *  A7  After a barrier that stops nothing is processed but orders, until the checkpoint is given up or the task is resumed.
 */
import { assert, internal, toWireError } from '../base/errors.ts';
import type { SplitState } from '../connector/source.ts';
import { BATCH_SIZE_MAX } from '../types/record-batch.ts';
import type { AsyncState, Marker } from './async-state.ts';
import { Mailbox } from './mailbox.ts';
import type { TaskState } from './messages.ts';
import type { TimerProgress } from '../state/keyed-state-backend.ts';
import type { CheckpointBarrier } from './stream-element.ts';
import { type BarrierArrival, TaskCheckpoints } from './task-checkpoints.ts';
import type { TaskDescriptor } from './task-descriptor.ts';
import { locateFailure } from './task-failure.ts';
import type { InputEvent, TaskInputs } from './task-inputs.ts';
import { openTask, type TaskParts } from './task-parts.ts';
import type { Steppable } from './task-scheduler.ts';
import type { TaskServices } from './task-services.ts';
import { TaskTime, type Waiting } from './task-time.ts';

/** Timers fired between two looks at mails and credit. */
const TIMERS_PER_STEP = 256;
const MAILS_PER_STEP = 64;
/** Timers of async functions that run at once: a barrier waits for them. */
const TIMER_FUNCTIONS_MAX = 1024;
/** Batches beyond the credit of a channel that one step may leave behind (A6). */
const BACKLOG_AIM = 2;

/** What a step ends with: there may be more to do at once; something has to arrive; an asynchronous phase is under way. */
type Progress = 'more' | Waiting | 'phase';

export class Task implements Steppable {
  readonly descriptor: TaskDescriptor;
  readonly #services: TaskServices;
  /** From the job master: wait while a phase is under way. */
  readonly #orders = new Mailbox();
  /** From the task's own operators: timers, completions of what they wait for. */
  readonly #mails = new Mailbox();
  readonly #abort = new AbortController();
  readonly #time: TaskTime;
  #parts: TaskParts | undefined;
  #checkpoints: TaskCheckpoints | undefined;
  #state: TaskState = 'deploying';
  /** A1: an asynchronous phase is under way. */
  #suspended = true;
  /** During a phase: operators' own mails are let in, because the phase may wait for them. */
  #receiving = true;
  #timersDue = false;
  #lastFlushMs = 0;
  #recordsPerStep = BATCH_SIZE_MAX;
  #released: (() => void) | undefined;
  /** The stopping checkpoint (A7). */
  #haltedBy: number | undefined;
  #caughtUp = false;

  constructor(descriptor: TaskDescriptor, services: TaskServices) {
    this.descriptor = descriptor;
    this.#services = services;
    this.#time = new TaskTime(services.world.clock);
  }

  get state(): TaskState {
    return this.#state;
  }

  /** Opens everything and begins to run. Failures are reported, never thrown. */
  start(): void {
    this.#phase(async () => {
      this.#report('deploying');
      this.#parts = await openTask(this.descriptor, this.#services, {
        wake: () => this.#wake(),
        mail: (mail) => this.#receive(mail),
        timerMail: (mail) => {
          if (this.#state !== 'ended') this.#receive(mail);
        },
        fail: (error) => this.fail(error),
        timersDue: () => {
          this.#timersDue = true;
          this.#wake();
        },
        time: this.#time,
        signal: this.#abort.signal,
      });
      await this.#parts.openAsyncState((marker) => this.#applyMarker(this.#parts!, marker));
      this.#parts.metrics.gauge('mailboxQueueSize', () => this.#mails.size + this.#orders.size);
      this.#checkpoints = new TaskCheckpoints(this.descriptor, this.#services, this.#parts);
      if (this.#state === 'deploying') this.#become('running');
    });
  }

  triggerCheckpoint(barrier: CheckpointBarrier): void {
    this.#order(() => this.#checkpoint(barrier, 0));
  }

  notifyCheckpointComplete(checkpointId: number): void {
    this.#order(() => {
      this.#checkpoints!.complete(checkpointId).catch((error: unknown) => this.fail(error));
    });
  }

  notifyCheckpointAborted(checkpointId: number): void {
    this.#order(() => {
      if (this.#haltedBy === checkpointId) this.#haltedBy = undefined;
      this.#parts!.inputs?.abort(checkpointId);
      this.#parts!.outputs.abort(checkpointId);
      this.#checkpoints!.abort(checkpointId);
    });
  }

  assignSplits(splits: readonly SplitState[]): void {
    this.#order(() => this.#parts!.source?.driver.addSplits(splits));
  }

  noMoreSplits(): void {
    this.#order(() => this.#parts!.source?.driver.noMoreSplits());
  }

  resume(): void {
    this.#order(() => {
      this.#haltedBy = undefined;
    });
  }

  /** A source reads no further; its event time ends. */
  drain(): void {
    this.#order(() => this.#parts!.source?.driver.drain());
  }

  alignWatermark(group: string, minimum: number): void {
    this.#order(() => this.#parts!.source?.driver.alignTo(group, minimum));
  }

  cancel(): void {
    this.#end('canceled');
  }

  /** An ended task may close: its final checkpoint is complete. */
  finish(): void {
    if (this.#state === 'ended') this.#end('finished');
    else
      this.fail(
        internal(
          'NOT_ENDED',
          `task ${this.descriptor.attemptId} is ${this.#state} and cannot finish`,
        ),
      );
  }

  /** Fails the task; the first failure counts. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    const place = {
      task: this.#services.vertex.name,
      subtask: this.descriptor.subtaskIndex,
      source: this.#parts?.source?.driver.place,
    };
    this.#end('failed', locateFailure(error, place));
  }

  step(): boolean {
    if (this.#isOver) return false;
    this.#time.work();
    try {
      const progress = this.#work();
      if (progress === 'more') return !this.#isOver;
      if (progress !== 'phase') this.#time.wait(progress);
    } catch (error) {
      this.fail(error);
    }
    return false;
  }

  metrics(): Readonly<Record<string, number>> {
    return this.#parts?.metrics.read() ?? {};
  }

  get #isOver(): boolean {
    return this.#state === 'finished' || this.#state === 'canceled' || this.#state === 'failed';
  }

  #work(): Progress {
    const parts = this.#parts;
    if (parts === undefined) return 'phase';
    this.#runMails(parts);
    if (this.#isOver || this.#suspended) return 'phase';
    if (parts.inputs?.overtaking === true) {
      const { barrier, alignmentMs } = parts.inputs.takeOvertaking();
      this.#checkpoint(barrier, alignmentMs, 'overtaking');
      return 'phase';
    }
    if (this.#mails.size > 0) return 'more';
    if (this.#haltedBy !== undefined) {
      parts.outputs.flush();
      return 'input';
    }
    if (!parts.available) {
      parts.outputs.flush();
      return 'credit';
    }
    if (parts.asyncState !== undefined) return this.#workAsync(parts, parts.asyncState);
    if (this.#timersDue && this.#state === 'running') return this.#fireProcessingTimers(parts);
    if (parts.inputs !== undefined && this.#hasTimeChange(parts.inputs))
      return this.#changeTime(parts, parts.inputs);
    return this.#takeInput(parts);
  }

  #runMails(parts: TaskParts): void {
    let ran = 0;
    while (ran < MAILS_PER_STEP && !this.#isOver && (!this.#suspended || this.#receiving)) {
      const mail = this.#mails.take();
      if (mail === undefined) break;
      mail();
      ran++;
    }
    if (ran > 0 && !this.#isOver) parts.flushOperators();
    // A watermark's timers are one unit with it: an order such as a barrier trigger waits until they have fired.
    while (!this.#suspended && !this.#isOver && parts.inputs?.change.watermark === undefined) {
      const order = this.#orders.take();
      if (order === undefined) return;
      order();
    }
  }

  #receive(mail: () => void): void {
    if (this.#isOver) return;
    this.#mails.put(mail);
    this.#wake();
  }

  #order(order: () => void): void {
    if (this.#isOver) return;
    this.#orders.put(order);
    this.#wake();
  }

  #takeInput(parts: TaskParts): Progress {
    const worked = parts.source === undefined ? this.#takeElement(parts) : this.#pollSource(parts);
    const { outputs } = parts;
    const now = this.#services.world.clock.monotonicMs();
    if (!worked || now - this.#lastFlushMs >= parts.bufferTimeoutMs) {
      this.#lastFlushMs = now;
      outputs.flush();
    }
    if (outputs.backlog > BACKLOG_AIM)
      this.#recordsPerStep = Math.max(1, this.#recordsPerStep >> 2);
    else if (this.#recordsPerStep < BATCH_SIZE_MAX) this.#recordsPerStep *= 2;
    this.#scheduleTimer(parts);
    return worked ? 'more' : 'input';
  }

  #pollSource(parts: TaskParts): boolean {
    if (this.#state === 'ended') return false;
    const { driver } = parts.source!;
    if (driver.step(this.#recordsPerStep)) return true;
    if (!driver.ended) return false;
    if (parts.runsUntilNow && !driver.drained) this.#reportCaughtUp();
    else this.#endOfInput(parts);
    return !parts.runsUntilNow || driver.drained;
  }

  /** There is more to come in a later run: event time does not end. */
  #reportCaughtUp(): void {
    if (this.#caughtUp) return;
    this.#caughtUp = true;
    this.#services.report({ type: 'caught-up', attemptId: this.descriptor.attemptId });
  }

  /** An ended task still takes the barriers that come. */
  #takeElement(parts: TaskParts): boolean {
    const event = parts.inputs!.poll(this.#recordsPerStep);
    if (event === undefined) return false;
    this.#onEvent(parts, event);
    return true;
  }

  #onEvent(parts: TaskParts, event: InputEvent): void {
    switch (event.kind) {
      case 'batch':
        if (parts.asyncState === undefined) parts.process(event.input, event.batch);
        else parts.asyncState.offer(event.input, event.batch);
        return;
      case 'time':
        return;
      case 'latency':
        if (parts.asyncState === undefined) parts.sendToAll(event);
        else parts.asyncState.controller.offerMarker({ kind: 'latency', element: event });
        return;
      case 'barrier':
        if (parts.asyncState === undefined || event.barrier.stops !== true)
          this.#checkpoint(event.barrier, event.alignmentMs);
        else parts.asyncState.controller.offerMarker(event);
        return;
      case 'end-of-input':
        if (parts.asyncState === undefined) this.#endInput(parts, event.input, event.all);
        else parts.asyncState.controller.offerMarker(event);
    }
  }

  #endInput(parts: TaskParts, input: 1 | 2, all: boolean): void {
    parts.twoInput?.endInput?.(input);
    if (all) this.#endOfInput(parts);
  }

  #endOfInput(parts: TaskParts): void {
    this.#phase(async () => {
      await parts.finish();
      this.#checkpoints!.ended = true;
      this.#become('ended');
    });
  }

  #hasTimeChange({ change }: TaskInputs): boolean {
    return change.watermark !== undefined || change.idle !== undefined;
  }

  /** A3; a status follows the watermark that came with it. */
  #changeTime(parts: TaskParts, { change }: TaskInputs): Progress {
    const { watermark } = change;
    if (watermark !== undefined) {
      if (this.#advance(parts, watermark) !== 'done') return 'more';
      change.watermark = undefined;
    }
    const { idle } = change;
    change.idle = undefined;
    if (idle !== undefined) parts.forwardStatus(idle);
    return 'more';
  }

  /** Fires the watermark's timers; when all have fired, sends it on. */
  #advance(parts: TaskParts, watermark: number): TimerProgress | 'wait' {
    const running = parts.asyncState?.controller.running ?? 0;
    if (running >= TIMER_FUNCTIONS_MAX) return 'wait';
    const progress = parts.keyed?.advanceWatermark(watermark, TIMERS_PER_STEP) ?? 'done';
    parts.flushHead();
    if (progress !== 'done') return progress;
    // What they set may be due too, and what they emit comes before the watermark.
    if ((parts.asyncState?.controller.running ?? 0) > 0) return 'wait';
    parts.forwardWatermark(watermark);
    this.#scheduleTimer(parts);
    return 'done';
  }

  /** A step of a task whose state may be elsewhere: what waited goes first, then new input. */
  #workAsync(parts: TaskParts, state: AsyncState): Progress {
    const { controller } = state;
    if (state.restored) state.replay();
    const fires = this.#timersDue && this.#state === 'running';
    const mayFire = controller.running === 0 || !controller.full;
    if (fires && mayFire && !controller.paused && !controller.applying)
      return this.#fireProcessingTimers(parts);
    const stepped = controller.step();
    if (this.#suspended || this.#isOver) return 'phase';
    if (!parts.available) {
      state.settle(false);
      return 'more';
    }
    const worked = this.#takeAsyncInput(parts, state);
    if (this.#suspended || this.#isOver) return 'phase';
    state.settle(!stepped && !worked);
    this.#scheduleTimer(parts);
    return stepped || worked || controller.runnable ? 'more' : 'input';
  }

  #takeAsyncInput(parts: TaskParts, state: AsyncState): boolean {
    const { change } = parts.inputs!; // operators with keyed state have inputs
    if (change.watermark !== undefined) state.offerWatermark(change.watermark);
    if (change.idle !== undefined)
      state.controller.offerMarker({ kind: 'status', idle: change.idle });
    const told = change.watermark !== undefined || change.idle !== undefined;
    change.watermark = undefined;
    change.idle = undefined;
    if (told) return true;
    if (state.controller.wantsInput) return this.#takeInput(parts) === 'more';
    if (state.controller.full) parts.outputs.flush();
    return false;
  }

  #applyMarker(parts: TaskParts, marker: Marker): TimerProgress | 'wait' {
    switch (marker.kind) {
      case 'watermark':
        return this.#advance(parts, marker.watermark);
      case 'status':
        parts.forwardStatus(marker.idle);
        return 'done';
      case 'latency':
        parts.sendToAll(marker.element);
        return 'done';
      case 'barrier':
        this.#receive(() => this.#checkpoint(marker.barrier, marker.alignmentMs));
        return 'done';
      case 'end-of-input':
        this.#endInput(parts, marker.input, marker.all);
        return 'done';
    }
  }

  #fireProcessingTimers(parts: TaskParts): Progress {
    const now = this.#services.world.clock.wallMs();
    const progress = parts.keyed?.advanceProcessingTime(now, TIMERS_PER_STEP) ?? 'done';
    parts.flushHead();
    if (progress === 'load') {
      const state = parts.asyncState;
      assert(state !== undefined, 'state that has to be loaded has a controller');
      state.controller.pauseForLoad();
      state.settle(true);
      return 'more';
    }
    if (progress === 'done') {
      this.#timersDue = false;
      this.#scheduleTimer(parts);
    }
    return 'more';
  }

  /** Timers that are due and have to wait, for state or for ever, ask for no wake-up of their own: the task would spin. */
  #scheduleTimer(parts: TaskParts): void {
    if (!this.#timersDue) parts.scheduleTimer();
  }

  #checkpoint(
    barrier: CheckpointBarrier,
    alignmentMs: number,
    arrival: BarrierArrival = 'in-order',
  ): void {
    this.#phase(() =>
      this.#checkpoints!
        .take({ barrier, alignmentMs, arrival }, () => {
          this.#receiving = false;
        })
        .then(() => {
          if (barrier.stops === true) this.#haltedBy = barrier.checkpointId;
        }),
    );
  }

  /** Runs an asynchronous phase: no input is taken until it is over. */
  #phase(run: () => Promise<void>): void {
    this.#suspended = true;
    this.#receiving = true;
    run().then(
      () => {
        this.#suspended = false;
        this.#released?.();
        this.#wake();
      },
      (error: unknown) => {
        this.#suspended = false;
        this.#released?.();
        this.fail(error);
      },
    );
  }

  #end(state: 'finished' | 'canceled' | 'failed', error?: unknown): void {
    if (this.#isOver) return;
    this.#state = state;
    this.#mails.close();
    this.#orders.close();
    this.#abort.abort();
    void this.#close().then((closing) => this.#report(state, error ?? closing));
  }

  /** A4. Waits for a phase that is under way: what it opens must be closed too. */
  async #close(): Promise<unknown> {
    // Never inside a call of the operator that failed: it may still emit before it returns.
    await Promise.resolve();
    if (this.#suspended) {
      // An aborted phase settles soon: every wait in it listens to the signal.
      await new Promise<void>((resolve) => {
        this.#released = resolve;
      });
    }
    try {
      await this.#parts?.close();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #become(state: TaskState): void {
    if (this.#isOver) return;
    this.#state = state;
    this.#report(state);
  }

  #report(state: TaskState, error?: unknown): void {
    const { attemptId } = this.descriptor;
    if (state === 'ended')
      this.#services.report({ type: 'metrics', attemptId, values: this.metrics() });
    this.#services.report({
      type: 'task-state',
      attemptId,
      state,
      ...(error === undefined ? {} : { error: toWireError(error) }),
    });
  }

  #wake(): void {
    this.#services.scheduler.wake(this);
  }
}
