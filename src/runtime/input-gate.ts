/**
 * All input channels of a task: polled fairly, aligned at barriers.
 *
 * Invariants
 *  G1  Exactly-once: between a channel's barrier and the alignment's end nothing more is taken from that channel. Its elements
 *      stay where they are, so its sender runs out of credit.
 *  G2  A barrier is reported once, when every channel that has not ended has delivered it.
 *  G3  A barrier of a newer checkpoint ends an older alignment; barriers that are older than the newest are ignored.
 */
import type { Clock } from '../base/world.ts';
import type { InputChannel } from './channel.ts';
import type { CheckpointBarrier, StreamElement } from './stream-element.ts';

export interface GateChannel {
  readonly channel: InputChannel;
  /** Which input of the operator. */
  readonly input: 1 | 2;
}

export type GateEvent =
  | {
      readonly kind: 'element';
      readonly index: number;
      readonly input: 1 | 2;
      readonly element: Exclude<StreamElement, { kind: 'barrier' | 'end-of-input' }>;
    }
  | { readonly kind: 'barrier'; readonly barrier: CheckpointBarrier; readonly alignmentMs: number }
  | { readonly kind: 'end-of-input'; readonly input: 1 | 2; readonly all: boolean };

export class InputGate {
  readonly #channels: readonly GateChannel[];
  readonly #clock: Clock;
  readonly #blocked: boolean[];
  readonly #ended: boolean[];
  #next = 0;
  #barrier: CheckpointBarrier | undefined;
  #arrived = new Set<number>();
  #startedMs = 0;
  #newest = -1;
  /** An end that completed an alignment: it belongs after the barrier. */
  #pendingEnd: 1 | 2 | undefined;

  constructor(channels: readonly GateChannel[], clock: Clock) {
    this.#channels = channels;
    this.#clock = clock;
    this.#blocked = channels.map(() => false);
    this.#ended = channels.map(() => false);
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

  /** The coordinator gave a checkpoint up: its alignment ends. */
  abort(checkpointId: number): void {
    if (this.#barrier?.checkpointId === checkpointId) this.#release();
    this.#newest = Math.max(this.#newest, checkpointId);
  }

  close(): void {
    for (const { channel } of this.#channels) channel.close();
  }

  #take(index: number): GateEvent | undefined {
    const { channel, input } = this.#channels[index]!;
    const element = channel.poll()!;
    if (element.kind === 'barrier') return this.#onBarrier(index, element);
    if (element.kind === 'end-of-input') return this.#onEnd(index, input);
    return { kind: 'element', index, input, element };
  }

  #onBarrier(index: number, barrier: CheckpointBarrier): GateEvent | undefined {
    if (barrier.checkpointId < this.#newest) return undefined;
    if (this.#barrier === undefined && barrier.checkpointId === this.#newest) return undefined;
    if (this.#barrier?.checkpointId !== barrier.checkpointId) {
      this.#release();
      this.#barrier = barrier;
      this.#newest = barrier.checkpointId;
      this.#startedMs = this.#clock.monotonicMs();
    }
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
    const alignmentMs = this.#clock.monotonicMs() - this.#startedMs;
    this.#release();
    return { kind: 'barrier', barrier, alignmentMs };
  }

  #release(): void {
    this.#barrier = undefined;
    this.#arrived = new Set();
    this.#blocked.fill(false);
  }
}
