/**
 * Watermarks of one stream that is fed by several splits: a generator for each, the minimum over those that are active.
 *
 * Invariants: the combined watermark never goes back; an idle split does not hold it; with every split idle the stream is idle.
 */
import type { WatermarkGenerator, WatermarkStrategy } from '../connector/watermark-strategy.ts';
import { MIN_WATERMARK, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';

class SplitWatermark {
  readonly generator: WatermarkGenerator | undefined;
  watermark = MIN_WATERMARK;
  lastRecordMs: number;
  idle = false;

  constructor(generator: WatermarkGenerator | undefined, nowMs: number) {
    this.generator = generator;
    this.lastRecordMs = nowMs;
  }
}

export class SplitWatermarks {
  readonly #strategy: WatermarkStrategy<unknown>;
  readonly #splits = new Map<string, SplitWatermark>();
  #combined = MIN_WATERMARK;

  constructor(strategy: WatermarkStrategy<unknown>) {
    this.#strategy = strategy;
  }

  open(splitId: string, nowMs: number): void {
    this.#splits.set(splitId, new SplitWatermark(this.#strategy.createGenerator?.(), nowMs));
  }

  /** A split that has ended holds nothing back. */
  close(splitId: string): void {
    this.#splits.delete(splitId);
  }

  /** @hot Gives the records their event time and the split its progress; returns the batch to emit. */
  onBatch(splitId: string, batch: RecordBatch<unknown>, nowMs: number): RecordBatch<unknown> {
    const split = this.#splits.get(splitId)!;
    split.lastRecordMs = nowMs;
    split.idle = false;
    const { timestampOf } = this.#strategy;
    const { values } = batch;
    let { timestamps } = batch;
    if (timestampOf !== undefined) {
      const assigned = new Float64Array(values.length);
      for (let i = 0; i < values.length; i++)
        assigned[i] = timestampOf(values[i], timestamps === null ? NO_TIMESTAMP : timestamps[i]!);
      timestamps = assigned;
    }
    const { generator } = split;
    if (generator !== undefined && timestamps !== null) {
      for (let i = 0; i < values.length; i++) {
        const punctuated = generator.onEvent(timestamps[i]!, values[i]);
        if (punctuated !== undefined && punctuated > split.watermark) split.watermark = punctuated;
      }
    }
    return timestamps === batch.timestamps ? batch : { values, timestamps };
  }

  /** Asks the generators and the idle clocks; call after batches and periodically. */
  update(nowMs: number): void {
    const { idlenessMs } = this.#strategy;
    for (const split of this.#splits.values()) {
      const watermark = split.generator?.onPeriodicEmit() ?? MIN_WATERMARK;
      if (watermark > split.watermark) split.watermark = watermark;
      if (idlenessMs !== undefined && nowMs - split.lastRecordMs >= idlenessMs) split.idle = true;
    }
    let minimum = Number.POSITIVE_INFINITY;
    for (const split of this.#splits.values())
      if (!split.idle) minimum = Math.min(minimum, split.watermark);
    if (minimum !== Number.POSITIVE_INFINITY && minimum > this.#combined) this.#combined = minimum;
  }

  /** Nobody reads this split at the moment: its silence is not idleness. */
  keepActive(splitId: string, nowMs: number): void {
    this.#splits.get(splitId)!.lastRecordMs = nowMs;
  }

  /** The combined watermark. */
  get watermark(): number {
    return this.#combined;
  }

  /** True when every split is idle, or there is none. */
  get idle(): boolean {
    for (const split of this.#splits.values()) if (!split.idle) return false;
    return true;
  }

  watermarkOf(splitId: string): number {
    return this.#splits.get(splitId)?.watermark ?? MIN_WATERMARK;
  }

  get hasGenerators(): boolean {
    return this.#strategy.createGenerator !== undefined;
  }
}
