/**
 * Gathers records into batches for an output.
 *
 * The operator sets `timestamp` per record, user code calls `collect`, and the operator calls `flush` at the end of each
 * batch, timer or mail and before anything that must come after the records.
 */
import { BATCH_SIZE_MAX, NO_TIMESTAMP } from '../types/record-batch.ts';
import type { Output } from './contract.ts';
import type { Collector } from './functions.ts';

/** The next batch is likely as large as this one, or by a part of it larger. */
const SPARE = 8;
/** A batch so many times smaller than the room for it is copied, and leaves the room to the next. */
const SMALL = 4;

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
    const values = this.#take(size);
    const timestamps = this.#stamped ? this.#stamps.slice(0, size) : null;
    this.#size = 0;
    this.#stamped = false;
    this.#output?.emitBatch({ values, timestamps });
  }

  /** What has been collected. Room for the next ones is made at once, since growing costs more than they do. */
  #take(size: number): O[] {
    const values = this.#values;
    if (size * SMALL <= values.length) {
      const few = values.slice(0, size);
      values.fill(undefined as O, 0, size); // to be let go of; overwritten before it is read
      return few;
    }
    values.length = size;
    this.#values = new Array(Math.min(size + Math.ceil(size / SPARE), BATCH_SIZE_MAX));
    return values;
  }

  /** The first record of a batch that has a timestamp: those before it have none. */
  #stamp(at: number): void {
    this.#stamped = true;
    this.#stamps.fill(NO_TIMESTAMP, 0, at);
    this.#stamps[at] = this.timestamp;
  }
}
