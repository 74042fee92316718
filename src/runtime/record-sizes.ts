/** Estimates how much memory records take that wait: now and then one of them is encoded. */
import { ByteWriter } from '../base/bytes.ts';
import type { InputNumber } from '../state/waiting-keys.ts';
import type { InputCodecs } from '../state/waiting-records.ts';
import type { RecordBatch } from '../types/record-batch.ts';

/** Live objects take a few times their encoded size. */
const LIVE_FACTOR = 3;
/** Of a record that waits, whatever it holds. */
const RECORD_BYTES = 100;
/** Batches from one sample to the next. */
const SAMPLE_EVERY = 64;
/** Weight of the newest sample in the average. */
const NEWEST = 1 / 4;

export class RecordSizes {
  readonly #codecOf: InputCodecs;
  readonly #averages: [number, number] = [0, 0];
  readonly #asked: [number, number] = [0, 0];

  constructor(codecOf: InputCodecs) {
    this.#codecOf = codecOf;
  }

  bytesPerRecord(input: InputNumber, { values }: RecordBatch<unknown>): number {
    const at = input - 1;
    if (this.#asked[at]!++ % SAMPLE_EVERY === 0) {
      const writer = new ByteWriter();
      this.#codecOf(input).encodeInto(values, null, 0, 1, writer);
      const bytes = RECORD_BYTES + LIVE_FACTOR * writer.position;
      const before = this.#averages[at]!;
      this.#averages[at] = before === 0 ? bytes : before + (bytes - before) * NEWEST;
    }
    return this.#averages[at]!;
  }
}
