/**
 * All channels between this worker and one other, over one message link.
 *
 *   { c, d }  channel c: a batch as bytes (batch-codec.ts), its buffer transferred
 *   { c, e }  channel c: a control element
 *   { c, r }  channel c: r credits back
 *
 * Frames for a channel whose consumer is not there yet wait; credits bound how many (X2 of channel.ts). Frames for a closed
 * channel are dropped: they belong to an attempt that is over.
 */
import { ByteReader, type ByteWriter } from '../base/bytes.ts';
import type { MessageLink } from '../base/world.ts';
import { decodeBatch, encodeBatch } from '../types/batch-codec.ts';
import type { Codec } from '../types/codec.ts';
import { CREDITS, type InputChannel, type OutputChannel } from './channel.ts';
import type { StreamElement } from './stream-element.ts';

interface Frame {
  readonly c: number;
  readonly d?: ArrayBuffer;
  readonly e?: StreamElement;
  readonly r?: number;
}

type Receive = (frame: Frame) => void;

export class PeerLink {
  readonly #link: MessageLink;
  readonly #receivers = new Map<number, Receive>();
  readonly #early = new Map<number, Frame[]>();
  readonly #closed = new Set<number>();

  constructor(link: MessageLink) {
    this.#link = link;
    link.onMessage((message) => this.#onFrame(message as Frame)); // the only sender is the other side's PeerLink
  }

  post(frame: Frame): void {
    this.#link.post(frame, frame.d === undefined ? undefined : [frame.d]);
  }

  register(channel: number, receive: Receive): void {
    this.#receivers.set(channel, receive);
    const early = this.#early.get(channel);
    this.#early.delete(channel);
    for (const frame of early ?? []) receive(frame);
  }

  unregister(channel: number): void {
    this.#receivers.delete(channel);
    this.#early.delete(channel);
    this.#closed.add(channel);
  }

  #onFrame(frame: Frame): void {
    const receive = this.#receivers.get(frame.c);
    if (receive !== undefined) {
      receive(frame);
      return;
    }
    if (this.#closed.has(frame.c)) return;
    const early = this.#early.get(frame.c);
    if (early === undefined) this.#early.set(frame.c, [frame]);
    else early.push(frame);
  }
}

export class RemoteOutputChannel implements OutputChannel {
  readonly #peer: PeerLink;
  readonly #channel: number;
  readonly #codec: Codec<unknown>;
  readonly #writer: ByteWriter;
  readonly #onAvailable: () => void;
  #credits = CREDITS;
  #waiting: StreamElement[] = [];
  bytesOut = 0;

  constructor(params: {
    peer: PeerLink;
    channel: number;
    codec: Codec<unknown>;
    writer: ByteWriter;
    onAvailable: () => void;
  }) {
    this.#peer = params.peer;
    this.#channel = params.channel;
    this.#codec = params.codec;
    this.#writer = params.writer;
    this.#onAvailable = params.onAvailable;
    this.#peer.register(this.#channel, (frame) => this.#onCredits(frame.r ?? 0));
  }

  send(element: StreamElement): void {
    if (this.#waiting.length > 0 || (element.kind === 'batch' && this.#credits === 0))
      this.#waiting.push(element);
    else this.#post(element);
  }

  get available(): boolean {
    return this.#credits > 0 && this.#waiting.length === 0;
  }

  close(): void {
    this.#waiting = [];
    this.#peer.unregister(this.#channel);
  }

  #onCredits(credits: number): void {
    this.#credits += credits;
    while (this.#waiting.length > 0 && (this.#credits > 0 || this.#waiting[0]!.kind !== 'batch'))
      this.#post(this.#waiting.shift()!);
    if (this.available) this.#onAvailable();
  }

  /** @hot bench/exchange.ts */
  #post(element: StreamElement): void {
    if (element.kind !== 'batch') {
      this.#peer.post({ c: this.#channel, e: element });
      return;
    }
    this.#credits--;
    this.#writer.reset();
    encodeBatch(this.#codec, element.batch, this.#writer);
    const bytes = this.#writer.take();
    this.bytesOut += bytes.length;
    this.#peer.post({ c: this.#channel, d: bytes.buffer });
  }
}

export class RemoteInputChannel implements InputChannel {
  readonly #peer: PeerLink;
  readonly #channel: number;
  readonly #codec: Codec<unknown>;
  #queue: Frame[] = [];
  #next = 0;
  #owed = 0;

  constructor(params: {
    peer: PeerLink;
    channel: number;
    codec: Codec<unknown>;
    onInput: () => void;
  }) {
    this.#peer = params.peer;
    this.#channel = params.channel;
    this.#codec = params.codec;
    this.#peer.register(this.#channel, (frame) => {
      const wasEmpty = this.isEmpty;
      this.#queue.push(frame);
      if (wasEmpty) params.onInput();
    });
  }

  get isEmpty(): boolean {
    return this.#next === this.#queue.length;
  }

  poll(): StreamElement | undefined {
    if (this.isEmpty) return undefined;
    const frame = this.#queue[this.#next++]!;
    if (this.isEmpty) {
      this.#queue = [];
      this.#next = 0;
    }
    if (frame.d === undefined) return frame.e;
    // Credits go back two at a time: half as many messages, and the sender never runs dry.
    if (++this.#owed >= CREDITS / 2) {
      this.#peer.post({ c: this.#channel, r: this.#owed });
      this.#owed = 0;
    }
    return {
      kind: 'batch',
      batch: decodeBatch(this.#codec, new ByteReader(new Uint8Array(frame.d))),
    };
  }

  close(): void {
    this.#queue = [];
    this.#next = 0;
    this.#peer.unregister(this.#channel);
  }
}
