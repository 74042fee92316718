/**
 * Decides which records of a keyed operator may run while others wait for state that is elsewhere (Flink's AsyncExecutionController is the
 * model, FLIP-425). It fetches nothing and knows no clock's hands but the one it is given: `runtime/async-state.ts` drives it.
 *
 * A record runs as soon as what it reads is resident; until then it waits, by key. A record that waits has run no user code.
 *
 * Invariants
 *  E1  Records of one key run in the order in which they came, over both inputs.
 *  E2  A marker (watermark, status, latency, end of input) takes effect when every record before it has run, and before any record after
 *      it. Records after it are prepared meanwhile.
 *  E3  Whoever waits has noted what it misses, or waits behind one of its key that has.
 *  E4  `inFlight` is the number of records that wait; at `inFlightMax` no more are taken.
 *
 * Cost: where nothing is missing, one call per batch beside the operator's own check; a record that waits costs an object and a Map entry
 * for its key. No promise per record: what waits is grouped by the load that it waits for.
 */
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';

export type InputNumber = 1 | 2;

/** Told by the operator, record by record, whether what it reads is resident. */
export interface RecordGate {
  /** Every record is to be told, not only those that lack something. */
  readonly attentive: boolean;
  /** `key` is that of record `index`; `ready` whether all that it reads is resident. */
  record(index: number, key: unknown, ready: boolean): void;
}

/** The operator and what is behind it. */
export interface ControllerTarget<M> {
  /** Asks the operator about each record, in order. An input without keys tells the gate nothing. */
  prepare(input: InputNumber, batch: RecordBatch<unknown>, gate: RecordGate): void;
  process(input: InputNumber, batch: RecordBatch<unknown>): void;
  /** A record's answer holds only after those of its key before it have been processed. */
  readonly readsWhatIsWritten: boolean;
  /** False: nothing is to be handed over now. */
  available(): boolean;
  /** What a marker does: all of it; a part, call again; or nothing before `load`. */
  apply(marker: M): 'done' | 'more' | 'load';
}

export interface ControllerLimits {
  /** Records that wait, at most. A batch that has been taken is taken whole. */
  readonly inFlightMax: number;
  /** From this many missing entries on they are loaded at once. */
  readonly batchSize: number;
}

export interface WaitingRecord {
  readonly input: InputNumber;
  readonly value: unknown;
  readonly timestamp: number;
}

/** The records of one key that wait, in order; the first of them lacks something. */
class WaitingKey {
  readonly key: unknown;
  readonly id: unknown;
  readonly records: WaitingRecord[] = [];
  /** How often its first record has been found lacking. */
  readonly rounds: number;

  constructor(key: unknown, id: unknown, rounds: number) {
    this.key = key;
    this.id = id;
    this.rounds = rounds;
  }
}

/** What a load is for. */
export interface LoadGroup {
  readonly keys: readonly WaitingKey[];
  /** A marker or timers wait for it. */
  readonly urgent: boolean;
}

export interface WaitingBatch {
  readonly kind: 'batch';
  readonly input: InputNumber;
  readonly batch: RecordBatch<unknown>;
  /** Of each record; undefined for an input without keys. */
  readonly keys: readonly unknown[] | undefined;
}

/** What waits, in an order in which it may run. */
export type WaitingItem<M> = WaitingBatch | { readonly kind: 'marker'; readonly marker: M };

/** Loads under way at which misses are gathered first. */
const LOADS_EAGER = 16;
const LOADS_MAX = 64;
/** A key that was found lacking so often in a row keeps what is resident from being evicted. */
const ROUNDS_PATIENT = 3;

export class AsyncExecutionController<M> {
  readonly #target: ControllerTarget<M>;
  readonly #limits: ControllerLimits;
  readonly #identify: (key: unknown) => unknown;
  readonly #keys = new Map<unknown, WaitingKey>();
  /** Keys that wait for the next load. */
  #lacking: WaitingKey[] = [];
  /** Keys whose load has come. */
  #loaded: WaitingKey[] = [];
  /** What came behind a marker, and the marker. */
  #held: WaitingItem<M>[] = [];
  #heldRecords = 0;
  #waitingRecords = 0;
  #loads = 0;
  #starving = 0;
  /** Records and markers stand still for timers whose state is being loaded. */
  #paused = false;
  /** A marker or timers need what has been noted; or it is under way. */
  #urgent: 'none' | 'noted' | 'loading' = 'none';
  /** Rounds of the keys that are being run. */
  #round = 0;
  /** Keys of the batch being run, where their records depend on one another. */
  readonly #seen = new Set<unknown>();
  /** Indexes of a batch's records that wait. */
  readonly #deferred: number[] = [];
  #current: { readonly input: InputNumber; readonly batch: RecordBatch<unknown> } | undefined;
  readonly #gate: { attentive: boolean; record: RecordGate['record'] };

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
      record: (index, key, ready) => this.#record(index, key, ready),
    };
  }

  get inFlight(): number {
    return this.#waitingRecords + this.#heldRecords;
  }

  get blockedKeys(): number {
    return this.#keys.size;
  }

  get loadsInFlight(): number {
    return this.#loads;
  }

  /** E4 */
  get full(): boolean {
    return this.inFlight >= this.#limits.inFlightMax;
  }

  /** Nothing waits. */
  get idle(): boolean {
    return this.#waitingRecords === 0 && this.#held.length === 0;
  }

  /** `step` has something to do. */
  get runnable(): boolean {
    if (this.#paused) return false;
    return this.#loaded.length > 0 || (this.#held.length > 0 && !this.#headWaits);
  }

  /** Whether what is resident may be evicted. */
  get mayTrim(): boolean {
    return this.#starving === 0 && this.#loaded.length === 0 && this.#urgent === 'none';
  }

  /** A marker has begun to take effect, or is about to. */
  get applying(): boolean {
    return this.#held[0]?.kind === 'marker' && this.#waitingRecords === 0;
  }

  /** A marker or timers wait for a load. */
  get urgent(): boolean {
    return this.#urgent !== 'none';
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
    if (this.#held.length === 0 && !this.#paused) {
      this.#run(input, batch);
      return;
    }
    const keys: unknown[] = [];
    this.#target.prepare(input, batch, {
      attentive: true,
      record: (index, key) => {
        keys[index] = key;
      },
    });
    this.#held.push({ kind: 'batch', input, batch, keys: keys.length === 0 ? undefined : keys });
    this.#heldRecords += batch.values.length;
  }

  offerMarker(marker: M): void {
    this.#held.push({ kind: 'marker', marker });
  }

  /**
   * Runs what may run now: records whose state has come, then what was held back. False: nothing could be done.
   */
  step(): boolean {
    if (this.#paused) return false;
    let worked = this.#runLoaded();
    while (this.#held.length > 0 && !this.#headWaits && this.#target.available()) {
      const head = this.#held[0]!;
      worked = true;
      if (head.kind === 'batch') {
        this.#shift(head);
        this.#run(head.input, head.batch);
        continue;
      }
      const progress = this.#target.apply(head.marker);
      if (progress === 'load') this.#urgent = 'noted';
      if (progress !== 'done') return true;
      this.#held.shift();
    }
    return worked;
  }

  /** Whether missing state should be loaded now. `starved`: there is no other work. */
  wantsLoad(missing: number, starved: boolean): boolean {
    if (this.#urgent === 'noted') return true;
    if (missing === 0 && this.#lacking.length === 0) return false;
    if (this.#loads === 0) return true;
    if (missing >= this.#limits.batchSize) return this.#loads < LOADS_MAX;
    return this.#loads < LOADS_EAGER || (starved && this.#loads < LOADS_MAX);
  }

  /** Those that the load now beginning is for. */
  beginLoad(): LoadGroup {
    const keys = this.#lacking;
    this.#lacking = [];
    this.#loads++;
    const urgent = this.#urgent === 'noted';
    if (urgent) this.#urgent = 'loading';
    return { keys, urgent };
  }

  endLoad({ keys, urgent }: LoadGroup): void {
    this.#loads--;
    for (const key of keys) this.#loaded.push(key);
    if (!urgent) return;
    this.#urgent = 'none';
    this.#paused = false;
  }

  /** Runs what is held back of an input without keys: it belongs to no key group, and could not be saved. */
  runUnkeyed(): void {
    const taken: WaitingBatch[] = [];
    const kept: WaitingItem<M>[] = [];
    for (const item of this.#held) {
      if (item.kind === 'batch' && item.keys === undefined) taken.push(item);
      else kept.push(item);
    }
    if (taken.length === 0) return;
    this.#held = kept;
    for (const { input, batch } of taken) {
      this.#heldRecords -= batch.values.length;
      this.#target.process(input, batch);
    }
  }

  /** All that waits, in an order that keeps E1 and E2. */
  waiting(): readonly WaitingItem<M>[] {
    const items: WaitingItem<M>[] = [...batchesOf([...this.#keys.values()])];
    for (const item of this.#held) items.push(item);
    return items;
  }

  get #headWaits(): boolean {
    return (
      this.#held[0]!.kind === 'marker' && (this.#waitingRecords > 0 || this.#urgent !== 'none')
    );
  }

  #shift(head: WaitingItem<M>): void {
    this.#held.shift();
    if (head.kind === 'batch') this.#heldRecords -= head.batch.values.length;
  }

  #runLoaded(): boolean {
    if (this.#loaded.length === 0) return false;
    const keys = this.#loaded;
    this.#loaded = [];
    let rounds = 0;
    for (const waiting of keys) {
      this.#keys.delete(waiting.id);
      this.#waitingRecords -= waiting.records.length;
      if (waiting.rounds > ROUNDS_PATIENT) this.#starving--;
      if (waiting.rounds > rounds) rounds = waiting.rounds;
    }
    this.#round = rounds;
    for (const { input, batch } of batchesOf(keys)) this.#run(input, batch);
    this.#round = 0;
    return true;
  }

  /** @hot bench/aec.ts */
  #run(input: InputNumber, batch: RecordBatch<unknown>): void {
    this.#current = { input, batch };
    const serial = this.#target.readsWhatIsWritten;
    this.#gate.attentive = serial || this.#keys.size > 0;
    if (serial) this.#seen.clear();
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

  #record(index: number, key: unknown, ready: boolean): void {
    const id = this.#identify(key);
    let waiting = this.#keys.get(id);
    if (waiting === undefined) {
      const repeats = this.#target.readsWhatIsWritten && this.#seen.has(id);
      if (ready && !repeats) {
        if (this.#target.readsWhatIsWritten) this.#seen.add(id);
        return;
      }
      waiting = new WaitingKey(key, id, repeats ? 0 : this.#round + 1);
      if (waiting.rounds > ROUNDS_PATIENT) this.#starving++;
      this.#keys.set(id, waiting);
      (repeats ? this.#loaded : this.#lacking).push(waiting);
      this.#gate.attentive = true;
    }
    const { input, batch } = this.#current!;
    const timestamp = batch.timestamps === null ? NO_TIMESTAMP : batch.timestamps[index]!;
    waiting.records.push({ input, value: batch.values[index], timestamp });
    this.#waitingRecords++;
    this.#deferred.push(index);
  }
}

/** The records of a batch but those at `left` (ascending); undefined when there are none. */
function without(
  { values, timestamps }: RecordBatch<unknown>,
  left: readonly number[],
): RecordBatch<unknown> | undefined {
  const size = values.length - left.length;
  if (size === 0) return undefined;
  const rest = new Array<unknown>(size);
  const stamps = timestamps === null ? null : new Float64Array(size);
  let skip = 0;
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    if (i === left[skip]) {
      skip++;
      continue;
    }
    rest[at] = values[i];
    if (stamps !== null) stamps[at] = timestamps![i]!;
    at++;
  }
  return { values: rest, timestamps: stamps };
}

/** Records of these keys as batches of one input each; the order within each key is kept. */
function batchesOf(keys: readonly WaitingKey[]): WaitingBatch[] {
  const batches: WaitingBatch[] = [];
  let records: WaitingRecord[] = [];
  let keysOf: unknown[] = [];
  const close = (): void => {
    if (records.length === 0) return;
    const stamped = records.some(({ timestamp }) => timestamp !== NO_TIMESTAMP);
    const timestamps = stamped ? Float64Array.from(records, ({ timestamp }) => timestamp) : null;
    const batch = { values: records.map(({ value }) => value), timestamps };
    batches.push({ kind: 'batch', input: records[0]!.input, batch, keys: keysOf });
    records = [];
    keysOf = [];
  };
  for (const { key, records: own } of keys) {
    for (const record of own) {
      if (
        records.length === BATCH_SIZE_MAX ||
        (records.length > 0 && records[0]!.input !== record.input)
      )
        close();
      records.push(record);
      keysOf.push(key);
    }
  }
  close();
  return batches;
}
