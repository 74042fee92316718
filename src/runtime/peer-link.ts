/**
 * All channels between this worker and one other, over one message link.
 *
 *   { c, d }  channel c: a batch as bytes (batch-codec.ts), its buffer transferred
 *   { c, e }  channel c: a control element
 *   { c, r }  channel c: r credits back
 *   { c, s }  channel c: batches are to hold s records at most
 *
 * Invariants
 *  P1  Frames for a channel whose consumer is not there yet wait, in order. Credits bound the data per channel; over all channels at most
 *      `EARLY_FRAMES_MAX` frames wait: beyond that the channel that has waited longest is given up, and opening it fails.
 *  P2  Frames for a closed channel are dropped: they belong to an attempt that is over. Channel numbers are never used again, so
 *      forgetting the oldest of them costs at most a few early frames that P1 bounds.
 */
import { ByteWriter } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import type { MessageLink } from '../base/world.ts';
import type { StreamElement } from './stream-element.ts';

export interface Frame {
  readonly c: number;
  readonly d?: ArrayBuffer;
  readonly e?: StreamElement;
  readonly r?: number;
  readonly s?: number;
}

type Receive = (frame: Frame) => void;

const EARLY_FRAMES_MAX = 4096;
const CLOSED_REMEMBERED_MAX = 16_384;

export class PeerLink {
  readonly #link: MessageLink;
  readonly #receivers = new Map<number, Receive>();
  readonly #early = new Map<number, Frame[]>();
  readonly #closed = new Set<number>();
  #earlyFrames = 0;
  /** Where batches are encoded before they are cut to size; encoding is synchronous, so all channels share it. */
  readonly scratch = new ByteWriter(64 * 1024);

  constructor(link: MessageLink) {
    this.#link = link;
    link.onMessage((message) => this.#onFrame(message as Frame)); // the only sender is the other side's PeerLink
  }

  post(frame: Frame): void {
    this.#link.post(frame, frame.d === undefined ? undefined : [frame.d]);
  }

  /** @throws `unavailable` CHANNEL_GIVEN_UP when the channel's early frames had to be dropped (P1) */
  register(channel: number, receive: Receive): void {
    if (this.#closed.has(channel)) {
      throw new MillraceError(
        'unavailable',
        'CHANNEL_GIVEN_UP',
        `channel ${channel} was opened after more than ${EARLY_FRAMES_MAX} frames had arrived early; the job restarts from its checkpoint`,
      );
    }
    this.#receivers.set(channel, receive);
    for (const frame of this.#takeEarly(channel)) receive(frame);
  }

  unregister(channel: number): void {
    this.#receivers.delete(channel);
    this.#takeEarly(channel);
    this.#rememberClosed(channel);
  }

  #onFrame(frame: Frame): void {
    const receive = this.#receivers.get(frame.c);
    if (receive !== undefined) receive(frame);
    else if (!this.#closed.has(frame.c)) this.#keepEarly(frame);
  }

  #keepEarly(frame: Frame): void {
    const early = this.#early.get(frame.c);
    if (early === undefined) this.#early.set(frame.c, [frame]);
    else early.push(frame);
    if (++this.#earlyFrames <= EARLY_FRAMES_MAX) return;
    const [oldest] = this.#early.keys();
    this.#takeEarly(oldest!);
    this.#rememberClosed(oldest!);
  }

  #takeEarly(channel: number): readonly Frame[] {
    const frames = this.#early.get(channel) ?? [];
    this.#early.delete(channel);
    this.#earlyFrames -= frames.length;
    return frames;
  }

  #rememberClosed(channel: number): void {
    this.#closed.add(channel);
    if (this.#closed.size <= CLOSED_REMEMBERED_MAX) return;
    const [oldest] = this.#closed;
    this.#closed.delete(oldest!);
  }
}
