/**
 * Gathers records into batches for an output.
 *
 * The operator sets `timestamp` per record, user code calls `collect`, and the operator calls `flush` at the end of each
 * batch, timer or mail and before anything that must come after the records.
 */
import { BATCH_SIZE_MAX, NO_TIMESTAMP } from '../types/record-batch.ts';
import type { Output } from './contract.ts';
import type { Collector } from './functions.ts';

export class RecordEmitter<O> implements Collector<O> {
  readonly #output: Output<unknown> | undefined;
  readonly #stamps = new Float64Array(BATCH_SIZE_MAX);
  #values: O[] = [];
  #stamped = false;
  /** Event time of the next records. */
  timestamp = NO_TIMESTAMP;

  /** Without an output, records are dropped: nobody consumes them. */
  constructor(output: Output<unknown> | undefined) {
    this.#output = output;
  }

  /** @hot bench/chain.ts */
  collect(value: O): void {
    const size = this.#values.push(value);
    if (this.#stamped) this.#stamps[size - 1] = this.timestamp;
    else if (this.timestamp !== NO_TIMESTAMP) this.#stamp(size);
    if (size === BATCH_SIZE_MAX) this.flush();
  }

  /** The first record of a batch that has a timestamp: those before it have none. */
  #stamp(size: number): void {
    this.#stamped = true;
    this.#stamps.fill(NO_TIMESTAMP, 0, size - 1);
    this.#stamps[size - 1] = this.timestamp;
  }

  flush(): void {
    const values = this.#values;
    if (values.length === 0) return;
    const timestamps = this.#stamped ? this.#stamps.slice(0, values.length) : null;
    this.#values = [];
    this.#stamped = false;
    this.#output?.emitBatch({ values, timestamps });
  }
}
