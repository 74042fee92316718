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
 *  E5  A step runs what has completed before it runs what was held back, both in portions: neither completions nor input starve.
 *  E6  While something that has completed waits to be run, no input is taken beyond what keeps the task busy (`in-flight-window.ts`).
 *
 * Cost: where nothing is missing, one call per batch beside the operator's own check; while keys wait, a look into a table per record;
 * a record that waits costs some columns (`waiting-keys.ts`) and no object, and the rest of its batch is not copied where the operator can
 * leave records out (`processRest`). No promise per record: what waits is grouped by the load that it waits for.
 */
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { InFlightWindow } from './in-flight-window.ts';
import {
  BatchGatherer,
  type Epoch,
  type InputNumber,
  type KeyNumber,
  KeyQueue,
  type LeftOut,
  type Origin,
  PHASE,
  type WaitingBatch,
  WaitingKeys,
  without,
} from './waiting-keys.ts';

/** Told by the operator, record by record, whether what it reads is resident. */
export interface RecordGate {
  /** Every record is to be told, not only those that lack something. */
  readonly attentive: boolean;
  /** Only where it is attentive: whether those that lack nothing are to be told although `joins` was asked about them. */
  readonly thorough: boolean;
  /** Something of that key waits or runs, and now this record too. It is not told again, and nothing need be noted for it yet. */
  joins(index: number, key: unknown): boolean;
  /** Says cheaply of most keys that `joins` would say no. */
  readonly waiting: Pick<WaitingKeys, 'mayHold'>;
  /** `key` is that of record `index`; `ready` whether all that it reads is resident. */
  record(index: number, key: unknown, ready: boolean): void;
}

/** The operator and what is behind it. */
export interface ControllerTarget<M> {
  /** Asks the operator about each record, in order. An input without keys tells the gate nothing. */
  prepare(input: InputNumber, batch: RecordBatch<unknown>, gate: RecordGate): void;
  process(input: InputNumber, batch: RecordBatch<unknown>): void;
  /** The same for the others than those left out. Absent: they are handed over as a batch of their own. */
  readonly processRest?:
    | ((input: InputNumber, batch: RecordBatch<unknown>, left: LeftOut) => void)
    | undefined;
  /** A record is asked about, and handed over, only when those of its key before it have been processed. */
  readonly oneByOne: boolean;
  /** Markers change nothing in the operator: it need not be said when records run before one that came before them. */
  readonly overtakes?: boolean;
  /** All state is resident now: a record need not be asked about unless others wait. Default false. */
  holdsAll?(): boolean;
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
  readonly keys: readonly KeyNumber[];
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
/** E5: keys whose records may run, per step: of one record each, as many as a batch of input brings. */
const LISTED_PER_STEP = BATCH_SIZE_MAX;
export class AsyncExecutionController<M> {
  readonly #target: ControllerTarget<M>;
  readonly #limits: ControllerLimits;
  readonly #identify: (key: unknown) => unknown;
  readonly #keys = new WaitingKeys();
  /** Functions that follow the one under way, by key. */
  readonly #starts = new Map<KeyNumber, (() => void)[]>();
  /** Keys that wait for the next load. */
  #lacking: KeyNumber[] = [];
  /** Keys whose first record may run. */
  readonly #listed = new KeyQueue();
  /** What came behind a marker, and the marker. */
  #held: Held<M>[] = [];
  #heldRecords = 0;
  #heldBytes = 0;
  /** Records that have had to wait, ever. */
  deferredRecords = 0;
  #running = 0;
  readonly #window = new InFlightWindow();
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
  /** A batch's records that wait. */
  readonly #left = { indexes: new Uint32Array(BATCH_SIZE_MAX), count: 0 };
  #current: { readonly input: InputNumber; readonly batch: RecordBatch<unknown> } | undefined;
  /** Of the records of the current batch; undefined until one waits. */
  #origin: Origin | undefined;
  readonly #gate: { attentive: boolean } & Omit<RecordGate, 'attentive'>;

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
      thorough: target.oneByOne,
      joins: (index, key) => this.#joins(index, key),
      waiting: this.#keys,
      record: target.oneByOne
        ? (index, key, ready) => this.#recordOfOne(index, key, ready)
        : (index, key, ready) => this.#record(index, key, ready),
    };
  }

  get inFlight(): number {
    return this.#keys.records + this.#heldRecords + this.#running;
  }

  get bytesInFlight(): number {
    return this.#keys.bytes + this.#heldBytes;
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

  /** E4, E6 */
  get wantsInput(): boolean {
    // What may not run now is no reason to have nothing prepared.
    const left = this.#paused ? 0 : this.#listed.length;
    return !this.full && this.#window.admits(this.inFlight, left);
  }

  /** Nothing waits and nothing runs. */
  get idle(): boolean {
    return this.#keys.records === 0 && this.#held.length === 0 && this.#running === 0;
  }

  /** `step` has something to do. */
  get runnable(): boolean {
    if (this.#paused) return false;
    return this.#listed.length > 0 || (this.#held.length > 0 && !this.#headWaits);
  }

  /** Whether what is resident may be evicted, but for keys in use. */
  get mayTrim(): boolean {
    return this.#starving === 0 && this.#urgent === 'none';
  }

  /** A function of that key is under way, or its records may run: its state is not to be evicted. */
  needs(id: unknown): boolean {
    return this.#keys.is(this.#keys.find(id), PHASE.runs | PHASE.listed);
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
    const starved = this.#listed.length === 0;
    if (this.#mayRun) {
      this.#epoch = this.#newest;
      this.#run(input, batch);
    } else this.#hold(input, batch);
    if (starved) this.#window.starved(this.inFlight);
  }

  /** Prepares records that run later. */
  #hold(input: InputNumber, batch: RecordBatch<unknown>): void {
    const keys: unknown[] = [];
    this.#target.prepare(input, batch, {
      attentive: true,
      thorough: true,
      joins: (index, key) => {
        if (!this.#isBlocked(this.#keys.find(this.#identify(key)))) return false;
        keys[index] = key;
        return true;
      },
      waiting: this.#keys,
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
    const id = this.#identify(key);
    const n = this.#keys.find(id) || this.#keys.add(key, id);
    const running = this.#keys.changeRunning(n, 1);
    this.#running++;
    if (running === 1) start();
    else if (running === 2) this.#starts.set(n, [start]);
    else this.#starts.get(n)!.push(start);
  }

  /** It has ended: the key's next function or record may run. */
  end(key: unknown): void {
    const n = this.#keys.find(this.#identify(key)); // it has begun
    this.#keys.changeRunning(n, -1);
    this.#running--;
    const starts = this.#starts.get(n);
    if (starts === undefined) {
      this.#settle(n);
      return;
    }
    const next = starts.shift()!;
    if (starts.length === 0) this.#starts.delete(n);
    next();
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
    const group = { keys, urgent };
    this.#window.began(group, this.#listed.length);
    return group;
  }

  endLoad(group: LoadGroup): void {
    const { keys, urgent } = group;
    this.#window.ended(group);
    for (const n of keys) {
      this.#keys.unmark(n, PHASE.lacks);
      this.#settle(n);
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
    return [...this.#keys.batches(), ...this.#held];
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

  /** Lists the key if its first record may run, forgets it if there is nothing more to it. */
  #settle(n: KeyNumber): void {
    const keys = this.#keys;
    if (!keys.isQuiet(n)) return;
    if (!keys.hasRecords(n)) {
      keys.remove(n);
      return;
    }
    keys.mark(n, PHASE.listed);
    this.#listed.push(n);
  }

  #runListed(): boolean {
    const keys = this.#listed.take(LISTED_PER_STEP);
    this.#window.ran(this.#listed.length);
    if (keys.length === 0) return false;
    if (this.#target.oneByOne) this.#runFirsts(keys);
    else this.#runAll(keys);
    return true;
  }

  /** @hot bench/aec.ts */
  #runAll(listed: readonly KeyNumber[]): void {
    const keys = this.#keys;
    const gatherer = new BatchGatherer();
    let most = 0;
    let earliest = this.#newest;
    for (const n of listed) {
      const epoch = keys.takeAll(n, gatherer);
      if (epoch.number < earliest.number) earliest = epoch;
      const rounds = keys.roundsOf(n);
      if (rounds > ROUNDS_PATIENT) this.#starving--;
      if (rounds > most) most = rounds;
      keys.remove(n);
    }
    this.#round = most;
    this.#epoch = earliest;
    for (const { input, batch } of gatherer.take()) this.#run(input, batch);
    this.#round = 0;
  }

  /** The first record of each key; the next ones when it has been processed to its end. */
  #runFirsts(listed: readonly KeyNumber[]): void {
    const keys = this.#keys;
    const gatherer = new BatchGatherer();
    for (const n of listed) {
      keys.unmark(n, PHASE.listed);
      if (keys.is(n, PHASE.runs)) continue;
      keys.offer(n, gatherer);
      if (keys.roundsOf(n) > ROUNDS_PATIENT) this.#starving--;
    }
    for (const { input, batch } of gatherer.take()) this.#run(input, batch);
    for (const n of listed) {
      if (!keys.is(n, PHASE.offered)) continue;
      keys.settleOffered(n);
      this.#settle(n);
    }
  }

  /** @hot bench/aec.ts */
  #run(input: InputNumber, batch: RecordBatch<unknown>): void {
    const { oneByOne } = this.#target;
    this.#gate.attentive = oneByOne || this.#keys.size > 0;
    if (!this.#gate.attentive && this.#target.holdsAll?.() === true) {
      this.#target.process(input, batch);
      return;
    }
    this.#current = { input, batch };
    this.#origin = undefined;
    if (oneByOne) this.#seen.clear();
    const size = batch.values.length;
    const left = this.#left;
    if (size > left.indexes.length) left.indexes = new Uint32Array(size);
    left.count = 0;
    this.#target.prepare(input, batch, this.#gate);
    if (left.count === 0) this.#target.process(input, batch);
    else if (left.count < size) this.#processRest(input, batch);
  }

  #processRest(input: InputNumber, batch: RecordBatch<unknown>): void {
    const target = this.#target;
    if (target.processRest !== undefined) target.processRest(input, batch, this.#left);
    else target.process(input, without(batch, this.#left));
  }

  #isBlocked(n: KeyNumber): boolean {
    return n !== 0 && !this.#keys.is(n, PHASE.offered);
  }

  /** @hot bench/aec.ts. Most records find that nothing of their key waits. */
  #joins(index: number, key: unknown): boolean {
    const n = this.#keys.find(this.#identify(key));
    if (!this.#isBlocked(n)) return false;
    this.#defer(index, n);
    return true;
  }

  /** @hot bench/aec.ts */
  #record(index: number, key: unknown, ready: boolean): void {
    const id = this.#identify(key);
    let n = this.#keys.find(id);
    if (n === 0) {
      if (ready) return;
      n = this.#keys.add(key, id);
      this.#lacks(n, this.#round + 1);
    }
    this.#defer(index, n);
  }

  #recordOfOne(index: number, key: unknown, ready: boolean): void {
    const keys = this.#keys;
    const id = this.#identify(key);
    const known = keys.find(id);
    if (keys.is(known, PHASE.offered)) {
      if (ready) {
        keys.setRounds(known, 0);
        return;
      }
      // Still lacking: it stays the first.
      keys.putBack(known);
      this.#lacks(known, keys.roundsOf(known) + 1);
      this.#leaveOut(index);
      return;
    }
    const repeats = this.#seen.has(id);
    if (known === 0 && ready && !repeats) {
      this.#seen.add(id);
      return;
    }
    const n = known === 0 ? keys.add(key, id) : known;
    if (known === 0 && !repeats) this.#lacks(n, 1);
    this.#defer(index, n);
    // Behind one that runs now and need not be told when that has ended.
    if (repeats) this.#settle(n);
  }

  #lacks(n: KeyNumber, rounds: number): void {
    this.#keys.setRounds(n, rounds);
    this.#keys.mark(n, PHASE.lacks);
    if (rounds > ROUNDS_PATIENT) this.#starving++;
    this.#lacking.push(n);
    this.#gate.attentive = true;
  }

  /** @hot bench/aec.ts */
  #defer(index: number, n: KeyNumber): void {
    const { batch } = this.#current!;
    const timestamp = batch.timestamps === null ? NO_TIMESTAMP : batch.timestamps[index]!;
    this.#keys.append(n, batch.values[index], timestamp, (this.#origin ??= this.#newOrigin()));
    this.deferredRecords++;
    this.#leaveOut(index);
  }

  #leaveOut(index: number): void {
    const left = this.#left;
    left.indexes[left.count++] = index;
  }

  #newOrigin(): Origin {
    const { input, batch } = this.#current!;
    const stamped = batch.timestamps !== null;
    const bytes = this.#target.bytesPerRecord(input, batch);
    return { input, stamped, bytes, epoch: this.#epoch };
  }
}
