/**
 * The asynchronous execution controller: what it costs when everything is resident, and how much of a read's latency it hides.
 *
 * One keyed operator that counts by key, driven batch by batch as a task drives it, over live objects on the heap. A given share of its
 * reads misses and arrives after a given latency. Not measured here: what a real read costs in CPU, the exchange, the forst backend.
 */
import { HashMapStateBackend } from '../src/state/hashmap/hashmap-backend.ts';
import { valueState } from '../src/state/descriptor.ts';
import type { KeyedStateBackend, Residency } from '../src/state/keyed-state-backend.ts';
import { KeyedProcessOperator } from '../src/operators/keyed-process-operator.ts';
import type { OperatorContext } from '../src/operators/contract.ts';
import type { SnapshotReader } from '../src/state/snapshot.ts';
import { AsyncState } from '../src/runtime/async-state.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../src/types/record-batch.ts';
import { batchCodec } from '../src/types/batch-codec.ts';
import { t } from '../src/types/t.ts';

const KEYS = 100_000;
const LATENCIES_MS = [0.068, 0.199, 1.5, 23] as const;
const MISSES = [0.01, 0.1, 1] as const;
const WATERMARK_EVERY_MS = 200;
const BARRIER_EVERY_MS = 1000;

interface Load {
  readonly dueMs: number;
  readonly keys: readonly unknown[];
  done(): void;
}

/** The reads of the heap's state, some of which miss. */
class LateReads implements Residency {
  readonly overloaded = false;
  readonly #arrived = new Set<unknown>();
  readonly #share: number;
  readonly #latencyMs: number;
  #noted: unknown[] = [];
  #loads: Load[] = [];
  #random = 12_345;
  keyed!: KeyedStateBackend;

  constructor(share: number, latencyMs: number) {
    this.#share = share;
    this.#latencyMs = latencyMs;
  }

  get missing(): number {
    return this.#noted.length;
  }

  prepare(): boolean {
    if (this.#share === 0) return true;
    const key = this.keyed.currentKey;
    if (this.#arrived.size > 0 && this.#arrived.delete(key)) return true;
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0;
    if (this.#random >= this.#share * 4_294_967_296) return true;
    this.#noted.push(key);
    return false;
  }

  load(): Promise<void> {
    const keys = this.#noted;
    this.#noted = [];
    return new Promise((done) => {
      this.#loads.push({ dueMs: performance.now() + this.#latencyMs, keys, done });
    });
  }

  trim(): void {}

  /** What is due by now arrives. */
  poll(): void {
    const now = performance.now();
    while (this.#loads.length > 0 && this.#loads[0]!.dueMs <= now) {
      const { keys, done } = this.#loads.shift()!;
      for (const key of keys) this.#arrived.add(key);
      done();
    }
  }
}

interface Given {
  readonly records: number;
  /** Undefined: no controller. */
  readonly reads: LateReads | undefined;
  /** Watermarks and barriers come. */
  readonly interrupted?: boolean;
  /** Default: the option's. */
  readonly inFlightMax?: number;
}

interface Figures {
  readonly perSecond: number;
  /** Records per second of CPU time. */
  readonly perCpuSecond: number;
  /** The longest that a barrier took. */
  readonly barrierMs: number;
}

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

async function measure({
  records,
  reads,
  interrupted = false,
  inFlightMax = 24_000,
}: Given): Promise<Figures> {
  const keyed = await openKeyed();
  if (reads !== undefined) reads.keyed = keyed;
  const operator = countingOperator(keyed, reads);
  const batches = inputOf(records);
  const started = performance.now();
  const cpu = process.cpuUsage();
  const figures = (barrierMs: number): Figures => {
    const { user, system } = process.cpuUsage(cpu);
    return {
      perSecond: (records * 1000) / (performance.now() - started),
      perCpuSecond: (records * 1e6) / (user + system),
      barrierMs,
    };
  };
  if (reads === undefined) {
    for (const batch of batches) {
      operator.processBatch(batch);
      await turn();
    }
    return figures(0);
  }
  const state = new AsyncState({
    target: {
      prepare: (_input, batch, gate) => operator.prepareBatch(batch, gate),
      process: (_input, batch) => operator.processBatch(batch),
      available: () => true,
      oneByOne: false,
      apply: () => 'done',
    },
    residency: reads,
    identify: (key) => key,
    keyGroupOf: () => 0,
    codecOf: () => batchCodec<unknown>(t.int32() as never), // the records are integers
    config: { 'execution.async-state.in-flight-records-limit': inFlightMax },
    metrics: { counter: () => ({ inc: () => {} }), gauge: () => {} },
    clock: { wallMs: () => Date.now(), monotonicMs: () => performance.now() },
    wake: () => {},
    fail: (error) => {
      throw error;
    },
    signal: new AbortController().signal,
  });
  let next = 0;
  let watermarkMs = started;
  let barrierAtMs = started;
  let barrierMs = 0;
  while (next < batches.length || !state.controller.idle) {
    const stepped = state.controller.step();
    const takes = next < batches.length && !state.controller.full;
    if (takes) state.offer(1, batches[next++]!);
    if (interrupted) {
      const now = performance.now();
      if (now - watermarkMs >= WATERMARK_EVERY_MS) {
        watermarkMs = now;
        state.offerWatermark(now);
      }
      if (now - barrierAtMs >= BARRIER_EVERY_MS) {
        barrierAtMs = now;
        await state.capture().write({
          write: async () => ({ kind: 'inline', base64: '', crc32: 0 }),
        });
        barrierMs = Math.max(barrierMs, performance.now() - now);
      }
    }
    state.settle(!stepped && !takes);
    await turn();
    reads.poll();
  }
  await keyed.close();
  return figures(barrierMs);
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

function countingOperator(
  keyed: KeyedStateBackend,
  reads: LateReads | undefined,
): KeyedProcessOperator {
  const operator = new KeyedProcessOperator(
    {
      state: { count: valueState(t.int32(), { default: 0 }) },
      processElement: (value, { state }, out) => {
        const count = state['count'] as { value: number };
        count.value += 1;
        out.collect(value);
      },
    },
    (value) => (value as number) % KEYS,
  );
  const discard = { emitBatch: () => {}, emitWatermark: () => {}, emitWatermarkStatus: () => {} };
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

function inputOf(records: number): readonly RecordBatch<unknown>[] {
  const batches: RecordBatch<unknown>[] = [];
  let random = 99;
  for (let from = 0; from < records; from += BATCH_SIZE_MAX) {
    const values: number[] = [];
    for (let i = 0; i < BATCH_SIZE_MAX; i++) {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      values.push(random >>> 4);
    }
    batches.push({ values, timestamps: null });
  }
  return batches;
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;

export async function run({
  quick,
}: {
  readonly quick: boolean;
}): Promise<Readonly<Record<string, number>>> {
  const rounds = quick ? 3 : 5;
  const records = quick ? 1_000_000 : 3_000_000;
  const plain: number[] = [];
  const resident: number[] = [];
  const residentWall: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const without = await measure({ records, reads: undefined });
    const withIt = await measure({ records, reads: new LateReads(0, 0) });
    // The first round warms up.
    if (round === 0) continue;
    plain.push(without.perCpuSecond);
    resident.push(withIt.perCpuSecond);
    residentWall.push(withIt.perSecond);
  }
  const ratios = resident.map((perSecond, i) => perSecond / plain[i]!);
  const figures: Record<string, number> = {
    plain_per_cpu_s: median(plain),
    resident_per_cpu_s: median(resident),
    resident_vs_plain: median(ratios),
  };
  const rates = new Map<string, number>();
  for (const share of MISSES) {
    for (const latencyMs of LATENCIES_MS) {
      const many = share === 1 && latencyMs > 1 ? records / 4 : records;
      const runs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const { perSecond } = await measure({
          records: many,
          reads: new LateReads(share, latencyMs),
        });
        runs.push(perSecond);
      }
      rates.set(`${share} ${latencyMs}`, median(runs));
      figures[`miss_${share * 100}_percent_${latencyMs * 1000}_us_per_s`] = median(runs);
    }
    figures[`miss_${share * 100}_percent_23ms_vs_68us`] =
      rates.get(`${share} 23`)! / rates.get(`${share} 0.068`)!;
    figures[`miss_${share * 100}_percent_23ms_vs_resident`] =
      rates.get(`${share} 23`)! / median(residentWall);
  }
  figures['miss_100_percent_23ms_vs_one_read_at_a_time'] = rates.get('1 23')! / (1000 / 23);
  const long = quick ? records * 4 : records * 3;
  const calm = await measure({ records: long, reads: new LateReads(0.1, 23) });
  const busy = await measure({ records: long, reads: new LateReads(0.1, 23), interrupted: true });
  figures['watermarks_and_barriers_vs_none'] = busy.perSecond / calm.perSecond;
  figures['barrier_most_ms'] = busy.barrierMs;
  return figures;
}
