/** What a seed decides: the shape of the job, the input, and when what goes wrong. */
import type { JsonValue } from '../../src/base/json.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { CALM_STORE, type StoreFaults } from '../../src/testing/sim-store-faults.ts';

export type FaultKind =
  | 'crash-worker'
  | 'crash-all-workers'
  | 'crash-master'
  | 'freeze-worker'
  | 'zombie-master'
  | 'slow-machine'
  | 'clock-jump';

export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** Picks the victim. */
  readonly choice: number;
  readonly durationMs: number;
}

export interface Settings {
  readonly seed: number;
  readonly splits: number;
  readonly recordsPerSplit: number;
  readonly keysPerSplit: number;
  readonly disorderMs: number;
  readonly windowMs: number;
  readonly chunkMax: number;
  readonly pauseMostMs: number;
  /** 0: all splits are known at once. */
  readonly discoveryMs: number;
  readonly workersMax: number;
  readonly detached: boolean;
  readonly source: 'scripted' | 'files';
  /** Of the file source, records per second and subtask. */
  readonly rateLimit: number;
  readonly sink: 'collect' | 'files';
  readonly delivery: 'exactly-once' | 'at-least-once';
  /** Operators that wait so long after a batch, and how often they do: 0 is never. */
  readonly slowMs: number;
  readonly slowShare: number;
  /** What is in front of the sinks takes nothing in this time. */
  readonly stuck?: { readonly fromMs: number; readonly untilMs: number };
  readonly config: Readonly<Record<string, JsonValue>>;
  /** Undefined: state is where the options say. */
  readonly slowReads: SlowReads | undefined;
  /** The process function awaits its state. */
  readonly asyncFunctions: boolean;
  /** Of each start of the job; the last one counts for all later ones. */
  readonly parallelisms: readonly number[];
  readonly storeFaults: StoreFaults;
  /** Requests are repeated, as in production over a network. Without, the engine above meets each failure. */
  readonly retriesRequests: boolean;
  readonly usesDisk: boolean;
  /** Of the forst backend of one worker; undefined: what the options say. */
  readonly memoryBytes: number | undefined;
  readonly sinkLostAnswerProbability: number;
  readonly faults: readonly Fault[];
  /** From here on nothing goes wrong any more. */
  readonly healedAtMs: number;
  /** Zombies get this long after the end to do harm. */
  readonly aftermathMs: number;
  /** At the end a last coordinator tidies up, and nothing may be left. */
  readonly sweepsAtEnd: boolean;
}

const FAULT_KINDS: readonly FaultKind[] = [
  'crash-worker',
  'crash-worker',
  'crash-all-workers',
  'crash-master',
  'crash-master',
  'freeze-worker',
  'zombie-master',
  'zombie-master',
  'slow-machine',
  'clock-jump',
];

function drawConfig(
  random: SeededRandom,
  delivery: string,
  {
    slowReads,
    slowShare,
    asyncFunctions,
  }: Pick<Settings, 'slowReads' | 'slowShare' | 'asyncFunctions'>,
): Record<string, JsonValue> {
  const isSlow = slowReads !== undefined || slowShare > 0 || asyncFunctions;
  return {
    'pipeline.max-parallelism': random.pick([8, 128, 32_768]),
    'pipeline.auto-watermark-interval': random.pick([0, 1, 20, 200]),
    'execution.buffer-timeout.interval': random.pick([0, 5, 100]),
    // Slow jobs run for long: a thousand checkpoints say no more than a hundred.
    'execution.checkpointing.interval': random.pick(isSlow ? [60, 100, 200] : [10, 30, 100, 300]),
    'execution.checkpointing.mode': delivery,
    'execution.checkpointing.timeout': random.pick([200, 1000, 60_000]),
    'execution.checkpointing.min-pause': random.pick([0, 0, 50]),
    'execution.checkpointing.tolerable-failed-checkpoints': random.pick([0, 3, 100]),
    'execution.checkpointing.num-retained': random.pick([1, 1, 2, 5]),
    'execution.checkpointing.data-inline-threshold': random.pick([0, 100, 20_480]),
    'restart-strategy.type': 'exponential-delay',
    'restart-strategy.exponential-delay.initial-backoff': random.pick([1, 50, 500]),
    'restart-strategy.exponential-delay.max-backoff': 2000,
    'execution.checkpointing.garbage-grace-period': random.fork('grace').pick([0, 0, 20, 500]),
    ...drawUnaligned(random.fork('unaligned'), delivery),
    ...drawBackend(random.fork('backend'), slowReads),
    // Barriers wait for functions that have begun, and in channels: for records that wait for state, and for operators that are slow.
    ...(isSlow ? { 'execution.checkpointing.timeout': 60_000 } : {}),
  };
}

/** Two thirds of the jobs let barriers overtake: at once, or when they have waited. */
function drawUnaligned(random: SeededRandom, delivery: string): Record<string, JsonValue> {
  if (delivery === 'at-least-once') return {};
  return {
    'execution.checkpointing.unaligned.enabled': random.chance(0.66),
    'execution.checkpointing.aligned-checkpoint-timeout': random.pick([0, 0, 1, 10, 100]),
    'execution.checkpointing.unaligned.max-subtasks-per-channel-state-file': random.pick([1, 5]),
    'taskmanager.network.memory.buffer-debloat.enabled': random.chance(0.5),
    'taskmanager.network.memory.buffer-debloat.target': random.pick([1, 10, 1000]),
    'taskmanager.network.memory.buffer-debloat.period': random.pick([5, 50]),
    'taskmanager.network.memory.buffer-debloat.samples': random.pick([1, 20]),
  };
}

/** State whose reads take this long, on the heap. */
export interface SlowReads {
  readonly latencyMostMs: number;
  readonly evictedShare: number;
}

/** A third of the jobs has to fetch what it reads, out of order. */
function drawSlowReads(random: SeededRandom): SlowReads | undefined {
  if (!random.chance(0.33)) return undefined;
  return {
    latencyMostMs: random.pick([1, 20, 200]),
    evictedShare: random.pick([0.1, 0.5, 1]),
  };
}

/** Of the others, half keep their state on the object store, with as little memory as there may be. */
function drawBackend(random: SeededRandom, slow: SlowReads | undefined): Record<string, JsonValue> {
  const backend = random.pick(['hashmap', slow === undefined ? 'forst' : 'hashmap']);
  return {
    'state.backend.type': backend,
    'state.changelog.enabled': backend === 'forst' && random.fork('changelog').chance(0.3),
    'dstl.dfs.preemptive-persist-threshold': random.fork('tail').pick([1, 2048]),
    'execution.async-state.in-flight-records-limit': random.pick([10, 6000]),
    'execution.async-state.buffer-size': random.pick([1, 1000]),
    'taskmanager.memory.managed.size': random.pick([1_048_576, 268_435_456]),
    'state.backend.forst.primary-dir': random.fork('primary').pick(['checkpoint-dir', 'local']),
    'state.backend.forst.local-dir': 'working-files',
    'state.backend.forst.pack-below': random.pick([0, 262_144]),
    'state.backend.forst.timer-service.cache-size': random.pick([1, 10, null]),
  };
}

/** Two of five jobs are under backpressure. */
const drawSlowness = (random: SeededRandom): Pick<Settings, 'slowMs' | 'slowShare'> => ({
  slowMs: random.pick([1, 10, 30]),
  slowShare: random.pick([0, 0, 0, 0.1, 0.5]),
});

function drawStoreFaults(random: SeededRandom): StoreFaults {
  const bad = random.chance(0.4);
  return {
    ...CALM_STORE,
    latencyLeastMs: 0.1,
    latencyMostMs: random.pick([1, 5, 50]),
    refusedProbability: bad ? random.pick([0.01, 0.1]) : 0,
    lostAnswerProbability: bad ? random.pick([0.01, 0.1]) : 0,
    stallProbability: random.chance(0.3) ? 0.05 : 0,
    stallMs: 500,
  };
}

export function drawSettings(seed: number): Settings {
  const random = new SeededRandom(seed).fork('settings');
  const delivery = random.chance(0.1) ? 'at-least-once' : 'exactly-once';
  const pace = {
    recordsPerSplit: random.between(20, 300),
    chunkMax: random.pick([1, 10, 100]),
    pauseMostMs: random.pick([1, 20, 60]),
  };
  // Faults come while the job runs, and shortly after it would have ended without them.
  const chunks = pace.recordsPerSplit / ((pace.chunkMax + 1) / 2);
  const healedAtMs = 100 + random.float(0.5, 2) * (chunks * pace.pauseMostMs * 0.35 + 100);
  const faults = Array.from({ length: random.int(7) }, () => ({
    kind: random.pick(FAULT_KINDS),
    atMs: random.float(0, healedAtMs),
    choice: random.next(),
    durationMs: random.float(1, random.pick([100, 4000])),
  }));
  const asyncFunctions = random.fork('async functions').chance(0.4);
  const slowness = drawSlowness(random.fork('slowness'));
  const slowReads = drawSlowReads(random.fork('slow reads'));
  const parallelism = random.between(1, 4);
  const source = random.pick(['scripted', 'scripted', 'files'] as const);
  return {
    seed,
    splits: random.between(1, 5),
    ...pace,
    keysPerSplit: random.between(1, 20),
    disorderMs: random.pick([0, 10, 200]),
    windowMs: random.pick([50, 500, 5000]),
    discoveryMs: source === 'files' || random.chance(0.5) ? 0 : random.between(1, 500),
    source,
    rateLimit: random.pick([100, 1000, 100_000]),
    workersMax: random.between(1, 3),
    detached: random.chance(0.3),
    sink: random.pick(['collect', 'files']),
    delivery,
    ...slowness,
    config: drawConfig(random, delivery, { slowReads, asyncFunctions, ...slowness }),
    slowReads,
    asyncFunctions,
    parallelisms: random.chance(0.5)
      ? [parallelism]
      : Array.from({ length: 4 }, () => random.between(1, 4)),
    storeFaults: drawStoreFaults(random),
    sinkLostAnswerProbability: random.chance(0.3) ? 0.1 : 0,
    faults: faults.sort((a, b) => a.atMs - b.atMs),
    healedAtMs,
    retriesRequests: false,
    usesDisk: true,
    memoryBytes: undefined,
    aftermathMs: 10_000,
    sweepsAtEnd: true,
  };
}
