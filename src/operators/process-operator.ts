/** ProcessFunction on a stream without keys. */
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';
import type { ProcessFunction } from './functions.ts';
import { OperatorShell, ShellContext } from './operator-shell.ts';
import { userCodeError } from './user-code-error.ts';

export class ProcessOperator implements OneInputOperator {
  readonly #user: ProcessFunction<unknown, unknown>;
  #shell!: OperatorShell;
  #context!: ShellContext;

  constructor(user: ProcessFunction<unknown, unknown>) {
    this.#user = user;
  }

  open(context: OperatorContext): void {
    this.#shell = new OperatorShell(context);
    this.#context = new ShellContext(this.#shell);
    this.#user.open?.();
  }

  /** @hot */
  processBatch({ values, timestamps }: RecordBatch<unknown>): void {
    const { out } = this.#shell;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        out.timestamp = timestamp;
        this.#context.timestamp = timestamp;
        this.#user.processElement(values[i], this.#context, out);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i, timestamp: out.timestamp });
    }
    this.#shell.flush();
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
}
