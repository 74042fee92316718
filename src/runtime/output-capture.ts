/**
 * What a barrier overtakes on its way out of a task, in channels whose receiver cannot see what waits for credit.
 *
 * Settles when the barrier has left every one of them: by itself, or because its time has come; or when the checkpoint is given up.
 */
import { MillraceError } from '../base/errors.ts';
import type { Timer, Timers } from '../base/world.ts';
import { encodeChannels, schemaMark } from '../state/channel-state.ts';
import { batchCodec } from '../types/batch-codec.ts';
import { MIN_WATERMARK } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';
import type { OutputChannel } from './channel.ts';
import { ChannelCapture } from './channel-capture.ts';
import type { CheckpointBarrier } from './stream-element.ts';

export interface OutputPlace {
  readonly edgeId: string;
  readonly target: number;
  readonly channel: OutputChannel;
  readonly schema: Schema<unknown>;
}

/** What had not left for one target. */
export interface CapturedOutput {
  readonly edgeId: string;
  readonly target: number;
  readonly bytes: Uint8Array;
  readonly elements: number;
}

export class OutputCapture {
  readonly checkpointId: number;
  readonly #places: readonly OutputPlace[];
  readonly #captures = new Map<OutputPlace, ChannelCapture>();
  readonly #done = Promise.withResolvers<void>();
  readonly #timer: Timer | undefined;

  /** The barrier has been sent: it waits in some channels, perhaps. */
  constructor(
    places: readonly OutputPlace[],
    { checkpointId, overtakesAfterMs }: CheckpointBarrier,
    timers: Pick<Timers, 'after'>,
  ) {
    this.checkpointId = checkpointId;
    this.#places = places;
    this.#done.promise.catch(() => {}); // whoever waits for it sees it too
    if (overtakesAfterMs === 0) this.#overtake();
    else if (this.#holds) this.#timer = timers.after(overtakesAfterMs!, () => this.#overtake()); // barriers that never overtake have no capture
    this.settle();
  }

  /** The barrier has left a channel. */
  settle(): void {
    if (this.#holds) return;
    this.#timer?.cancel();
    this.#done.resolve();
  }

  abandon(): void {
    this.#timer?.cancel();
    this.#done.reject(
      new MillraceError('cancelled', 'CHECKPOINT_ABORTED', 'the checkpoint was given up'),
    );
  }

  /** @throws `cancelled` CHECKPOINT_ABORTED; `invalid` VALUE_DOES_NOT_MATCH_SCHEMA */
  async result(subtaskIndex: number): Promise<readonly CapturedOutput[]> {
    await this.#done.promise;
    const captured: CapturedOutput[] = [];
    for (const [{ edgeId, target, schema }, capture] of this.#captures) {
      if (capture.failure !== undefined) throw capture.failure;
      const { elements } = capture;
      if (elements === 0) continue;
      const bytes = encodeChannels([
        {
          edgeId,
          source: subtaskIndex,
          schema: schemaMark(schema),
          time: { watermark: MIN_WATERMARK, idle: false },
          items: capture.take(),
        },
      ]);
      captured.push({ edgeId, target, bytes, elements });
    }
    return captured;
  }

  get #holds(): boolean {
    return this.#places.some(({ channel }) => channel.holds(this.checkpointId));
  }

  #overtake(): void {
    for (const place of this.#places) {
      if (!place.channel.holds(this.checkpointId)) continue;
      const capture = new ChannelCapture(batchCodec(place.schema));
      this.#captures.set(place, capture);
      place.channel.overtake(this.checkpointId, capture);
    }
    this.settle();
  }
}
