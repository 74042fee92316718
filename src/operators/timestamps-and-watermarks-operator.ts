/** Event time in the middle of a stream: replaces the watermarks from upstream by its own. */
import type { WatermarkStrategy } from '../connector/watermark-strategy.ts';
import { MAX_WATERMARK, MIN_WATERMARK, type RecordBatch } from '../types/record-batch.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';
import { SplitWatermarks } from './split-watermarks.ts';

const STREAM = 'stream';
const INTERVAL_OPTION = 'pipeline.auto-watermark-interval';

export class TimestampsAndWatermarksOperator implements OneInputOperator {
  readonly #watermarks: SplitWatermarks;
  #context!: OperatorContext;
  #emitted = MIN_WATERMARK;
  #idle = false;
  #timer: { cancel(): void } | undefined;

  constructor(strategy: WatermarkStrategy<unknown>) {
    this.#watermarks = new SplitWatermarks(strategy);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#watermarks.open(STREAM, context.processingTime.now());
    this.#schedule();
  }

  processBatch(batch: RecordBatch<unknown>): void {
    const { processingTime, output } = this.#context;
    if (this.#idle) {
      this.#idle = false;
      output.emitWatermarkStatus(false);
    }
    output.emitBatch(this.#watermarks.onBatch(STREAM, batch, processingTime.now()));
    this.#emit();
  }

  /** Only the end of time passes through. */
  processWatermark(watermark: number): void {
    if (watermark === MAX_WATERMARK) this.#context.output.emitWatermark(watermark);
  }

  processWatermarkStatus(): void {}

  close(): void {
    this.#timer?.cancel();
  }

  #schedule(): void {
    const interval = Number(this.#context.config[INTERVAL_OPTION] ?? 200);
    if (interval <= 0) return;
    this.#timer = this.#context.processingTime.registerTimer(
      this.#context.processingTime.now() + interval,
      () => {
        this.#emit();
        this.#schedule();
      },
    );
  }

  #emit(): void {
    this.#watermarks.update(this.#context.processingTime.now());
    const { watermark, idle } = this.#watermarks;
    if (watermark > this.#emitted) {
      this.#emitted = watermark;
      this.#context.output.emitWatermark(watermark);
    }
    if (idle !== this.#idle) {
      this.#idle = idle;
      this.#context.output.emitWatermarkStatus(idle);
    }
  }
}
