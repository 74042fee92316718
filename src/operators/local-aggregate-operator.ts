/**
 * The first of two phases of an aggregation: folds records by key in memory, before they are sent to the subtask that owns the key, so that
 * a hot key sends one partial result where it had many records (Flink's local aggregation).
 *
 * Invariants
 *  L1  The bundle is emitted before a barrier, a watermark and the end of input: it is never state, and nothing it emits is late.
 *  L2  At most `size` keys are held.
 */
import { durationMs } from '../base/duration.ts';
import type { AggregateFunction } from '../state/descriptor.ts';
import { keyIdentity } from '../types/key-codec.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';
import type { AnyKeySelector } from './keyed-shell.ts';
import type { MiniBatch } from './mini-batch-operator.ts';
import { OperatorShell } from './operator-shell.ts';
import { userCodeError } from './user-code-error.ts';

/** What the first phase sends to the second. */
export interface PartialResult<Acc> {
  readonly key: unknown;
  readonly accumulator: Acc;
}

export interface LocalAggregateParams {
  readonly aggregate: AggregateFunction<unknown, unknown, unknown>;
  readonly keyOf: AnyKeySelector;
  readonly keySchema: Schema<unknown>;
  readonly miniBatch: MiniBatch;
}

interface Held {
  readonly key: unknown;
  accumulator: unknown;
  timestamp: number;
}

const SIZE_DEFAULT = 10_000;

export class LocalAggregateOperator implements OneInputOperator {
  readonly #params: LocalAggregateParams;
  readonly #identify: (key: unknown) => unknown;
  readonly #size: number;
  #shell!: OperatorShell;
  #bundle = new Map<unknown, Held>();
  #timer: { cancel(): void } | undefined;

  constructor(params: LocalAggregateParams) {
    this.#params = params;
    this.#identify = keyIdentity(params.keySchema);
    this.#size = params.miniBatch.size ?? SIZE_DEFAULT;
  }

  open(context: OperatorContext): void {
    this.#shell = new OperatorShell(context);
  }

  processBatch({ values, timestamps }: RecordBatch<unknown>): void {
    const { aggregate, keyOf } = this.#params;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        const key = keyOf(value);
        const id = this.#identify(key);
        let held = this.#bundle.get(id);
        if (held === undefined) {
          if (this.#bundle.size >= this.#size) this.#emit(); // L2
          held = { key, accumulator: aggregate.createAccumulator(), timestamp: NO_TIMESTAMP };
          this.#bundle.set(id, held);
        }
        held.accumulator = aggregate.add(value, held.accumulator);
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        if (timestamp > held.timestamp) held.timestamp = timestamp;
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
    if (this.#bundle.size > 0) this.#arm();
  }

  processWatermark(watermark: number): void {
    this.#emit();
    this.#shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#emit();
    this.#shell.forwardStatus(idle);
  }

  flush(): void {
    this.#shell.flush();
  }

  prepareSnapshot(): void {
    this.#emit();
  }

  finish(): void {
    this.#emit();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#timer !== undefined) return;
    const { processingTime } = this.#shell.context;
    const dueMs = processingTime.now() + durationMs(this.#params.miniBatch.allowLatency);
    this.#timer = processingTime.registerTimer(dueMs, () => this.#emit());
  }

  #emit(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { out } = this.#shell;
    for (const { key, accumulator, timestamp } of this.#bundle.values()) {
      out.timestamp = timestamp;
      out.collect({ key, accumulator } satisfies PartialResult<unknown>);
    }
    this.#bundle.clear();
    this.#shell.flush();
  }
}
