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
  #size = 0;
  #stamped = false;
  /** Event time of the next records. */
  timestamp = NO_TIMESTAMP;

  /** Without an output, records are dropped: nobody consumes them. */
  constructor(output: Output<unknown> | undefined) {
    this.#output = output;
  }

  /** @hot bench/runtime.ts */
  collect(value: O): void {
    const at = this.#size;
    this.#values[at] = value;
    this.#size = at + 1;
    if (this.#stamped) this.#stamps[at] = this.timestamp;
    else if (this.timestamp !== NO_TIMESTAMP) this.#stamp(at);
    if (at === BATCH_SIZE_MAX - 1) this.flush();
  }

  flush(): void {
    const size = this.#size;
    if (size === 0) return;
    const values = this.#values;
    values.length = size;
    const timestamps = this.#stamped ? this.#stamps.slice(0, size) : null;
    // The next batch is likely as large as this one: room for it at once spares growing.
    this.#values = new Array(size);
    this.#size = 0;
    this.#stamped = false;
    this.#output?.emitBatch({ values, timestamps });
  }

  /** The first record of a batch that has a timestamp: those before it have none. */
  #stamp(at: number): void {
    this.#stamped = true;
    this.#stamps.fill(NO_TIMESTAMP, 0, at);
    this.#stamps[at] = this.timestamp;
  }
}
