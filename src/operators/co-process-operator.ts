/** CoProcessFunction: two streams without keys, one function. */
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { OperatorContext, TwoInputOperator } from './contract.ts';
import type { CoProcessFunction } from './functions.ts';
import { OperatorShell, ShellContext } from './operator-shell.ts';
import { userCodeError } from './user-code-error.ts';

export class CoProcessOperator implements TwoInputOperator {
  readonly #user: CoProcessFunction<unknown, unknown, unknown>;
  #shell!: OperatorShell;
  #context!: ShellContext;

  constructor(user: CoProcessFunction<unknown, unknown, unknown>) {
    this.#user = user;
  }

  open(context: OperatorContext): void {
    this.#shell = new OperatorShell(context);
    this.#context = new ShellContext(this.#shell);
    this.#user.open?.();
  }

  processBatch1(batch: RecordBatch<unknown>): void {
    this.#each(batch, (value) => this.#user.processElement1(value, this.#context, this.#shell.out));
  }

  processBatch2(batch: RecordBatch<unknown>): void {
    this.#each(batch, (value) => this.#user.processElement2(value, this.#context, this.#shell.out));
  }

  processWatermark(watermark: number): void {
    this.#shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#shell.forwardStatus(idle);
  }

  close(): void {
    this.#user.close?.();
  }

  #each({ values, timestamps }: RecordBatch<unknown>, process: (value: unknown) => void): void {
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        this.#shell.out.timestamp = timestamp;
        this.#context.timestamp = timestamp;
        process(values[i]);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }
}
