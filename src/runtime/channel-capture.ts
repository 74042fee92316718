/**
 * What a checkpoint saves of one channel, encoded as it is taken: whoever processes a record later may change it.
 *
 * A record that cannot be encoded fails the capture, not the task: nothing is thrown at the sender in whose step it is found.
 */
import { ByteWriter } from '../base/bytes.ts';
import { asError } from '../base/errors.ts';
import { writeEncodedBatch, writeItem } from '../state/channel-state.ts';
import type { BatchCodec } from '../types/batch-codec.ts';
import type { CaptureTarget, Queued } from './input-queue.ts';

export class ChannelCapture implements CaptureTarget {
  readonly #codec: BatchCodec<unknown>;
  readonly #writer = new ByteWriter(256);
  readonly #onEnd: () => void;
  elements = 0;
  failure: Error | undefined;

  /** @param onEnd called once, when nothing more will be added. */
  constructor(codec: BatchCodec<unknown>, onEnd: () => void = () => {}) {
    this.#codec = codec;
    this.#onEnd = onEnd;
  }

  /** Barriers, latency markers and ends are not saved: senders repeat what counts of them. `from`: records before it are not meant. */
  add(element: Queued, from = 0): void {
    if (this.failure !== undefined) return;
    if (element.kind === 'rows') writeEncodedBatch(element.bytes, this.#writer);
    else if (
      element.kind === 'batch' ||
      element.kind === 'watermark' ||
      element.kind === 'status'
    ) {
      try {
        writeItem(element, this.#codec, this.#writer, from);
      } catch (error) {
        this.failure = asError(error);
      }
    } else return;
    this.elements++;
  }

  end(): void {
    this.#onEnd();
  }

  take(): Uint8Array {
    return this.#writer.take();
  }
}
