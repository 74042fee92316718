/**
 * The records that the execution controller holds, by key and in order, and as batches again.
 *
 * A key that waits or runs has a number, and so has a record that waits; what is known of either lies in columns at that number. Ten
 * thousand records wait for a slow store: as an object and an array each they would outlive the young generation, be copied by the
 * collector again and again, and fill the processor's caches. Here a record that waits costs 20 to 28 bytes, a key about 30, and no object.
 *
 *   keys      identity (`key-index.ts`) | last record | phase | rounds; and rarely touched: running | offered
 *   records   value | timestamp | origin | next record of the key; of the last one, the first
 *
 * Numbers begin at 1, so that 0 is none and columns need not be filled. Freed numbers hang together by `last` and by `next` and are taken
 * again, the newest first: those of a load lie side by side. Columns grow and do not shrink.
 */
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { grown, KeyIndex } from './key-index.ts';

export type InputNumber = 1 | 2;
/** The number of a key that waits or runs. */
export type KeyNumber = number;

/** What came between two markers. */
export interface Epoch {
  readonly number: number;
  /** Records of it that wait. */
  waiting: number;
}

/** What records of one batch have in common. */
export interface Origin {
  readonly input: InputNumber;
  /** They have timestamps. */
  readonly stamped: boolean;
  /** Estimate of the memory that a record takes. */
  readonly bytes: number;
  readonly epoch: Epoch;
}

/** What of a key goes on. None: it may be listed. */
export const PHASE = {
  quiet: 0,
  /** Noted for a load that has not ended: its first record lacks something. */
  lacks: 1,
  /** In the list of those that may run. */
  listed: 2,
  /** A function of it has begun and not ended. */
  runs: 4,
  /** Its first record is being handed over, and is no longer counted as waiting. */
  offered: 8,
} as const;
/** Beside the phase: the key is not its own identity, and kept apart. */
const NAMED = 16;

/** Rounds are counted up to it. */
const ROUNDS_MAX = 255;
const ROOM_MIN = 64;

export class WaitingKeys {
  readonly #index = new KeyIndex();
  /** Those that are not their own identity: most are. */
  readonly #names: unknown[] = [];
  #newestKey = 0;
  #last = new Int32Array(ROOM_MIN);
  /** Bits of PHASE. */
  #phase = new Uint8Array(ROOM_MIN);
  /** How often its first record has been found lacking in a row. */
  #rounds = new Uint8Array(ROOM_MIN);
  /** Functions that have begun and not ended: the one under way, and those that follow it. */
  #running = new Int32Array(ROOM_MIN);
  #offered = new Int32Array(ROOM_MIN);
  #freeKey = 0;

  readonly #values: unknown[] = [undefined];
  readonly #origins: (Origin | undefined)[] = [undefined];
  #stamps = new Float64Array(ROOM_MIN);
  #next = new Int32Array(ROOM_MIN);
  #freeRecord = 0;
  /** Records that wait, and what they take. */
  records = 0;
  bytes = 0;

  get size(): number {
    return this.#index.size;
  }

  /** @hot bench/aec.ts. 0: nothing of it waits or runs. */
  find(id: unknown): KeyNumber {
    return this.#index.find(id);
  }

  /** @hot bench/aec.ts. False: nothing of that key waits or runs. Its identity need not be known. */
  mayHold(key: unknown): boolean {
    return this.#index.mayHold(key);
  }

  hasRecords(n: KeyNumber): boolean {
    return this.#last[n] !== 0;
  }

  /** Any of these bits of PHASE. */
  is(n: KeyNumber, phase: number): boolean {
    return (this.#phase[n]! & phase) !== 0;
  }

  isQuiet(n: KeyNumber): boolean {
    return (this.#phase[n]! & ~NAMED) === PHASE.quiet;
  }

  mark(n: KeyNumber, phase: number): void {
    this.#phase[n]! |= phase;
  }

  unmark(n: KeyNumber, phase: number): void {
    this.#phase[n]! &= ~phase;
  }

  roundsOf(n: KeyNumber): number {
    return this.#rounds[n]!;
  }

  setRounds(n: KeyNumber, rounds: number): void {
    this.#rounds[n] = Math.min(rounds, ROUNDS_MAX);
  }

  /** A function of the key begins or ends. @returns how many have begun and not ended */
  changeRunning(n: KeyNumber, by: 1 | -1): number {
    const running = this.#running[n]! + by;
    this.#running[n] = running;
    if (running > 0) this.mark(n, PHASE.runs);
    else this.unmark(n, PHASE.runs);
    return running;
  }

  /** A key that is not there, without records. */
  add(key: unknown, id: unknown): KeyNumber {
    let n = this.#freeKey;
    if (n === 0) n = this.#newKey();
    else this.#freeKey = this.#last[n]!;
    this.#last[n] = 0;
    if (key !== id) {
      this.#names[n] = key;
      this.#phase[n] = NAMED;
    }
    this.#index.add(id, n);
    return n;
  }

  /** One without records and functions. */
  remove(n: KeyNumber): void {
    this.#index.remove(n);
    if (this.is(n, NAMED)) this.#names[n] = undefined;
    this.#phase[n] = PHASE.quiet;
    this.#rounds[n] = 0;
    this.#last[n] = this.#freeKey;
    this.#freeKey = n;
  }

  /** @hot A further record of the key. */
  append(n: KeyNumber, value: unknown, timestamp: number, origin: Origin): void {
    let record = this.#freeRecord;
    if (record === 0) record = this.#newRecord();
    else this.#freeRecord = this.#next[record]!;
    this.#values[record] = value;
    if (origin.stamped) this.#stamps[record] = timestamp;
    this.#origins[record] = origin;
    this.#link(n, record);
    this.#last[n] = record;
    this.#count(origin, 1);
  }

  /** @hot Takes all records of the key, which has some; says the epoch of the earliest. */
  takeAll(n: KeyNumber, gatherer: BatchGatherer): Epoch {
    const last = this.#last[n]!;
    let record = this.#next[last]!;
    const { epoch } = this.#origins[record]!;
    for (;;) {
      const next = this.#next[record]!;
      this.#gather(record, gatherer);
      this.#count(this.#origins[record]!, -1);
      this.#free(record);
      if (record === last) break;
      record = next;
    }
    this.#last[n] = 0;
    return epoch;
  }

  /** Offers the first record of the key: it has been taken, until it is put back or settled. */
  offer(n: KeyNumber, gatherer: BatchGatherer): void {
    const last = this.#last[n]!;
    const record = this.#next[last]!;
    if (record === last) this.#last[n] = 0;
    else this.#next[last] = this.#next[record]!;
    this.#offered[n] = record;
    this.mark(n, PHASE.offered);
    this.#count(this.#origins[record]!, -1);
    this.#gather(record, gatherer);
  }

  /** The offered record is the first again. */
  putBack(n: KeyNumber): void {
    const record = this.#offered[n]!;
    this.#link(n, record);
    if (this.#last[n] === 0) this.#last[n] = record;
    this.unmark(n, PHASE.offered);
    this.#count(this.#origins[record]!, 1);
  }

  /** The offered record has been handed over. */
  settleOffered(n: KeyNumber): void {
    this.#free(this.#offered[n]!);
    this.unmark(n, PHASE.offered);
  }

  /** All that waits; the order within each key is kept. */
  batches(): readonly WaitingBatch[] {
    const gatherer = new BatchGatherer({ keyed: true });
    for (const n of this.#index.all()) {
      const last = this.#last[n]!;
      if (last === 0) continue;
      const key = this.is(n, NAMED) ? this.#names[n] : this.#index.idOf(n);
      let record = last;
      do {
        record = this.#next[record]!;
        this.#gather(record, gatherer, key);
      } while (record !== last);
    }
    return gatherer.take();
  }

  /** Between the last record and the first. */
  #link(n: KeyNumber, record: number): void {
    const last = this.#last[n]!;
    if (last === 0) {
      this.#next[record] = record;
      return;
    }
    this.#next[record] = this.#next[last]!;
    this.#next[last] = record;
  }

  #gather(record: number, gatherer: BatchGatherer, key?: unknown): void {
    const { input, stamped } = this.#origins[record]!;
    const timestamp = stamped ? this.#stamps[record]! : NO_TIMESTAMP;
    gatherer.add(input, this.#values[record], timestamp, key);
  }

  #count({ bytes, epoch }: Origin, sign: 1 | -1): void {
    epoch.waiting += sign;
    this.records += sign;
    this.bytes += sign * bytes;
  }

  #free(record: number): void {
    this.#values[record] = undefined;
    this.#next[record] = this.#freeRecord;
    this.#freeRecord = record;
  }

  #newKey(): KeyNumber {
    const n = ++this.#newestKey;
    if (n < this.#last.length) return n;
    this.#last = grown(this.#last, n);
    this.#phase = grown(this.#phase, n);
    this.#rounds = grown(this.#rounds, n);
    this.#running = grown(this.#running, n);
    this.#offered = grown(this.#offered, n);
    return n;
  }

  #newRecord(): number {
    const record = this.#values.push(undefined) - 1;
    this.#origins.push(undefined);
    if (record < this.#next.length) return record;
    this.#next = grown(this.#next, record);
    this.#stamps = grown(this.#stamps, record);
    return record;
  }
}

/** Of what has been taken from a queue before the rest is moved up. */
const TAKEN_MAX = 16_384;

/** Keys in order; taking some costs no more than they are. */
export class KeyQueue {
  #keys: KeyNumber[] = [];
  #from = 0;

  get length(): number {
    return this.#keys.length - this.#from;
  }

  push(n: KeyNumber): void {
    this.#keys.push(n);
  }

  take(max: number): readonly KeyNumber[] {
    const end = this.#from + max;
    const taken = this.#keys.slice(this.#from, end);
    this.#from = end;
    if (end >= this.#keys.length || end >= TAKEN_MAX) {
      this.#keys = this.#keys.slice(end);
      this.#from = 0;
    }
    return taken;
  }
}

export interface WaitingBatch {
  readonly kind: 'batch';
  readonly input: InputNumber;
  readonly batch: RecordBatch<unknown>;
  /** Of each record; undefined for an input without keys, and where nobody has asked for them. */
  readonly keys: readonly unknown[] | undefined;
}

/** Records of a batch that are not meant. */
export interface LeftOut {
  /** Their places, ascending. */
  readonly indexes: ArrayLike<number>;
  /** How many of the indexes count. */
  readonly count: number;
}

export const NOTHING_LEFT_OUT: LeftOut = { indexes: new Uint32Array(0), count: 0 };

/** The records of a batch but some. Costs a copy: for operators that cannot leave records out. */
export function without(
  { values, timestamps }: RecordBatch<unknown>,
  { indexes, count }: LeftOut,
): RecordBatch<unknown> {
  const size = values.length - count;
  const rest = new Array<unknown>(size);
  const stamps = timestamps === null ? null : new Float64Array(size);
  let skip = 0;
  let at = 0;
  let next = indexes[0]!;
  for (let i = 0; i < values.length; i++) {
    if (i === next) {
      skip++;
      next = skip < count ? indexes[skip]! : -1;
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
  readonly #keyed: boolean;
  #values: unknown[] = [];
  /** None as long as no record has one. */
  #stamps: number[] = [];
  #keys: unknown[] = [];
  #input: InputNumber = 1;

  constructor({ keyed = false }: { readonly keyed?: boolean } = {}) {
    this.#keyed = keyed;
  }

  /** @hot */
  add(input: InputNumber, value: unknown, timestamp: number, key?: unknown): void {
    if (this.#values.length === BATCH_SIZE_MAX || input !== this.#input) this.#close();
    this.#input = input;
    const stamps = this.#stamps;
    if (timestamp !== NO_TIMESTAMP || stamps.length > 0) {
      while (stamps.length < this.#values.length) stamps.push(NO_TIMESTAMP);
      stamps.push(timestamp);
    }
    this.#values.push(value);
    if (this.#keyed) this.#keys.push(key);
  }

  take(): readonly WaitingBatch[] {
    this.#close();
    return this.#batches;
  }

  #close(): void {
    if (this.#values.length === 0) return;
    const timestamps = this.#stamps.length > 0 ? new Float64Array(this.#stamps) : null;
    const batch = { values: this.#values, timestamps };
    const keys = this.#keyed ? this.#keys : undefined;
    this.#batches.push({ kind: 'batch', input: this.#input, batch, keys });
    this.#values = [];
    this.#stamps = [];
    this.#keys = [];
  }
}
