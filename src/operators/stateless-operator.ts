/** Runs a fused chain of map, filter and flatMap steps as one operator. */
import { MIN_WATERMARK, type RecordBatch } from '../types/record-batch.ts';
import type { OneInputOperator, OperatorContext, Output, StatelessStep } from './contract.ts';
import { type FusedChain, fuseSteps } from './fused-chain.ts';
import { userCodeError } from './user-code-error.ts';

/** A step and the operator it belongs to. */
export interface NamedStep {
  readonly step: StatelessStep;
  readonly operatorId: string;
  readonly name: string;
}

export class StatelessOperator implements OneInputOperator {
  readonly #steps: readonly NamedStep[];
  #run: FusedChain | undefined;
  #output: Output<unknown> | undefined;

  constructor(steps: readonly NamedStep[]) {
    this.#steps = steps;
  }

  open(context: OperatorContext): void {
    const { output, subtaskIndex } = context;
    this.#output = output;
    this.#run = fuseSteps(
      this.#steps.map(({ step }) => step),
      (values, timestamps) => output.emitBatch({ values, timestamps }),
      (cause, recordIndex, step) => {
        const { name, operatorId } = this.#steps[step]!;
        throw userCodeError(
          cause,
          { operator: name, operatorId, subtask: subtaskIndex },
          { recordIndex },
        );
      },
    );
  }

  /** @hot bench/chain.ts */
  processBatch(batch: RecordBatch<unknown>): void {
    this.#run!(batch);
  }

  processWatermark(watermark: number): void {
    if (watermark > MIN_WATERMARK) this.#output!.emitWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#output!.emitWatermarkStatus(idle);
  }
}
