/**
 * Decides which records of a keyed operator may run while others wait for state that is elsewhere, or for functions of their key that are
 * suspended (Flink's AsyncExecutionController is the model, FLIP-425). It fetches nothing and knows no clock: `runtime/async-state.ts`
 * drives it.
 *
 * A record runs as soon as what it reads is resident and no function of its key is under way; until then it waits, by key. A record that
 * waits has run no user code.
 *
 * Invariants
 *  E1  Records of one key run in the order in which they came, over both inputs; the next begins when the function of the last has ended.
 *  E2  A marker (watermark, status, latency, end of input) takes effect when every record before it has run to its end, and before any
 *      record after it, which is prepared meanwhile. Where markers change nothing in the operator (`overtakes`), records after it that
 *      lack nothing run before it: no record is ever behind a watermark that it came before.
 *  E3  Whoever waits has noted what it misses, or waits behind one of its key that has, or that runs.
 *  E4  `inFlight` is the number of records that wait or run, `bytesInFlight` what those that wait take; at either limit no more are taken.
 *  E5  A step runs what has completed before it runs what was held back, and that in portions: neither completions nor input starve.
 *
 * Cost: where nothing is missing, one call per batch beside the operator's own check; while keys wait, a look into a filter per record;
 * a record that waits costs an object and a Map entry for its key. No promise per record: what waits is grouped by the load that it
 * waits for.
 */
import { NumberMap } from '../base/number-map.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { KeyFilter } from './key-filter.ts';
import {
  BatchGatherer,
  batchesOf,
  type Epoch,
  type InputNumber,
  type WaitingBatch,
  WaitingKey,
  type WaitingRecord,
  without,
} from './waiting-keys.ts';

/** Told by the operator, record by record, whether what it reads is resident. */
export interface RecordGate {
  /** Every record is to be told, not only those that lack something. */
  readonly attentive: boolean;
  /** Something of that key waits or runs: its records wait too, and nothing need be noted for them yet. */
  blocked(key: unknown): boolean;
  /** `key` is that of record `index`; `ready` whether all that it reads is resident. */
  record(index: number, key: unknown, ready: boolean): void;
}

/** The operator and what is behind it. */
export interface ControllerTarget<M> {
  /** Asks the operator about each record, in order. An input without keys tells the gate nothing. */
  prepare(input: InputNumber, batch: RecordBatch<unknown>, gate: RecordGate): void;
  process(input: InputNumber, batch: RecordBatch<unknown>): void;
  /** A record is asked about, and handed over, only when those of its key before it have been processed. */
  readonly oneByOne: boolean;
  /** Markers change nothing in the operator: it need not be said when records run before one that came before them. */
  readonly overtakes?: boolean;
  /** Estimate of the memory that one of these records takes. */
  bytesPerRecord(input: InputNumber, batch: RecordBatch<unknown>): number;
  /** False: nothing is to be handed over now. */
  available(): boolean;
  /** What a marker does: all of it; a part, call again; nothing before `load`; or nothing before all functions have ended. */
  apply(marker: M): 'done' | 'more' | 'load' | 'wait';
}

export interface ControllerLimits {
  /** Records that wait or run, at most. A batch that has been taken is taken whole. */
  readonly inFlightMax: number;
  /** Bytes of those that wait, at most; likewise. */
  readonly bytesInFlightMax: number;
}

/** What a load is for. */
export interface LoadGroup {
  readonly keys: readonly WaitingKey[];
  /** A marker or timers wait for it. */
  readonly urgent: boolean;
}

/** What waits, in an order in which it may run. */
export type WaitingItem<M> = WaitingBatch | { readonly kind: 'marker'; readonly marker: M };

interface HeldBatch extends WaitingBatch {
  readonly bytes: number;
  readonly epoch: Epoch;
}

type Held<M> =
  | HeldBatch
  | {
      readonly kind: 'marker';
      readonly marker: M;
      /** Which it closes. */
      readonly epoch: Epoch;
    };

/** A key that was found lacking so often in a row keeps what is resident from being evicted. */
const ROUNDS_PATIENT = 3;
/** E5: batches and markers that were held back, per step. */
const HELD_PER_STEP = 8;

export class AsyncExecutionController<M> {
  readonly #target: ControllerTarget<M>;
  readonly #limits: ControllerLimits;
  readonly #identify: (key: unknown) => unknown;
  readonly #keys = new NumberMap<WaitingKey>();
  readonly #filter = new KeyFilter();
  /** Keys that wait for the next load. */
  #lacking: WaitingKey[] = [];
  /** Keys whose first record may run. */
  #listed: WaitingKey[] = [];
  /** What came behind a marker, and the marker. */
  #held: Held<M>[] = [];
  #heldRecords = 0;
  #heldBytes = 0;
  #waitingRecords = 0;
  #waitingBytes = 0;
  /** Records that have had to wait, ever. */
  deferredRecords = 0;
  #running = 0;
  #starving = 0;
  /** Records and markers stand still for timers whose state is being loaded. */
  #paused = false;
  /** A marker or timers need what has been noted; or it is under way. */
  #urgent: 'none' | 'noted' | 'loading' = 'none';
  /** The first marker: not begun; begun, what it runs may still run; begun, and it waits for that. */
  #marker: 'none' | 'begun' | 'waits' = 'none';
  /** Of what comes now. */
  #newest: Epoch = { number: 0, waiting: 0 };
  /** Of the records that are being run, or an earlier one: whoever waits for it waits for them too. */
  #epoch: Epoch = this.#newest;
  /** Rounds of the keys that are being run. */
  #round = 0;
  /** Keys of the batch being run, where records are handed over one by one. */
  readonly #seen = new Set<unknown>();
  /** Indexes of a batch's records that wait. */
  readonly #deferred: number[] = [];
  #current: { readonly input: InputNumber; readonly batch: RecordBatch<unknown> } | undefined;
  /** Of the records of the current batch. */
  #recordBytes = -1;
  readonly #gate: { attentive: boolean } & Pick<RecordGate, 'blocked' | 'record'>;

  constructor(
    target: ControllerTarget<M>,
    limits: ControllerLimits,
    identify: (key: unknown) => unknown,
  ) {
    this.#target = target;
    this.#limits = limits;
    this.#identify = identify;
    this.#gate = {
      attentive: false,
      blocked: (key) => this.#isBlocked(key),
      record: target.oneByOne
        ? (index, key, ready) => this.#recordOfOne(index, key, ready)
        : (index, key, ready) => this.#record(index, key, ready),
    };
  }

  get inFlight(): number {
    return this.#waitingRecords + this.#heldRecords + this.#running;
  }

  get bytesInFlight(): number {
    return this.#waitingBytes + this.#heldBytes;
  }

  get blockedKeys(): number {
    return this.#keys.size;
  }

  /** Functions that have begun and not ended. */
  get running(): number {
    return this.#running;
  }

  /** Keys that wait for a load that has not begun. */
  get lackingKeys(): number {
    return this.#lacking.length;
  }

  /** E4 */
  get full(): boolean {
    return (
      this.inFlight >= this.#limits.inFlightMax ||
      this.bytesInFlight >= this.#limits.bytesInFlightMax
    );
  }

  /** Nothing waits and nothing runs. */
  get idle(): boolean {
    return this.#waitingRecords === 0 && this.#held.length === 0 && this.#running === 0;
  }

  /** `step` has something to do. */
  get runnable(): boolean {
    if (this.#paused) return false;
    return this.#listed.length > 0 || (this.#held.length > 0 && !this.#headWaits);
  }

  /** Whether what is resident may be evicted, but for keys in use. */
  get mayTrim(): boolean {
    return this.#starving === 0 && this.#listed.length === 0 && this.#urgent === 'none';
  }

  /** A function of that key is under way. */
  isRunning(id: unknown): boolean {
    return this.#running > 0 && (this.#keys.get(id)?.running ?? 0) > 0;
  }

  /** A marker has begun to take effect, or is about to. */
  get applying(): boolean {
    return (
      this.#marker !== 'none' ||
      (this.#held[0]?.kind === 'marker' && !this.#waitsBefore(this.#held[0]))
    );
  }

  /** A marker or timers wait for a load that has begun or is about to. */
  get urgent(): 'none' | 'noted' | 'loading' {
    return this.#urgent;
  }

  /** Until a load that begins now has ended nothing runs, and what comes is prepared only: processing-time timers need it, for one. */
  pauseForLoad(): void {
    this.#paused = true;
    this.#urgent = 'noted';
  }

  get paused(): boolean {
    return this.#paused;
  }

  offer(input: InputNumber, batch: RecordBatch<unknown>): void {
    if (this.#mayRun) {
      this.#epoch = this.#newest;
      this.#run(input, batch);
      return;
    }
    const keys: unknown[] = [];
    this.#target.prepare(input, batch, {
      attentive: true,
      blocked: (key) => this.#isBlocked(key),
      record: (index, key) => {
        keys[index] = key;
      },
    });
    const bytes = batch.values.length * this.#target.bytesPerRecord(input, batch);
    const keysOf = keys.length === 0 ? undefined : keys;
    const epoch = this.#newest;
    this.#held.push({ kind: 'batch', input, batch, keys: keysOf, bytes, epoch });
    this.#heldRecords += batch.values.length;
    this.#heldBytes += bytes;
  }

  offerMarker(marker: M): void {
    this.#held.push({ kind: 'marker', marker, epoch: this.#newest });
    this.#newest = { number: this.#newest.number + 1, waiting: 0 };
  }

  /** Begins a function of this key, of a record or another; if one is under way, when that has ended. */
  begin(key: unknown, start: () => void): void {
    const waiting = this.#enter(key, this.#identify(key));
    waiting.running++;
    this.#running++;
    if (waiting.running === 1) start();
    else (waiting.starts ??= []).push(start);
  }

  /** It has ended: the key's next function or record may run. */
  end(key: unknown): void {
    const waiting = this.#keys.get(this.#identify(key))!; // it has begun
    waiting.running--;
    this.#running--;
    const next = waiting.starts?.shift();
    if (next === undefined) this.#settle(waiting);
    else next();
  }

  /** Runs what may run now (E5). False: nothing could be done. */
  step(): boolean {
    if (this.#paused) return false;
    let worked = this.#runListed();
    for (let left = HELD_PER_STEP; left > 0; left--) {
      if (this.#held.length === 0 || this.#headWaits || !this.#target.available()) break;
      const head = this.#held[0]!;
      worked = true;
      if (head.kind === 'batch') {
        this.#held.shift();
        this.#heldRecords -= head.batch.values.length;
        this.#heldBytes -= head.bytes;
        this.#epoch = head.epoch;
        this.#run(head.input, head.batch);
      } else if (!this.#apply(head.marker)) break;
    }
    return worked;
  }

  /** Those that the load now beginning is for. */
  beginLoad(): LoadGroup {
    const keys = this.#lacking;
    this.#lacking = [];
    const urgent = this.#urgent === 'noted';
    if (urgent) this.#urgent = 'loading';
    return { keys, urgent };
  }

  endLoad({ keys, urgent }: LoadGroup): void {
    for (const key of keys) {
      key.lacks = false;
      this.#settle(key);
    }
    if (!urgent) return;
    this.#urgent = 'none';
    this.#paused = false;
  }

  /** Runs what is held back of an input without keys: it belongs to no key group, and could not be saved. */
  runUnkeyed(): void {
    const taken: HeldBatch[] = [];
    const kept: Held<M>[] = [];
    for (const item of this.#held) {
      if (item.kind === 'batch' && item.keys === undefined) taken.push(item);
      else kept.push(item);
    }
    if (taken.length === 0) return;
    this.#held = kept;
    for (const { input, batch, bytes } of taken) {
      this.#heldRecords -= batch.values.length;
      this.#heldBytes -= bytes;
      this.#target.process(input, batch);
    }
  }

  /** All that waits, in an order that keeps E1 and E2. */
  waiting(): readonly WaitingItem<M>[] {
    return [...batchesOf(this.#keys.values()), ...this.#held];
  }

  /** What comes now need not be held back. */
  get #mayRun(): boolean {
    if (this.#paused) return false;
    if (this.#held.length === 0) return true;
    return this.#target.overtakes === true && this.#heldRecords === 0 && this.#marker === 'none';
  }

  get #headWaits(): boolean {
    const head = this.#held[0]!;
    if (head.kind !== 'marker') return false;
    if (this.#urgent !== 'none') return true;
    return this.#marker !== 'begun' && this.#waitsBefore(head);
  }

  /** E2. Those of earlier epochs have run: the markers behind them have taken effect. */
  #waitsBefore({ epoch }: { readonly epoch: Epoch }): boolean {
    return this.#running > 0 || epoch.waiting > 0;
  }

  /** True: the marker is through. */
  #apply(marker: M): boolean {
    this.#marker = 'begun';
    const progress = this.#target.apply(marker);
    if (progress === 'load') this.#urgent = 'noted';
    if (progress === 'wait') this.#marker = 'waits';
    if (progress !== 'done') return false;
    this.#marker = 'none';
    this.#held.shift();
    return true;
  }

  #enter(key: unknown, id: unknown): WaitingKey {
    let waiting = this.#keys.get(id);
    if (waiting !== undefined) return waiting;
    waiting = new WaitingKey(key, id);
    this.#keys.set(id, waiting);
    this.#filter.add(id);
    return waiting;
  }

  #leave(waiting: WaitingKey): void {
    this.#keys.delete(waiting.id);
    this.#filter.remove(waiting.id);
  }

  /** Lists the key if its first record may run, forgets it if there is nothing more to it. */
  #settle(waiting: WaitingKey): void {
    if (waiting.running > 0 || waiting.lacks || waiting.listed) return;
    if (waiting.records.length === 0) {
      this.#leave(waiting);
      return;
    }
    waiting.listed = true;
    this.#listed.push(waiting);
  }

  #runListed(): boolean {
    if (this.#listed.length === 0) return false;
    const keys = this.#listed;
    this.#listed = [];
    if (this.#target.oneByOne) this.#runFirsts(keys);
    else this.#runAll(keys);
    return true;
  }

  #runAll(keys: readonly WaitingKey[]): void {
    let rounds = 0;
    let earliest = this.#newest;
    for (const waiting of keys) {
      this.#leave(waiting);
      for (const { bytes, epoch } of waiting.records) {
        this.#waitingBytes -= bytes;
        epoch.waiting--;
      }
      const { epoch } = waiting.records[0]!; // the earliest of the key
      if (epoch.number < earliest.number) earliest = epoch;
      this.#waitingRecords -= waiting.records.length;
      if (waiting.rounds > ROUNDS_PATIENT) this.#starving--;
      if (waiting.rounds > rounds) rounds = waiting.rounds;
    }
    this.#round = rounds;
    this.#epoch = earliest;
    for (const { input, batch } of batchesOf(keys)) this.#run(input, batch);
    this.#round = 0;
  }

  /** The first record of each key; the next ones when it has been processed to its end. */
  #runFirsts(keys: readonly WaitingKey[]): void {
    const gatherer = new BatchGatherer();
    for (const waiting of keys) {
      waiting.listed = false;
      if (waiting.running > 0) continue;
      const record = waiting.records.shift()!;
      waiting.offered = record;
      this.#waitingRecords--;
      this.#waitingBytes -= record.bytes;
      record.epoch.waiting--;
      if (waiting.rounds > ROUNDS_PATIENT) this.#starving--;
      gatherer.add(waiting.key, record);
    }
    for (const { input, batch } of gatherer.take()) this.#run(input, batch);
    for (const waiting of keys) {
      if (waiting.offered === undefined) continue;
      waiting.offered = undefined;
      this.#settle(waiting);
    }
  }

  /** @hot bench/aec.ts */
  #run(input: InputNumber, batch: RecordBatch<unknown>): void {
    this.#current = { input, batch };
    this.#recordBytes = -1;
    const { oneByOne } = this.#target;
    this.#gate.attentive = oneByOne || this.#keys.size > 0;
    if (oneByOne) this.#seen.clear();
    this.#target.prepare(input, batch, this.#gate);
    const deferred = this.#deferred;
    if (deferred.length === 0) {
      this.#target.process(input, batch);
      return;
    }
    const ready = without(batch, deferred);
    deferred.length = 0;
    if (ready !== undefined) this.#target.process(input, ready);
  }

  #isBlocked(key: unknown): boolean {
    const id = this.#identify(key);
    if (!this.#filter.mayHave(id)) return false;
    const waiting = this.#keys.get(id);
    return waiting !== undefined && waiting.offered === undefined;
  }

  /** @hot bench/aec.ts. Most records find that nothing of their key waits. */
  #record(index: number, key: unknown, ready: boolean): void {
    const id = this.#identify(key);
    if (ready && !this.#filter.mayHave(id)) return;
    let waiting = this.#keys.get(id);
    if (waiting === undefined) {
      if (ready) return;
      waiting = this.#enter(key, id);
      this.#lacks(waiting, this.#round + 1);
    }
    this.#defer(index, waiting);
  }

  #recordOfOne(index: number, key: unknown, ready: boolean): void {
    const id = this.#identify(key);
    const waiting = this.#keys.get(id);
    if (waiting?.offered !== undefined) {
      if (ready) {
        waiting.rounds = 0;
        return;
      }
      // Still lacking: it stays the first.
      const { offered } = waiting;
      waiting.offered = undefined;
      waiting.records.unshift(offered);
      this.#waitingRecords++;
      this.#waitingBytes += offered.bytes;
      offered.epoch.waiting++;
      this.#lacks(waiting, waiting.rounds + 1);
      this.#deferred.push(index);
      return;
    }
    const repeats = this.#seen.has(id);
    if (waiting === undefined && ready && !repeats) {
      this.#seen.add(id);
      return;
    }
    const entered = waiting ?? this.#enter(key, id);
    if (waiting === undefined && !repeats) this.#lacks(entered, 1);
    this.#defer(index, entered);
    // Behind one that runs now and need not be told when that has ended.
    if (repeats) this.#settle(entered);
  }

  #lacks(waiting: WaitingKey, rounds: number): void {
    waiting.rounds = rounds;
    waiting.lacks = true;
    if (rounds > ROUNDS_PATIENT) this.#starving++;
    this.#lacking.push(waiting);
    this.#gate.attentive = true;
  }

  #defer(index: number, waiting: WaitingKey): void {
    const { input, batch } = this.#current!;
    if (this.#recordBytes === -1) this.#recordBytes = this.#target.bytesPerRecord(input, batch);
    const timestamp = batch.timestamps === null ? NO_TIMESTAMP : batch.timestamps[index]!;
    const bytes = this.#recordBytes;
    const epoch = this.#epoch;
    const record: WaitingRecord = { input, value: batch.values[index], timestamp, bytes, epoch };
    waiting.records.push(record);
    epoch.waiting++;
    this.#waitingRecords++;
    this.#waitingBytes += bytes;
    this.deferredRecords++;
    this.#deferred.push(index);
  }
}
