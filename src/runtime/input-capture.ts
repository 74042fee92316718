/**
 * What a checkpoint saves of a task's inputs: what a restore brought and is not processed, and what the barrier overtook in each channel.
 *
 * Settles when the barrier has arrived in every channel, or when the checkpoint is given up.
 */
import { MillraceError } from '../base/errors.ts';
import { type ChannelTime, encodeChannels, type SavedChannel } from '../state/channel-state.ts';
import type { BatchCodec } from '../types/batch-codec.ts';
import { MIN_WATERMARK, type RecordBatch } from '../types/record-batch.ts';
import { ChannelCapture } from './channel-capture.ts';

/** One channel of the gate, as of the snapshot. */
export interface CapturedPlace {
  readonly edgeId: string;
  readonly source: number;
  readonly codec: BatchCodec<unknown>;
  readonly time: ChannelTime;
}

/** The rest of a batch that was taken. */
export interface LeftBatch {
  readonly index: number;
  readonly batch: RecordBatch<unknown>;
  readonly from: number;
}

/** One after the other; the last is what stood in the channels. */
export interface CapturedInputs {
  readonly stages: readonly Uint8Array[];
  readonly edges: ReadonlySet<string>;
  readonly elements: number;
}

/**
 * A restart with in-flight data that was not processed adds a stage if something came meanwhile, which takes a sender beyond its credit
 * (X4 of `channel.ts`). Beyond this many a checkpoint is declined.
 */
const STAGES_MAX = 64;

export class InputCapture {
  readonly #places: readonly CapturedPlace[];
  readonly #restored: readonly (readonly SavedChannel[])[];
  readonly #schemaMarkOf: (edgeId: string) => number;
  readonly #captures = new Map<number, ChannelCapture>();
  readonly #done = Promise.withResolvers<void>();
  #open = 0;
  #begun = false;

  constructor(
    places: readonly CapturedPlace[],
    restored: readonly (readonly SavedChannel[])[],
    schemaMarkOf: (edgeId: string) => number,
  ) {
    this.#places = places;
    this.#restored = restored;
    this.#schemaMarkOf = schemaMarkOf;
    this.#done.promise.catch(() => {}); // whoever waits for it sees it too
  }

  /** For what a channel holds. */
  of(index: number): ChannelCapture {
    let capture = this.#captures.get(index);
    if (capture === undefined) {
      this.#open++;
      capture = new ChannelCapture(this.#places[index]!.codec, () => {
        this.#open--;
        this.#settle();
      });
      this.#captures.set(index, capture);
    }
    return capture;
  }

  addLeft({ index, batch, from }: LeftBatch): void {
    this.of(index).add({ kind: 'batch', batch }, from);
  }

  /** Every channel that is waited for has been asked for. */
  begun(): void {
    this.#begun = true;
    this.#settle();
  }

  abandon(): void {
    this.#done.reject(
      new MillraceError('cancelled', 'CHECKPOINT_ABORTED', 'the checkpoint was given up'),
    );
  }

  /** Undefined: there is nothing to save. @throws `cancelled` CHECKPOINT_ABORTED; `unavailable` RECOVERY_UNFINISHED; `invalid` VALUE_DOES_NOT_MATCH_SCHEMA */
  async result(): Promise<CapturedInputs | undefined> {
    await this.#done.promise;
    if (this.#restored.length >= STAGES_MAX)
      throw new MillraceError(
        'unavailable',
        'RECOVERY_UNFINISHED',
        `the subtask still processes in-flight data of ${this.#restored.length} earlier checkpoints; the next checkpoint saves less`,
      );
    let elements = 0;
    const edges = new Set<string>();
    for (const [index, { failure, elements: own }] of this.#captures) {
      if (failure !== undefined) throw failure;
      elements += own;
      if (own > 0) edges.add(this.#places[index]!.edgeId);
    }
    const isEmpty = elements === 0; // of the channels; what was restored is another thing
    for (const { edgeId, items } of this.#restored.flat()) {
      if (items.length === 0) continue;
      edges.add(edgeId);
      elements++;
    }
    if (elements === 0 && this.#restored.length === 0 && !this.#isTimed) return undefined;
    // Behind what was restored there is a last stage always, for what senders hold; where nothing has come it says nothing.
    const places = isEmpty && this.#restored.length > 0 ? [] : this.#places;
    const channels = places.map(({ edgeId, source, time }, index): SavedChannel => ({
      edgeId,
      source,
      time,
      schema: this.#schemaMarkOf(edgeId),
      items: this.#captures.get(index)?.take() ?? new Uint8Array(),
    }));
    return { stages: [...this.#restored, channels].map(encodeChannels), edges, elements };
  }

  /** What stands in front of a sender's channel needs the time of the receiver's. */
  get #isTimed(): boolean {
    return this.#places.some(({ time }) => time.watermark > MIN_WATERMARK || time.idle);
  }

  #settle(): void {
    if (this.#begun && this.#open === 0) this.#done.resolve();
  }
}
