/**
 * An outgoing edge of a task: decides for each record which channel it takes, and gathers batches per channel.
 *
 * One channel, or the same records to all, needs no gathering: the batch goes as it is. Guarded by `bench/runtime.ts`.
 */
import { invalid } from '../base/errors.ts';
import type { Random } from '../base/world.ts';
import type { Partitioning } from '../graph/logical-graph.ts';
import type { EdgeCode } from '../graph/program.ts';
import type { Output } from '../operators/contract.ts';
import { subtaskOfKeyGroup } from '../types/key-group.ts';
import { keyGroupFunction } from '../types/key-hash.ts';
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { OutputChannel } from './channel.ts';
import type { StreamElement } from './stream-element.ts';

const ANY_KEY = t.key();

/** The channel for a record. */
type Select = (value: unknown) => number;

class BatchBuilder {
  values: unknown[] = [];
  #stamps: Float64Array | null = null;

  add(value: unknown, timestamp: number | undefined): number {
    const size = this.values.push(value);
    if (timestamp !== undefined)
      this.#stamps ??= new Float64Array(BATCH_SIZE_MAX).fill(NO_TIMESTAMP);
    if (this.#stamps !== null) this.#stamps[size - 1] = timestamp ?? NO_TIMESTAMP;
    return size;
  }

  take(): RecordBatch<unknown> {
    const batch = { values: this.values, timestamps: this.#stamps };
    this.values = [];
    this.#stamps = null;
    return batch;
  }
}

export interface RecordWriterParams {
  readonly partitioning: Partitioning;
  readonly code: EdgeCode;
  readonly channels: readonly OutputChannel[];
  /** Of the target vertex. */
  readonly maxParallelism: number;
  readonly random: Random;
  /** Subtask that sends: round robin starts there, so that subtasks do not march in step. */
  readonly subtaskIndex: number;
}

export class RecordWriter implements Output<unknown> {
  readonly #channels: readonly OutputChannel[];
  readonly #builders: readonly BatchBuilder[];
  readonly #toAll: boolean;
  readonly #select: Select;
  #gathered = false;
  recordsOut = 0;

  constructor(params: RecordWriterParams) {
    this.#channels = params.channels;
    this.#builders = params.channels.map(() => new BatchBuilder());
    this.#toAll = params.partitioning === 'broadcast' || params.channels.length === 1;
    this.#select = selectorOf(params);
  }

  get available(): boolean {
    for (const channel of this.#channels) if (!channel.available) return false;
    return true;
  }

  /** @hot */
  emitBatch(batch: RecordBatch<unknown>): void {
    const { values, timestamps } = batch;
    this.recordsOut += values.length;
    if (this.#toAll) {
      for (const channel of this.#channels) channel.send({ kind: 'batch', batch });
      return;
    }
    this.#gathered = true;
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      const target = this.#select(value);
      const size = this.#builders[target]!.add(
        value,
        timestamps === null ? undefined : timestamps[i],
      );
      if (size === BATCH_SIZE_MAX)
        this.#channels[target]!.send({ kind: 'batch', batch: this.#builders[target]!.take() });
    }
  }

  emitWatermark(watermark: number): void {
    this.sendToAll({ kind: 'watermark', watermark });
  }

  emitWatermarkStatus(idle: boolean): void {
    this.sendToAll({ kind: 'status', idle });
  }

  /** A control element, after everything emitted before it. */
  sendToAll(element: StreamElement): void {
    this.flush();
    for (const channel of this.#channels) channel.send(element);
  }

  flush(): void {
    if (!this.#gathered) return;
    this.#gathered = false;
    this.#builders.forEach((builder, i) => {
      if (builder.values.length > 0)
        this.#channels[i]!.send({ kind: 'batch', batch: builder.take() });
    });
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }
}

function selectorOf({
  partitioning,
  code,
  channels,
  maxParallelism,
  random,
  subtaskIndex,
}: RecordWriterParams): Select {
  const count = channels.length;
  const keyOf = code.keySelector as ((value: unknown) => unknown) | undefined; // applied to records of this edge only
  switch (partitioning) {
    case 'hash': {
      const groupOf = keyGroupFunction(code.keySchema ?? ANY_KEY, maxParallelism);
      return (value) => subtaskOfKeyGroup(groupOf(keyOf!(value)), count, maxParallelism);
    }
    case 'rebalance':
    case 'rescale': {
      let next = subtaskIndex % count;
      return () => {
        const target = next;
        next = next + 1 === count ? 0 : next + 1;
        return target;
      };
    }
    case 'shuffle':
      return () => Math.floor(random.next() * count);
    case 'custom': {
      const partition = code.partitioner as (key: unknown, parallelism: number) => number; // graph pairs it with keyOf
      return (value) => {
        const target = partition(keyOf!(value), count);
        if (!Number.isInteger(target) || target < 0 || target >= count) {
          throw invalid(
            'BAD_PARTITION',
            `a custom partitioner returned ${target}; it returns a subtask from 0 to ${count - 1}`,
          );
        }
        return target;
      };
    }
    case 'forward':
    case 'global':
    case 'broadcast':
      return () => 0;
  }
}
