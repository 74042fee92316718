/**
 * The elements of one input channel that have arrived and were not taken yet.
 *
 * A barrier keeps its place. What lets it overtake is that the gate is told of it when it arrives, and may save what stands in front of it:
 * nothing in the queue ever changes its order.
 *
 * Invariants
 *  Q1  A capture holds every element that was in the queue when it began and stands before the barrier, and every one that arrives until the
 *      barrier does; each once.
 *  Q2  Of barriers that may overtake only the newest is kept: an older checkpoint is over. A consumer that is stuck piles up none.
 */
import type { CheckpointBarrier, StreamElement } from './stream-element.ts';

/** `rows`: a batch as bytes, from another thread. */
export type Queued = StreamElement | { readonly kind: 'rows'; readonly bytes: Uint8Array };

/** Where a capture goes. */
export interface CaptureTarget {
  add(element: Queued): void;
  /** Nothing more comes. */
  end(): void;
}

export class InputQueue {
  #items: Queued[] = [];
  #next = 0;
  #barriers = 0;
  #capture: { readonly checkpointId: number; readonly into: CaptureTarget } | undefined;
  /** Told of each barrier when it arrives. */
  onBarrier: (barrier: CheckpointBarrier) => void = () => {};

  get isEmpty(): boolean {
    return this.#next === this.#items.length;
  }

  push(item: Queued): void {
    if (item.kind === 'barrier') {
      this.#pushBarrier(item);
      return;
    }
    this.#items.push(item);
    this.#capture?.into.add(item);
  }

  shift(): Queued | undefined {
    if (this.isEmpty) return undefined;
    const item = this.#items[this.#next++]!;
    if (item.kind === 'barrier') this.#barriers--;
    if (this.isEmpty) {
      this.#items = [];
      this.#next = 0;
    }
    return item;
  }

  /** Q1. `into` is ended when it holds all of it, perhaps at once. */
  capture(checkpointId: number, into: CaptureTarget): void {
    for (let i = this.#next; i < this.#items.length; i++) {
      const item = this.#items[i]!;
      if (item.kind === 'barrier' && item.checkpointId >= checkpointId) {
        into.end();
        return;
      }
      into.add(item);
    }
    this.#capture = { checkpointId, into };
  }

  endCapture(): void {
    this.#capture = undefined;
  }

  clear(): void {
    this.#items = [];
    this.#next = 0;
    this.#barriers = 0;
    this.#capture = undefined;
  }

  #pushBarrier(barrier: CheckpointBarrier): void {
    if (this.#barriers > 0 && barrier.overtakesAfterMs !== undefined) {
      this.#items = this.#items.slice(this.#next).filter(({ kind }) => kind !== 'barrier');
      this.#next = 0;
      this.#barriers = 0;
    }
    this.#items.push(barrier);
    this.#barriers++;
    const capture = this.#capture;
    if (capture !== undefined && barrier.checkpointId >= capture.checkpointId) {
      this.#capture = undefined;
      capture.into.end();
    }
    this.onBarrier(barrier);
  }
}
