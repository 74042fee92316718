/** The records that the execution controller holds: by key, in order, and as batches again. */
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';

export type InputNumber = 1 | 2;

/** What came between two markers. */
export interface Epoch {
  readonly number: number;
  /** Records of it that wait. */
  waiting: number;
}

export interface WaitingRecord {
  readonly input: InputNumber;
  readonly value: unknown;
  readonly timestamp: number;
  /** Estimate of the memory it takes. */
  readonly bytes: number;
  readonly epoch: Epoch;
}

/** The records of one key that wait, in order, and what they wait for. */
export class WaitingKey {
  readonly key: unknown;
  readonly id: unknown;
  records: WaitingRecord[] = [];
  /** Noted for a load that has not ended: its first record lacks something. */
  lacks = false;
  /** Functions of this key that have begun and not ended: the one under way, and `starts`, which follow it. */
  running = 0;
  starts: (() => void)[] | undefined;
  /** In the list of those that may run. */
  listed = false;
  /** Its first record is being handed over. */
  offered: WaitingRecord | undefined;
  /** How often its first record has been found lacking in a row. */
  rounds = 0;

  constructor(key: unknown, id: unknown) {
    this.key = key;
    this.id = id;
  }
}

export interface WaitingBatch {
  readonly kind: 'batch';
  readonly input: InputNumber;
  readonly batch: RecordBatch<unknown>;
  /** Of each record; undefined for an input without keys. */
  readonly keys: readonly unknown[] | undefined;
}

/** The records of a batch but those at `left` (ascending); undefined when there are none. */
export function without(
  { values, timestamps }: RecordBatch<unknown>,
  left: readonly number[],
): RecordBatch<unknown> | undefined {
  const size = values.length - left.length;
  if (size === 0) return undefined;
  const rest = new Array<unknown>(size);
  const stamps = timestamps === null ? null : new Float64Array(size);
  let skip = 0;
  let at = 0;
  let next = left[0];
  for (let i = 0; i < values.length; i++) {
    if (i === next) {
      next = left[++skip];
      continue;
    }
    rest[at] = values[i];
    if (stamps !== null) stamps[at] = timestamps![i]!;
    at++;
  }
  return { values: rest, timestamps: stamps };
}

/** Gathers records into batches of one input each; their order is kept. */
export class BatchGatherer {
  readonly #batches: WaitingBatch[] = [];
  #values: unknown[] = [];
  #stamps: number[] = [];
  #keys: unknown[] = [];
  #input: InputNumber = 1;
  #stamped = false;

  add(key: unknown, { input, value, timestamp }: WaitingRecord): void {
    if (this.#values.length === BATCH_SIZE_MAX || input !== this.#input) this.#close();
    this.#input = input;
    this.#values.push(value);
    this.#stamps.push(timestamp);
    this.#keys.push(key);
    if (timestamp !== NO_TIMESTAMP) this.#stamped = true;
  }

  take(): readonly WaitingBatch[] {
    this.#close();
    return this.#batches;
  }

  #close(): void {
    if (this.#values.length === 0) return;
    const timestamps = this.#stamped ? Float64Array.from(this.#stamps) : null;
    const batch = { values: this.#values, timestamps };
    this.#batches.push({ kind: 'batch', input: this.#input, batch, keys: this.#keys });
    this.#values = [];
    this.#stamps = [];
    this.#keys = [];
    this.#stamped = false;
  }
}

/** Records of these keys as batches; the order within each key is kept. */
export function batchesOf(keys: Iterable<WaitingKey>): readonly WaitingBatch[] {
  const gatherer = new BatchGatherer();
  for (const { key, records } of keys) for (const record of records) gatherer.add(key, record);
  return gatherer.take();
}
