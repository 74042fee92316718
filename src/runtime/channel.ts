/**
 * The two sides of a channel between subtasks, and the channel within a thread.
 *
 * Invariants
 *  X1  Elements arrive in the order in which they were sent, each once.
 *  X2  A data element costs a credit; the consumer gives it back when it takes the element. A sender without credit is not
 *      `available`, and its task takes no input: backpressure is nothing else. Control elements cost none but keep their place.
 *  X3  At most `CREDITS` data elements, plus what one step of the sender emits (`backlog`), wait in a channel. The task makes its steps
 *      smaller while there is a backlog.
 *      A barrier may overtake: then what it overtook is saved with its checkpoint, by the receiver or by the sender.
 *  X4  A channel whose receiver begins with in-flight data of a checkpoint has no credit until that is processed: what is in flight does not
 *      grow by restarts.
 *  X5  After `close`, by either side, nothing is delivered and sending is without effect.
 */
import { assert } from '../base/errors.ts';
import type { ChannelCapture } from './channel-capture.ts';
import { InputQueue } from './input-queue.ts';
import type { StreamElement } from './stream-element.ts';

/** How a channel begins. `held`: without credit, until its receiver has processed what a restore brought it. */
export type ChannelStart = 'open' | 'held';

/** Data elements (batches of up to 1,024 records) under way per channel. */
export const CREDITS = 4;

export interface OutputChannel {
  send(element: StreamElement): void;
  /** False: the sender should stop taking input until `onAvailable`. */
  readonly available: boolean;
  /** Data elements sent beyond the credit. */
  readonly backlog: number;
  /** Bytes sent to another thread or process so far. */
  readonly bytesOut: number;
  /** Set by the producer: batches are to hold so many records at most from now on. */
  onBatchSizeMax: (records: number) => void;
  /** The barrier of that checkpoint waits here, where its receiver cannot see it. */
  holds(checkpointId: number): boolean;
  /** Lets that barrier leave at once; what waits in front of it goes into the capture and leaves later. Without effect if it has left. */
  overtake(checkpointId: number, into: ChannelCapture): void;
  close(): void;
}

export interface InputChannel {
  poll(): StreamElement | undefined;
  readonly isEmpty: boolean;
  /** What has arrived. */
  readonly queue: InputQueue;
  /** Gives a channel that began without credit its credit. */
  release(): void;
  /** Tells the sender how many records its batches may hold. */
  limitBatches(records: number): void;
  close(): void;
}

/** Between tasks of one thread: batches go by reference. Its receiver sees barriers when they are sent and saves what they overtake. */
export class LocalChannel implements InputChannel, OutputChannel {
  readonly bytesOut = 0;
  readonly queue = new InputQueue();
  #data = 0;
  #closed = false;
  /** X4; whichever side comes first. */
  #held: 'not yet' | 'held' | 'released' = 'not yet';
  /** Set by the consumer: there is an element. */
  onInput: () => void = () => {};
  /** Set by the producer: there is credit again. */
  onAvailable: () => void = () => {};
  onBatchSizeMax: (records: number) => void = () => {};

  send(element: StreamElement): void {
    if (this.#closed) return;
    if (element.kind === 'batch') this.#data++;
    const wasEmpty = this.isEmpty;
    this.queue.push(element);
    if (wasEmpty) this.onInput();
  }

  get available(): boolean {
    return this.#data < CREDITS && this.#held !== 'held';
  }

  hold(): void {
    if (this.#held === 'not yet') this.#held = 'held';
  }

  release(): void {
    this.#held = 'released';
    this.onAvailable();
  }

  get backlog(): number {
    return Math.max(0, this.#data - CREDITS);
  }

  get isEmpty(): boolean {
    return this.queue.isEmpty;
  }

  limitBatches(records: number): void {
    this.onBatchSizeMax(records);
  }

  holds(): boolean {
    return false;
  }

  overtake(): void {}

  poll(): StreamElement | undefined {
    const element = this.queue.shift();
    if (element === undefined) return undefined;
    assert(element.kind !== 'rows', 'batches of one thread are not encoded');
    if (element.kind === 'batch' && this.#data-- === CREDITS) this.onAvailable();
    return element;
  }

  close(): void {
    this.#closed = true;
    this.queue.clear();
    this.#data = 0;
  }
}
