/**
 * An outgoing edge of a task: gathers records per channel into batches and sends them on.
 *
 * Invariants
 *  W1  What goes to one channel keeps its order; a control element follows everything emitted before it.
 *  W2  At most one batch per channel is being gathered; it is sent when it is full, and by `flush`: when the task runs out of input, at the
 *      latest after the buffer timeout, and before control elements.
 *  W3  Nothing is dropped for want of credit: a batch that is full is sent, and the task stops taking input (X2 of `channel.ts`).
 *
 * With one channel, or the same records for all, a batch of some size goes as it is, by reference; small ones are gathered, because a frame
 * costs more than copying a few references. Guarded by `bench/exchange.ts`.
 */
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { Output } from '../operators/contract.ts';
import type { OutputChannel } from './channel.ts';
import { createPartitioner, type Partitioner, type PartitionerParams } from './partitioner.ts';
import type { StreamElement } from './stream-element.ts';

/** Batches of at least this many records are not copied where they need not be. */
const PASSED_ON_MIN = 128;

class BatchBuilder {
  #values: unknown[] = [];
  #size = 0;
  #stamped = false;
  readonly #stamps = new Float64Array(BATCH_SIZE_MAX);

  get size(): number {
    return this.#size;
  }

  /** @hot bench/exchange.ts */
  add(value: unknown, timestamp: number): number {
    const at = this.#size;
    this.#values[at] = value;
    if (this.#stamped) this.#stamps[at] = timestamp;
    else if (timestamp !== NO_TIMESTAMP) this.#stamp(at, timestamp);
    this.#size = at + 1;
    return at + 1;
  }

  take(): RecordBatch<unknown> {
    const values = this.#values;
    const size = this.#size;
    const timestamps = this.#stamped ? this.#stamps.slice(0, size) : null;
    this.#values = [];
    this.#size = 0;
    this.#stamped = false;
    return { values, timestamps };
  }

  #stamp(at: number, timestamp: number): void {
    this.#stamped = true;
    this.#stamps.fill(NO_TIMESTAMP, 0, at);
    this.#stamps[at] = timestamp;
  }
}

export interface RecordWriterParams extends Omit<PartitionerParams, 'channels'> {
  readonly channels: readonly OutputChannel[];
}

export class RecordWriter implements Output<unknown> {
  readonly #channels: readonly OutputChannel[];
  /** One for each channel; a single one where all channels get the same. */
  readonly #builders: readonly BatchBuilder[];
  readonly #toAll: boolean;
  readonly #partition: Partitioner;
  readonly #targets = new Int32Array(BATCH_SIZE_MAX);
  /** Records of a batch at most, by builder: receivers lower it where what is in flight would take them too long. */
  readonly #limits: Int32Array;
  #gathered = false;
  recordsOut = 0;
  watermarkOut = Number.NEGATIVE_INFINITY;

  constructor(params: RecordWriterParams) {
    const { channels, partitioning } = params;
    this.#channels = channels;
    this.#toAll = partitioning === 'broadcast' || channels.length === 1;
    this.#builders = (this.#toAll ? channels.slice(0, 1) : channels).map(() => new BatchBuilder());
    this.#limits = new Int32Array(this.#builders.length).fill(BATCH_SIZE_MAX);
    this.#heedLimits();
    this.#partition = createPartitioner({ ...params, channels: channels.length });
  }

  get available(): boolean {
    for (const channel of this.#channels) if (!channel.available) return false;
    return true;
  }

  /** How many data elements stand beyond their credit in the fullest channel. */
  get backlog(): number {
    let most = 0;
    for (const { backlog } of this.#channels) if (backlog > most) most = backlog;
    return most;
  }

  get bytesOut(): number {
    return this.#channels.reduce((sum, { bytesOut }) => sum + bytesOut, 0);
  }

  emitBatch(batch: RecordBatch<unknown>): void {
    const { values } = batch;
    this.recordsOut += values.length;
    if (this.#toAll) this.#emitToAll(batch);
    else
      for (let from = 0; from < values.length; from += BATCH_SIZE_MAX)
        this.#scatter(batch, from, Math.min(values.length, from + BATCH_SIZE_MAX));
  }

  emitWatermark(watermark: number): void {
    this.watermarkOut = watermark;
    this.sendToAll({ kind: 'watermark', watermark });
  }

  emitWatermarkStatus(idle: boolean): void {
    this.sendToAll({ kind: 'status', idle });
  }

  /** A control element, after everything emitted before it (W1). */
  sendToAll(element: StreamElement): void {
    this.flush();
    for (const channel of this.#channels) channel.send(element);
  }

  flush(): void {
    if (!this.#gathered) return;
    this.#gathered = false;
    for (let i = 0; i < this.#builders.length; i++) if (this.#builders[i]!.size > 0) this.#send(i);
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }

  /** Of channels that get the same, the one with the least room decides. */
  #heedLimits(): void {
    const told = this.#channels.map(() => BATCH_SIZE_MAX);
    for (const [index, channel] of this.#channels.entries())
      channel.onBatchSizeMax = (records) => {
        told[index] = records;
        if (this.#toAll) this.#limits[0] = Math.min(...told);
        else this.#limits[index] = records;
      };
  }

  #emitToAll(batch: RecordBatch<unknown>): void {
    const { values, timestamps } = batch;
    if (values.length >= PASSED_ON_MIN && this.#limits[0] === BATCH_SIZE_MAX) {
      this.flush();
      for (const channel of this.#channels) channel.send({ kind: 'batch', batch });
      return;
    }
    const builder = this.#builders[0]!;
    this.#gathered = true;
    for (let i = 0; i < values.length; i++) {
      const size = builder.add(values[i], timestamps === null ? NO_TIMESTAMP : timestamps[i]!);
      if (size >= this.#limits[0]!) this.#send(0);
    }
  }

  /** @hot bench/exchange.ts */
  #scatter({ values, timestamps }: RecordBatch<unknown>, from: number, to: number): void {
    const targets = this.#targets;
    this.#partition(values, from, to, targets);
    this.#gathered = true;
    for (let i = from; i < to; i++) {
      const target = targets[i - from]!;
      const size = this.#builders[target]!.add(
        values[i],
        timestamps === null ? NO_TIMESTAMP : timestamps[i]!,
      );
      if (size >= this.#limits[target]!) this.#send(target);
    }
  }

  #send(index: number): void {
    const element: StreamElement = { kind: 'batch', batch: this.#builders[index]!.take() };
    if (!this.#toAll) this.#channels[index]!.send(element);
    else for (const channel of this.#channels) channel.send(element);
  }
}
