/**
 * The asynchronous execution controller: what it costs when everything is resident, and how much of a read's latency it hides.
 *
 * One keyed operator that counts by key, driven batch by batch as a task drives it, over live objects on the heap. A given share of its
 * reads misses and arrives after a given latency. Not measured here: what a real read costs in CPU, the exchange, the forst backend.
 */
import { HashMapStateBackend } from '../src/state/hashmap/hashmap-backend.ts';
import type { AsyncValueState } from '../src/state/async-states.ts';
import { asyncState, valueState } from '../src/state/descriptor.ts';
import { objectStore } from './aec/object-store.ts';
import type { KeyedStateBackend, Residency } from '../src/state/keyed-state-backend.ts';
import { AsyncKeyedProcessOperator } from '../src/operators/async-keyed-process-operator.ts';
import { KeyedProcessOperator } from '../src/operators/keyed-process-operator.ts';
import type { OperatorContext } from '../src/operators/contract.ts';
import type { SnapshotReader } from '../src/state/snapshot.ts';
import type { AsyncState } from '../src/runtime/async-state.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../src/types/record-batch.ts';
import { batchesOf, nowMs, openState, readClock, shuffler, turn } from './aec/driver.ts';
import { t } from '../src/types/t.ts';

const KEYS = 100_000;
const LATENCIES_MS = [0.068, 0.199, 1.5, 23] as const;
const MISSES = [0.01, 0.1, 1] as const;
const WATERMARK_EVERY_MS = 200;
const BARRIER_EVERY_MS = 1000;
/** Enough for a barrier or two. */
const INTERRUPTED_RECORDS = 6_000_000;

interface Load {
  readonly dueMs: number;
  readonly keys: readonly number[];
  done(): void;
}

/** Of a key: what its next record reads was not found missing; is being loaded; has arrived. Above it, how many records it had. */
const UNKNOWN = 0;
const NOTED = 1;
const ARRIVED = 2;
const STATE_BITS = 2;
const STATE = (1 << STATE_BITS) - 1;

/**
 * The reads of the heap's state, some of which miss: as the key and how many records it had decide, however often it is asked about. What
 * has arrived stays until it has been used, as a backend keeps it.
 */
class LateReads implements Residency {
  readonly overloaded = false;
  readonly #keys = new Uint8Array(KEYS);
  readonly #share: number;
  readonly #latencyMs: number;
  #noted: number[] = [];
  #loads: Load[] = [];
  keyed!: KeyedStateBackend;

  constructor(share: number, latencyMs: number) {
    this.#share = share * 2 ** 32;
    this.#latencyMs = latencyMs;
  }

  get missing(): number {
    return this.#noted.length;
  }

  prepare(): boolean {
    const key = this.keyed.currentKey as number; // of this bench's schema
    const seen = this.#keys[key]!;
    const state = seen & STATE;
    if (state !== UNKNOWN) return state === ARRIVED;
    if (drawn(key, seen) >= this.#share) return true;
    this.#keys[key] = seen | NOTED;
    this.#noted.push(key);
    return false;
  }

  /** A record of the key has been processed. */
  used(key: number): void {
    this.#keys[key] = (this.#keys[key]! | STATE) + 1;
  }

  load(): Promise<void> {
    const keys = this.#noted;
    this.#noted = [];
    return new Promise((done) => {
      this.#loads.push({ dueMs: nowMs() + this.#latencyMs, keys, done });
    });
  }

  trim(): void {}

  /** What is due by now arrives. */
  poll(): void {
    const now = nowMs();
    while (this.#loads.length > 0 && this.#loads[0]!.dueMs <= now) {
      const { keys, done } = this.#loads.shift()!;
      for (const key of keys) this.#keys[key] = (this.#keys[key]! & ~STATE) | ARRIVED;
      done();
    }
  }
}

/** Evenly spread below 2^32. */
function drawn(key: number, seen: number): number {
  let hash = Math.imul(key ^ (seen << 20), 0x9e37_79b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

interface Given {
  readonly records: number;
  /** Undefined: no controller. */
  readonly reads: (() => LateReads) | undefined;
  /** The function is async and awaits its state. */
  readonly awaits?: boolean;
  /** Watermarks and barriers come. */
  readonly interrupted?: boolean;
  /** The function has timers, so that records do not pass watermarks. */
  readonly timers?: boolean;
}

interface Figures {
  readonly perSecond: number;
  /** What barriers took, from their arrival until what waits was written. */
  readonly barriersMs: readonly number[];
}

/** Records per second between the first tenth of the input and its end: neither the first reads nor the last ones are waited for. */
class SteadyRate {
  #from: { readonly atMs: number; readonly done: number } | undefined;
  perSecond = 0;

  /** At a share of the input so many records are done. */
  see(share: number, done: number): void {
    if (share < 0.1) return;
    const atMs = nowMs();
    if (this.#from === undefined) this.#from = { atMs, done };
    else if (atMs > this.#from.atMs)
      this.perSecond = (1000 * (done - this.#from.done)) / (atMs - this.#from.atMs);
  }
}

async function measure({
  records,
  reads: openReads,
  interrupted = false,
  awaits = false,
  timers = false,
}: Given): Promise<Figures> {
  const keyed = await openKeyed();
  const reads = openReads?.();
  if (reads !== undefined) reads.keyed = keyed;
  const late: { state?: AsyncState } = {};
  const mails: (() => void)[] = [];
  const operator = awaits
    ? awaitingOperator(keyed, late, mails)
    : countingOperator(keyed, reads, timers);
  const batches = inputOf(records);
  // What the case before has left is swept now, and not at this one's cost.
  globalThis.gc?.();
  await turn();
  const started = nowMs();
  const steady = new SteadyRate();
  if (reads === undefined) {
    for (const [i, batch] of batches.entries()) {
      operator.processBatch(batch);
      await turn();
      steady.see((i + 1) / batches.length, (i + 1) * batch.values.length);
    }
    await keyed.close();
    return { perSecond: steady.perSecond, barriersMs: [] };
  }
  const state = openState({ operator, residency: reads, oneByOne: awaits });
  late.state = state;
  let next = 0;
  let watermarkMs = started;
  let barrierAtMs = started;
  const barriersMs: number[] = [];
  while (next < batches.length || !state.controller.idle) {
    for (const mail of mails.splice(0)) mail();
    const stepped = state.controller.step();
    const takes = next < batches.length && state.controller.wantsInput;
    if (takes) state.offer(1, batches[next++]!);
    if (interrupted) {
      const now = nowMs();
      if (now - watermarkMs >= WATERMARK_EVERY_MS) {
        watermarkMs = now;
        state.offerWatermark(now);
      }
      if (now - barrierAtMs >= BARRIER_EVERY_MS) {
        barrierAtMs = now;
        await state.capture().write({
          write: async () => ({ kind: 'inline', base64: '', crc32: 0 }),
        });
        barriersMs.push(readClock() - now);
      }
    }
    state.settle(!stepped && !takes);
    await turn();
    reads.poll();
    if (next < batches.length)
      steady.see(next / batches.length, next * BATCH_SIZE_MAX - state.controller.inFlight);
  }
  await keyed.close();
  return { perSecond: steady.perSecond, barriersMs };
}

const NO_READER: SnapshotReader = { read: () => Promise.reject(new Error('nothing is restored')) };

const openKeyed = (): Promise<KeyedStateBackend> =>
  new HashMapStateBackend().createKeyed({
    operatorId: 'count',
    attemptId: 'bench',
    keySchema: t.int32(),
    keyGroupRange: { start: 0, end: 127 },
    maxParallelism: 128,
    restore: [],
    reader: NO_READER,
    wallMs: () => Date.now(),
    yieldToLoop: turn,
    allowGenericTypes: false,
  });

const discard = { emitBatch: () => {}, emitWatermark: () => {}, emitWatermarkStatus: () => {} };

function awaitingOperator(
  keyed: KeyedStateBackend,
  late: { readonly state?: AsyncState },
  mails: (() => void)[],
): AsyncKeyedProcessOperator {
  const operator = new AsyncKeyedProcessOperator(
    {
      state: { count: asyncState(valueState(t.int32(), { default: 0 })) },
      processElement: async (value, { state }, out) => {
        const count = state['count'] as unknown as AsyncValueState<number>; // as declared
        count.set((await count.get()) + 1);
        out.collect(value);
      },
    },
    (value) => (value as number) % KEYS,
  );
  operator.open({
    keyed,
    output: discard,
    sideOutput: () => undefined,
    operatorName: 'count',
    operatorId: 'count',
    subtaskIndex: 0,
    mailbox: (mail: () => void) => mails.push(mail),
    suspensions: {
      begin: (key: unknown, start: () => void) => late.state!.begin(key, start),
      end: (key: unknown) => late.state!.end(key),
    },
    // What this operator asks its context for.
  } as unknown as OperatorContext);
  return operator;
}

function countingOperator(
  keyed: KeyedStateBackend,
  reads: LateReads | undefined,
  timers: boolean,
): KeyedProcessOperator {
  const operator = new KeyedProcessOperator(
    {
      state: { count: valueState(t.int32(), { default: 0 }) },
      processElement: (value, { state }, out) => {
        const count = state['count'] as { value: number };
        count.value += 1;
        reads?.used((value as number) % KEYS);
        out.collect(value);
      },
      ...(timers ? { onTimer: () => {} } : {}),
    },
    (value) => (value as number) % KEYS,
  );
  const seen = reads === undefined ? keyed : withResidency(keyed, reads);
  operator.open({
    keyed: seen,
    output: discard,
    sideOutput: () => undefined,
    operatorName: 'count',
    operatorId: 'count',
    subtaskIndex: 0,
    // What this operator asks its context for.
  } as unknown as OperatorContext);
  return operator;
}

/** The heap's states, whose `prepare` asks `reads`. */
function withResidency(keyed: KeyedStateBackend, reads: LateReads): KeyedStateBackend {
  const getState = ((name: string, descriptor: never) => {
    const state = keyed.getState(name, descriptor) as { prepare(): boolean };
    state.prepare = () => reads.prepare();
    return state;
  }) as unknown as KeyedStateBackend['getState']; // the same object
  return {
    getState,
    getTimerService: keyed.getTimerService.bind(keyed),
    setCurrentKey: (key: unknown) => keyed.setCurrentKey(key),
    get currentKey() {
      return keyed.currentKey;
    },
    // As above: what this operator uses.
  } as unknown as KeyedStateBackend;
}

/**
 * One half of the keys and the other in turns, each time in a new random order: so many records lie between two of a key that none finds
 * what another has just fetched, and the share that misses is the same at every latency.
 */
function inputOf(records: number): readonly RecordBatch<unknown>[] {
  const half = KEYS / 2;
  const shuffle = shuffler();
  let keys: readonly number[] = [];
  return batchesOf(records, (i) => {
    const from = (Math.floor(i / half) % 2) * half;
    if (i % half === 0) keys = shuffle(from, from + half);
    return keys[i % half]!;
  });
}

/** The best of some rounds: what disturbs a round only slows it. */
const best = (numbers: readonly number[]): number => Math.max(...numbers);

/** Runs every case once per round, so that what changes with time meets all of them alike. */
async function inTurns(
  rounds: number,
  cases: ReadonlyMap<string, Given>,
): Promise<ReadonlyMap<string, number>> {
  const rates = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++) {
    for (const [name, given] of cases) {
      const { perSecond } = await measure(given);
      // The first round warms up.
      if (round > 0) rates.set(name, [...(rates.get(name) ?? []), perSecond]);
    }
  }
  return new Map([...rates].map(([name, all]) => [name, best(all)]));
}

const missName = (share: number, latencyMs: number): string =>
  `miss_${share * 100}_percent_${latencyMs * 1000}_us`;

function casesOf(records: number): ReadonlyMap<string, Given> {
  const cases = new Map<string, Given>([
    ['plain', { records, reads: undefined }],
    ['resident', { records, reads: () => new LateReads(0, 0) }],
    ['async_function', { records: records / 4, reads: () => new LateReads(0, 0), awaits: true }],
  ]);
  for (const share of MISSES)
    for (const latencyMs of LATENCIES_MS)
      cases.set(missName(share, latencyMs), {
        records: share === 1 ? records / 2 : records,
        reads: () => new LateReads(share, latencyMs),
      });
  return cases;
}

export async function run({
  quick,
}: {
  readonly quick: boolean;
}): Promise<Readonly<Record<string, number>>> {
  const records = quick ? 1_000_000 : 3_000_000;
  const rates = await inTurns(quick ? 2 : 5, casesOf(records));
  const rate = (name: string): number => rates.get(name)!;
  const figures: Record<string, number> = {};
  for (const [name, perSecond] of rates) figures[`${name}_per_s`] = Math.round(perSecond);
  figures['resident_vs_plain'] = rate('resident') / rate('plain');
  figures['async_function_vs_plain'] = rate('async_function') / rate('plain');
  for (const share of MISSES) {
    const slow = rate(missName(share, 23));
    const name = `miss_${share * 100}_percent_23ms`;
    figures[`${name}_vs_68us`] = slow / rate(missName(share, 0.068));
    figures[`${name}_vs_resident`] = slow / rate('resident');
  }
  figures['miss_100_percent_23ms_vs_one_read_at_a_time'] = rate(missName(1, 23)) / (1000 / 23);
  return {
    ...figures,
    ...(await interruptions(INTERRUPTED_RECORDS)),
    ...(await objectStore(quick)),
  };
}

/** Watermarks and barriers, against the same without: where records pass watermarks, and where timers keep them from it. */
async function interruptions(records: number): Promise<Readonly<Record<string, number>>> {
  const given: Given = { records, reads: () => new LateReads(0.1, 23) };
  const calm: number[] = [];
  const passing: number[] = [];
  const waiting: number[] = [];
  const barriersMs: number[] = [];
  for (let round = 0; round < 3; round++) {
    calm.push((await measure(given)).perSecond);
    for (const timers of [false, true]) {
      const interrupted = await measure({ ...given, interrupted: true, timers });
      (timers ? waiting : passing).push(interrupted.perSecond);
      barriersMs.push(...interrupted.barriersMs);
    }
  }
  const p99 = barriersMs.toSorted((a, b) => a - b)[Math.floor(barriersMs.length * 0.99)]!;
  return {
    watermarks_and_barriers_vs_none: best(passing) / best(calm),
    watermarks_and_barriers_with_timers_vs_none: best(waiting) / best(calm),
    barrier_p99_ms: p99,
  };
}
