/** Operators that let everything through and look at it: for checkers. */
import type { OneInputOperator, OperatorContext } from '../operators/contract.ts';
import type { OperatorListState } from '../state/operator-state.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { Violation } from './checkers.ts';

/** C7: within an attempt watermarks never go back. Violations go into a list the scenario holds. */
export class WatermarkProbe implements OneInputOperator {
  readonly #where: string;
  readonly #violations: Violation[];
  #context!: OperatorContext;
  #last = Number.NEGATIVE_INFINITY;

  constructor(where: string, violations: Violation[]) {
    this.#where = where;
    this.#violations = violations;
  }

  open(context: OperatorContext): void {
    this.#context = context;
  }

  processBatch(batch: RecordBatch<unknown>): void {
    this.#context.output.emitBatch(batch);
  }

  processWatermark(watermark: number): void {
    if (watermark < this.#last) {
      this.#violations.push({
        checker: 'C7',
        message: `${this.#where}: watermark ${watermark} came after ${this.#last}`,
        evidence: { attemptId: this.#context.attemptId, watermark, last: this.#last },
      });
    }
    this.#last = watermark;
    this.#context.output.emitWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#context.output.emitWatermarkStatus(idle);
  }
}

/** Name of the operator state in which a `LedgerProbe` keeps its sum. */
export const LEDGER_STATE = 'ledger';
export const LEDGER_SCHEMA = t.int64();

/** Sums an amount over all records that pass, in operator state: one at each end of an exchange gives C3. */
export class LedgerProbe implements OneInputOperator {
  readonly #amountOf: (value: unknown) => number;
  #context!: OperatorContext;
  #state!: OperatorListState<number>;
  #sum = 0;

  constructor(amountOf: (value: unknown) => number) {
    this.#amountOf = amountOf;
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#state = context.operatorState.getListState(LEDGER_STATE, LEDGER_SCHEMA);
    for (const part of this.#state.get()) this.#sum += part;
  }

  processBatch(batch: RecordBatch<unknown>): void {
    for (const value of batch.values) this.#sum += this.#amountOf(value);
    this.#context.output.emitBatch(batch);
  }

  processWatermark(watermark: number): void {
    this.#context.output.emitWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#context.output.emitWatermarkStatus(idle);
  }

  snapshotState(): void {
    this.#state.update([this.#sum]);
  }
}

/** Takes its time after every batch: what is before it is under backpressure. */
export class SlowProbe implements OneInputOperator {
  readonly #delayMs: () => number;
  #context!: OperatorContext;
  blocked = false;

  /** @param delayMs asked for each batch; milliseconds, 0 for none. */
  constructor(delayMs: () => number) {
    this.#delayMs = delayMs;
  }

  open(context: OperatorContext): void {
    this.#context = context;
  }

  processBatch(batch: RecordBatch<unknown>): void {
    this.#context.output.emitBatch(batch);
    const delayMs = this.#delayMs();
    if (delayMs === 0) return;
    this.blocked = true;
    this.#context.timers.after(delayMs, () =>
      this.#context.mailbox(() => {
        this.blocked = false;
      }),
    );
  }

  processWatermark(watermark: number): void {
    this.#context.output.emitWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#context.output.emitWatermarkStatus(idle);
  }
}
