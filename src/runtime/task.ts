/**
 * One attempt of one subtask: a mailbox, a chain of operators, an input and outputs, on one thread.
 *
 *   deploying -> running -> ended -> finished        failed or canceled from any of them
 *
 * Invariants
 *  A1  User code runs only inside `step`, or in one of the few asynchronous phases (open, checkpoint, finish, close) during
 *      which no input is taken (`#suspended`).
 *  A2  Mails come before input. No input is taken while an operator is blocked or an output has no credit.
 *  A3  A watermark's timers have all fired before the watermark is forwarded and before further input; firing pauses for
 *      backpressure between slices.
 *  A4  Whatever ends the task, everything it opened is closed once, and exactly one terminal state is reported.
 */
import { internal, toWireError } from '../base/errors.ts';
import type { SplitState } from '../connector/source.ts';
import { MAX_WATERMARK } from '../types/record-batch.ts';
import { type GateEvent } from './input-gate.ts';
import type { TaskState } from './messages.ts';
import type { CheckpointBarrier } from './stream-element.ts';
import { TaskCheckpoints } from './task-checkpoints.ts';
import type { TaskDescriptor } from './task-descriptor.ts';
import type { TaskServices } from './task-services.ts';
import { openTask, type TaskParts } from './task-parts.ts';
import type { Steppable } from './task-scheduler.ts';

/** Timers fired between two looks at mails and credit. */
const TIMERS_PER_STEP = 256;
const MAILS_PER_STEP = 64;

export class Task implements Steppable {
  readonly descriptor: TaskDescriptor;
  readonly #services: TaskServices;
  /** From the job master: wait while a phase is under way. */
  readonly #orders: (() => void)[] = [];
  /** From the task's own operators: timers, completions of what they wait for. */
  readonly #mails: (() => void)[] = [];
  readonly #abort = new AbortController();
  #parts: TaskParts | undefined;
  #checkpoints: TaskCheckpoints | undefined;
  #state: TaskState = 'deploying';
  /** A1: an asynchronous phase is under way. */
  #suspended = true;
  /** During a phase: operators' own mails are let in, because the phase may wait for them. */
  #receiving = true;
  #pendingWatermark: number | undefined;
  #timersDue = false;
  #lastFlushMs = 0;
  #released: (() => void) | undefined;

  constructor(descriptor: TaskDescriptor, services: TaskServices) {
    this.descriptor = descriptor;
    this.#services = services;
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
        fail: (error) => this.fail(error),
        timerDue: () => {
          this.#timersDue = true;
          this.#wake();
        },
        signal: this.#abort.signal,
      });
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
      this.#parts!.gate?.abort(checkpointId);
      this.#checkpoints!.abort(checkpointId);
    });
  }

  assignSplits(splits: readonly SplitState[]): void {
    this.#order(() => this.#parts!.source?.addSplits(splits));
  }

  noMoreSplits(): void {
    this.#order(() => this.#parts!.source?.noMoreSplits());
  }

  alignWatermark(group: string, minimum: number): void {
    this.#order(() => this.#parts!.source?.alignTo(group, minimum));
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

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#end('failed', error);
  }

  step(): boolean {
    if (this.#isOver) return false;
    try {
      return this.#work();
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  metrics(): Readonly<Record<string, number>> {
    return this.#parts?.metrics.read() ?? {};
  }

  get #isOver(): boolean {
    return this.#state === 'finished' || this.#state === 'canceled' || this.#state === 'failed';
  }

  #work(): boolean {
    const parts = this.#parts;
    if (parts === undefined) return false;
    this.#runMails();
    if (this.#isOver || this.#suspended) return false;
    if (this.#mails.length > 0) return true;
    if (!parts.available) {
      parts.flush();
      return false;
    }
    if (this.#timersDue) return this.#fireProcessingTimers(parts);
    if (this.#pendingWatermark !== undefined) return this.#advanceWatermark(parts);
    // An ended task still takes the barriers that come.
    if (this.#state === 'ended') return parts.gate !== undefined && this.#takeElement(parts);
    return this.#takeInput(parts);
  }

  #runMails(): void {
    for (let i = 0; i < MAILS_PER_STEP && this.#mails.length > 0; i++) {
      if (this.#suspended && !this.#receiving) return;
      this.#mails.shift()!();
    }
    // A watermark's timers are one unit with it: an order such as a barrier trigger waits until they have fired.
    while (this.#orders.length > 0 && !this.#suspended && this.#pendingWatermark === undefined)
      this.#orders.shift()!();
  }

  #receive(mail: () => void): void {
    if (this.#isOver) return;
    this.#mails.push(mail);
    this.#wake();
  }

  #order(order: () => void): void {
    if (this.#isOver) return;
    this.#orders.push(order);
    this.#wake();
  }

  #takeInput(parts: TaskParts): boolean {
    const worked = parts.source === undefined ? this.#takeElement(parts) : this.#pollSource(parts);
    const now = this.#services.world.clock.monotonicMs();
    if (!worked || now - this.#lastFlushMs >= parts.bufferTimeoutMs) {
      this.#lastFlushMs = now;
      parts.flush();
    }
    parts.scheduleTimer();
    return worked;
  }

  #pollSource(parts: TaskParts): boolean {
    if (parts.source!.step()) return true;
    if (!parts.source!.ended) return false;
    this.#endOfInput(parts);
    return true;
  }

  #takeElement(parts: TaskParts): boolean {
    const event = parts.gate!.poll();
    if (event === undefined) return false;
    this.#onEvent(parts, event);
    return true;
  }

  #onEvent(parts: TaskParts, event: GateEvent): void {
    switch (event.kind) {
      case 'element':
        parts.process(event);
        if (parts.takeWatermark() !== undefined) this.#pendingWatermark = parts.valveWatermark;
        return;
      case 'barrier':
        this.#checkpoint(event.barrier, event.alignmentMs);
        return;
      case 'end-of-input':
        parts.twoInput?.endInput?.(event.input);
        if (event.all) this.#endOfInput(parts);
    }
  }

  #endOfInput(parts: TaskParts): void {
    this.#phase(async () => {
      if (parts.source !== undefined) parts.output.emitWatermark(MAX_WATERMARK);
      await parts.finish();
      this.#become('ended');
    });
  }

  #advanceWatermark(parts: TaskParts): boolean {
    const watermark = this.#pendingWatermark!;
    const done = parts.keyed?.advanceWatermark(watermark, TIMERS_PER_STEP) ?? true;
    parts.flushHead();
    if (!done) return true;
    this.#pendingWatermark = undefined;
    parts.forwardWatermark(watermark);
    parts.scheduleTimer();
    return true;
  }

  #fireProcessingTimers(parts: TaskParts): boolean {
    const done =
      parts.keyed?.advanceProcessingTime(this.#services.world.clock.wallMs(), TIMERS_PER_STEP) ??
      true;
    parts.flushHead();
    if (done) {
      this.#timersDue = false;
      parts.scheduleTimer();
    }
    return true;
  }

  #checkpoint(barrier: CheckpointBarrier, alignmentMs: number): void {
    this.#phase(() =>
      this.#checkpoints!.take(barrier, alignmentMs, () => {
        this.#receiving = false;
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
    this.#mails.length = 0;
    this.#orders.length = 0;
    this.#abort.abort();
    void this.#close().then((closing) => this.#report(state, error ?? closing));
  }

  /** A4. Waits for a phase that is under way: what it opens must be closed too. */
  async #close(): Promise<unknown> {
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
