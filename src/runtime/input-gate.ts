/**
 * All input channels of a task: polled fairly, aligned at barriers; or barriers overtake, and what they overtake is saved.
 *
 * Invariants
 *  G1  Exactly-once: between a channel's barrier and the alignment's end nothing more is taken from that channel. Its elements
 *      stay where they are, so its sender runs out of credit.
 *  G2  A barrier is reported once: by `poll` when every channel that has not ended has delivered it, or by `takeOvertaking` before that.
 *  G3  A barrier of a newer checkpoint ends an older alignment and what was still saved for it; barriers that are older than the newest
 *      are ignored.
 *  G4  A checkpoint whose barrier has overtaken holds, of each channel that had not delivered it, every element in front of the barrier
 *      that was not taken when the state was captured.
 *  G5  On channels that align, a barrier overtakes nothing: the others wait for it there.
 */
import type { Clock, Timer, Timers } from '../base/world.ts';
import type { InputChannel } from './channel.ts';
import type { ChannelCapture } from './channel-capture.ts';
import type { CheckpointBarrier, StreamElement } from './stream-element.ts';

export interface GateChannel {
  readonly channel: InputChannel;
  /** Which input of the operator. */
  readonly input: 1 | 2;
  /** G5 */
  readonly aligns: boolean;
}

/** To be forwarded with the time that is left until it overtakes. */
export interface ReportedBarrier {
  readonly kind: 'barrier';
  readonly barrier: CheckpointBarrier;
  readonly alignmentMs: number;
}

export type GateEvent =
  | {
      readonly kind: 'element';
      readonly index: number;
      readonly input: 1 | 2;
      readonly element: Exclude<StreamElement, { kind: 'barrier' | 'end-of-input' }>;
    }
  | ReportedBarrier
  | { readonly kind: 'end-of-input'; readonly input: 1 | 2; readonly all: boolean };

export class InputGate {
  readonly #channels: readonly GateChannel[];
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #timers: Pick<Timers, 'after'>;
  readonly #wake: () => void;
  readonly #blocked: boolean[];
  readonly #ended: boolean[];
  #next = 0;
  #barrier: CheckpointBarrier | undefined;
  #arrived = new Set<number>();
  #startedMs = 0;
  /** When the barrier overtakes. */
  #deadlineMs = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #newest = -1;
  /** Of what arrives until its barrier does; told when nobody waits for it any more. */
  #capturing: { readonly checkpointId: number; abandon(): void } | undefined;
  /** An end that completed an alignment: it belongs after the barrier. */
  #pendingEnd: 1 | 2 | undefined;

  /** @param wake called when `overtaking` may have become true. */
  constructor(
    channels: readonly GateChannel[],
    world: { readonly clock: Pick<Clock, 'monotonicMs'>; readonly timers: Pick<Timers, 'after'> },
    wake: () => void,
  ) {
    this.#channels = channels;
    this.#clock = world.clock;
    this.#timers = world.timers;
    this.#wake = wake;
    this.#blocked = channels.map(() => false);
    this.#ended = channels.map(() => false);
    for (const { channel } of channels)
      channel.queue.onBarrier = (barrier) => this.#announce(barrier);
  }

  get channelCount(): number {
    return this.#channels.length;
  }

  /** The next thing for the task to do; undefined when nothing can be taken now. */
  poll(): GateEvent | undefined {
    const pending = this.#pendingEnd;
    if (pending !== undefined) {
      this.#pendingEnd = undefined;
      const end = this.#endEvent(pending);
      if (end !== undefined) return end;
    }
    const count = this.#channels.length;
    for (let tried = 0; tried < count; tried++) {
      const index = this.#next;
      this.#next = index + 1 === count ? 0 : index + 1;
      if (this.#blocked[index]! || this.#channels[index]!.channel.isEmpty) continue;
      const event = this.#take(index);
      if (event !== undefined) return event;
      tried = -1; // an element was consumed without an event: look everywhere again
    }
    return undefined;
  }

  /** A barrier has waited for as long as it waits: the task should take its snapshot, whatever else it has to do. */
  get overtaking(): boolean {
    if (this.#barrier === undefined) return false;
    if (this.#clock.monotonicMs() < this.#deadlineMs) return false;
    return this.#channels.every(
      ({ aligns }, i) => !aligns || this.#ended[i]! || this.#arrived.has(i),
    );
  }

  /** That barrier. `capture` belongs to it; nothing may be polled in between. */
  takeOvertaking(): ReportedBarrier {
    const barrier = this.#barrier!;
    const alignmentMs = this.#clock.monotonicMs() - this.#startedMs;
    // Until its capture it stands for the newest, and is not reported again.
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    return { kind: 'barrier', barrier: { ...barrier, overtakesAfterMs: 0 }, alignmentMs };
  }

  /**
   * G4: hands over what the barrier overtook, to the capture that `captureOf` makes for each channel, and ends the alignment.
   * @param abandoned called if the checkpoint is given up before all of it has arrived
   * @returns false if it has been given up already
   */
  capture(
    checkpointId: number,
    captureOf: (index: number) => ChannelCapture,
    abandoned: () => void,
  ): boolean {
    if (this.#barrier?.checkpointId !== checkpointId) return false;
    const arrived = this.#arrived;
    this.#endAlignment();
    this.#capturing = { checkpointId, abandon: abandoned };
    for (const [index, { channel }] of this.#channels.entries())
      if (!this.#ended[index]! && !arrived.has(index))
        channel.queue.capture(checkpointId, captureOf(index));
    return true;
  }

  /** The coordinator gave a checkpoint up: its alignment ends. */
  abort(checkpointId: number): void {
    if (this.#barrier?.checkpointId === checkpointId) this.#endAlignment();
    if (this.#capturing?.checkpointId === checkpointId) this.#abandonCapture();
    this.#newest = Math.max(this.#newest, checkpointId);
  }

  /** What was restored is processed: the channels get the credit that they began without. */
  release(): void {
    for (const { channel } of this.#channels) channel.release();
  }

  limitBatches(records: number): void {
    for (const { channel } of this.#channels) channel.limitBatches(records);
  }

  close(): void {
    this.#endAlignment();
    for (const { channel } of this.#channels) channel.close();
  }

  #take(index: number): GateEvent | undefined {
    const { channel, input } = this.#channels[index]!;
    const element = channel.poll()!;
    if (element.kind === 'barrier') return this.#onBarrier(index, element);
    if (element.kind === 'end-of-input') return this.#onEnd(index, input);
    return { kind: 'element', index, input, element };
  }

  /** A barrier that may overtake stands in a channel. */
  #announce(barrier: CheckpointBarrier): void {
    const { overtakesAfterMs } = barrier;
    if (overtakesAfterMs === undefined || !this.#isCurrent(barrier)) return;
    this.#begin(barrier);
    const deadlineMs = this.#clock.monotonicMs() + overtakesAfterMs;
    if (deadlineMs >= this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (overtakesAfterMs === 0) this.#wake();
    else
      this.#timer = this.#timers.after(overtakesAfterMs, () => {
        this.#deadlineMs = Number.NEGATIVE_INFINITY; // whatever the clock says
        this.#wake();
      });
  }

  #isCurrent({ checkpointId }: CheckpointBarrier): boolean {
    if (checkpointId < this.#newest) return false;
    return this.#barrier !== undefined || checkpointId !== this.#newest;
  }

  /** G3 */
  #begin(barrier: CheckpointBarrier): void {
    if (this.#barrier?.checkpointId === barrier.checkpointId) return;
    this.#endAlignment();
    this.#abandonCapture();
    this.#barrier = barrier;
    this.#newest = barrier.checkpointId;
    this.#startedMs = this.#clock.monotonicMs();
  }

  #onBarrier(index: number, barrier: CheckpointBarrier): GateEvent | undefined {
    if (!this.#isCurrent(barrier)) return undefined;
    this.#begin(barrier);
    this.#arrived.add(index);
    if (barrier.mode === 'exactly-once') this.#blocked[index] = true;
    return this.#completed();
  }

  #onEnd(index: number, input: 1 | 2): GateEvent | undefined {
    this.#ended[index] = true;
    const barrier = this.#completed();
    if (barrier !== undefined) {
      this.#pendingEnd = input;
      return barrier;
    }
    return this.#endEvent(input);
  }

  #endEvent(input: 1 | 2): GateEvent | undefined {
    const inputEnded = this.#channels.every(
      (channel, i) => channel.input !== input || this.#ended[i]!,
    );
    return inputEnded
      ? { kind: 'end-of-input', input, all: this.#ended.every(Boolean) }
      : undefined;
  }

  #completed(): GateEvent | undefined {
    if (this.#barrier === undefined) return undefined;
    const complete = this.#channels.every((_, i) => this.#ended[i]! || this.#arrived.has(i));
    if (!complete) return undefined;
    const barrier = this.#barrier;
    const now = this.#clock.monotonicMs();
    const left = Math.max(0, this.#deadlineMs - now);
    const alignmentMs = now - this.#startedMs;
    this.#endAlignment();
    return {
      kind: 'barrier',
      barrier:
        barrier.overtakesAfterMs === undefined ? barrier : { ...barrier, overtakesAfterMs: left },
      alignmentMs,
    };
  }

  #endAlignment(): void {
    this.#barrier = undefined;
    this.#arrived = new Set();
    this.#blocked.fill(false);
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #abandonCapture(): void {
    const capturing = this.#capturing;
    if (capturing === undefined) return;
    this.#capturing = undefined;
    for (const { channel } of this.#channels) channel.queue.endCapture();
    capturing.abandon();
  }
}
