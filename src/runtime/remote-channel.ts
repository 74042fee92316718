/**
 * The two ends of a channel between workers: batches as binary rows in transferred buffers, over a `PeerLink`.
 *
 * Invariants, besides those of `channel.ts`
 *  R1  Credits are never negative, and no more data frames than `CREDITS` wait at the receiver: both are asserted.
 *  R2  A frame carries about `FRAME_BYTES_TARGET` at most, unless a single record is larger: a batch of large rows is cut into several
 *      frames, each for a credit. The bytes under way per channel are bounded by the two together.
 *  R3  Records that have no credit wait as objects and are encoded when they leave.
 */
import { ByteReader } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';
import { type BatchCodec, batchCodec } from '../types/batch-codec.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';
import type { ChannelCapture } from './channel-capture.ts';
import { type ChannelStart, CREDITS, type InputChannel, type OutputChannel } from './channel.ts';
import { InputQueue } from './input-queue.ts';
import type { Frame, PeerLink } from './peer-link.ts';
import type { StreamElement } from './stream-element.ts';

const FRAME_BYTES_TARGET = 256 * 1024;
/** Rows of the first frame, before their size is known. */
const FIRST_ROWS_MAX = 256;

const isBarrier = (element: StreamElement, checkpointId: number): boolean =>
  element.kind === 'barrier' && element.checkpointId === checkpointId;

export interface RemoteChannelParams {
  readonly peer: PeerLink;
  readonly channel: number;
  readonly schema: Schema<unknown>;
}

export class RemoteOutputChannel implements OutputChannel {
  readonly #peer: PeerLink;
  readonly #channel: number;
  readonly #codec: BatchCodec<unknown>;
  readonly #onAvailable: () => void;
  readonly #onBarrierLeft: () => void;
  readonly #fail: (error: unknown) => void;
  readonly #waiting: StreamElement[] = [];
  /** Rows of the first waiting batch that have left already. */
  #sent = 0;
  #credits: number;
  #rowsPerFrame = FIRST_ROWS_MAX;
  #closed = false;
  bytesOut = 0;
  onBatchSizeMax: (records: number) => void = () => {};

  constructor(
    params: RemoteChannelParams & {
      readonly onAvailable: () => void;
      readonly start: ChannelStart;
      /** A barrier has left. */
      readonly onBarrierLeft: () => void;
      /** Records that waited for credit cannot be encoded. */
      readonly fail: (error: unknown) => void;
    },
  ) {
    this.#peer = params.peer;
    this.#channel = params.channel;
    this.#codec = batchCodec(params.schema);
    this.#credits = params.start === 'open' ? CREDITS : 0;
    this.#onAvailable = params.onAvailable;
    this.#onBarrierLeft = params.onBarrierLeft;
    this.#fail = params.fail;
    this.#peer.register(this.#channel, (frame) => {
      if (frame.s === undefined) this.#onCredits(frame.r ?? 0);
      else this.onBatchSizeMax(frame.s);
    });
  }

  send(element: StreamElement): void {
    if (this.#closed) return;
    this.#waiting.push(element);
    if (this.#waiting.length === 1) this.#drain();
  }

  get available(): boolean {
    return this.#credits > 0 && this.#waiting.length === 0;
  }

  get backlog(): number {
    return this.#waiting.length;
  }

  holds(checkpointId: number): boolean {
    return this.#waiting.some((element) => isBarrier(element, checkpointId));
  }

  overtake(checkpointId: number, into: ChannelCapture): void {
    const index = this.#waiting.findIndex((element) => isBarrier(element, checkpointId));
    if (index < 0) return;
    for (let i = 0; i < index; i++) into.add(this.#waiting[i]!, i === 0 ? this.#sent : 0);
    const [barrier] = this.#waiting.splice(index, 1);
    this.#peer.post({ c: this.#channel, e: barrier! });
    this.#onBarrierLeft();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.length = 0;
    this.#peer.unregister(this.#channel);
  }

  #onCredits(credits: number): void {
    this.#credits += credits;
    assert(
      credits > 0 && this.#credits <= CREDITS,
      `channel ${this.#channel} has ${this.#credits} of ${CREDITS} credits after ${credits} came back`,
    );
    try {
      this.#drain();
    } catch (error) {
      // Outside of the task's step: nobody else would tell the task.
      this.close();
      this.#fail(error);
      return;
    }
    if (this.available) this.#onAvailable();
  }

  /** Sends what may leave. */
  #drain(): void {
    let done = 0;
    let barriers = 0;
    for (const element of this.#waiting) {
      if (element.kind === 'batch') {
        if (!this.#sendRows(element.batch)) break;
      } else this.#peer.post({ c: this.#channel, e: element });
      if (element.kind === 'barrier') barriers++;
      done++;
    }
    this.#waiting.splice(0, done);
    if (barriers > 0) this.#onBarrierLeft();
  }

  /** True when all rows of the batch have left. @hot bench/exchange.ts */
  #sendRows({ values, timestamps }: RecordBatch<unknown>): boolean {
    while (this.#credits > 0) {
      const left = values.length - this.#sent;
      const frames = Math.ceil(left / this.#rowsPerFrame);
      const rows = Math.ceil(left / frames);
      this.#sendFrame(values, timestamps, rows);
      this.#sent += rows;
      if (this.#sent === values.length) {
        this.#sent = 0;
        return true;
      }
    }
    return false;
  }

  #sendFrame(values: readonly unknown[], timestamps: Float64Array | null, rows: number): void {
    const { scratch } = this.#peer;
    scratch.reset();
    this.#codec.encodeInto(values, timestamps, this.#sent, this.#sent + rows, scratch);
    const bytes = scratch.take();
    this.#credits--;
    this.bytesOut += bytes.length;
    const fitting = Math.floor(FRAME_BYTES_TARGET / (bytes.length / rows));
    this.#rowsPerFrame = Math.min(BATCH_SIZE_MAX, Math.max(1, fitting));
    this.#peer.post({ c: this.#channel, d: bytes.buffer });
  }
}

export class RemoteInputChannel implements InputChannel {
  readonly #peer: PeerLink;
  readonly #channel: number;
  readonly #codec: BatchCodec<unknown>;
  readonly #onInput: () => void;
  readonly queue = new InputQueue();
  #dataWaiting = 0;
  #owed = 0;
  #closed = false;

  constructor(params: RemoteChannelParams & { readonly onInput: () => void }) {
    this.#peer = params.peer;
    this.#channel = params.channel;
    this.#codec = batchCodec(params.schema);
    this.#onInput = params.onInput;
    this.#peer.register(this.#channel, (frame) => this.#receive(frame));
  }

  get isEmpty(): boolean {
    return this.queue.isEmpty;
  }

  poll(): StreamElement | undefined {
    const element = this.queue.shift();
    if (element?.kind !== 'rows') return element;
    this.#dataWaiting--;
    // Credits go back two at a time: half as many messages, and the sender never runs dry.
    if (++this.#owed >= CREDITS / 2) {
      this.#peer.post({ c: this.#channel, r: this.#owed });
      this.#owed = 0;
    }
    return { kind: 'batch', batch: this.#codec.decode(new ByteReader(element.bytes)) };
  }

  release(): void {
    this.#peer.post({ c: this.#channel, r: CREDITS });
  }

  limitBatches(records: number): void {
    this.#peer.post({ c: this.#channel, s: records });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.queue.clear();
    this.#peer.unregister(this.#channel);
  }

  #receive(frame: Frame): void {
    const wasEmpty = this.isEmpty;
    if (frame.d === undefined) this.queue.push(frame.e!); // what is no batch and no credit is an element
    else {
      this.#dataWaiting++;
      assert(
        this.#dataWaiting <= CREDITS,
        `channel ${this.#channel} got ${this.#dataWaiting} data frames for ${CREDITS} credits`,
      );
      this.queue.push({ kind: 'rows', bytes: new Uint8Array(frame.d) });
    }
    if (wasEmpty) this.#onInput();
  }
}
