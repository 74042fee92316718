/** Settings of a short job for named scenarios: few records, short intervals, state that does not fit into memory; so that many seeds cost little. */
import type { JsonValue } from '../../src/base/json.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { CALM_STORE } from '../../src/testing/sim-store-faults.ts';
import type { Fault, FaultKind, Settings } from './settings.ts';

/** Where keyed state is: half of the runs on forst with as little memory as there may be, in objects of their own or packed. */
function drawLayout(random: SeededRandom): {
  readonly config: Record<string, JsonValue>;
  readonly memoryBytes: number | undefined;
} {
  const backend = random.pick(['forst', 'forst', 'forst', 'hashmap']);
  return {
    config: {
      'state.backend.type': backend,
      'state.backend.forst.pack-below': random.pick([0, 262_144]),
      'state.changelog.enabled': backend === 'forst' && random.fork('changelog').chance(0.3),
      'dstl.dfs.preemptive-persist-threshold': random.fork('tail').pick([1, 2048]),
      'execution.async-state.in-flight-records-limit': random.pick([10, 6000]),
      'execution.async-state.buffer-size': random.pick([1, 1000]),
    },
    memoryBytes: backend === 'forst' ? random.pick([2048, 65_536]) : undefined,
  };
}

function drawConfig(random: SeededRandom): Record<string, JsonValue> {
  return {
    'pipeline.max-parallelism': random.pick([8, 128]),
    'pipeline.auto-watermark-interval': random.pick([20, 100]),
    'execution.buffer-timeout.interval': random.pick([0, 5]),
    'execution.checkpointing.interval': random.pick([20, 50, 100]),
    'execution.checkpointing.mode': 'exactly-once',
    'execution.checkpointing.timeout': random.pick([500, 5000]),
    'execution.checkpointing.min-pause': random.pick([0, 20]),
    'execution.checkpointing.tolerable-failed-checkpoints': random.pick([0, 3, 100]),
    'execution.checkpointing.num-retained': random.pick([1, 2, 3]),
    'execution.checkpointing.data-inline-threshold': random.pick([0, 100, 20_480]),
    'execution.checkpointing.garbage-grace-period': random.pick([0, 0, 20, 200]),
    'execution.checkpointing.unaligned.enabled': random.chance(0.5),
    'execution.checkpointing.aligned-checkpoint-timeout': random.pick([0, 5]),
    'restart-strategy.type': 'exponential-delay',
    'restart-strategy.exponential-delay.initial-backoff': random.pick([1, 20, 100]),
    'restart-strategy.exponential-delay.max-backoff': 500,
  };
}

/** Faults come within this time, in which the job runs. */
const STAGE_MS = 300;

export function drawFaults(
  random: SeededRandom,
  kinds: readonly FaultKind[],
  { most, durationMostMs = 1000 }: { readonly most: number; readonly durationMostMs?: number },
): readonly Fault[] {
  const faults = Array.from({ length: random.int(most + 1) }, () => ({
    kind: random.pick(kinds),
    atMs: random.float(20, STAGE_MS),
    choice: random.next(),
    durationMs: random.float(1, random.pick([100, durationMostMs])),
  }));
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** What ends a process or a thread. */
export const CRASHES: readonly FaultKind[] = [
  'crash-worker',
  'crash-all-workers',
  'crash-master',
  'crash-master',
];

/** A job that would end well within a second; crashes and rescaling, and nothing else that goes wrong. */
export function drawShort(seed: number, scenario: string): Settings {
  const random = new SeededRandom(seed).fork(`scenario ${scenario}`);
  const layout = drawLayout(random.fork('layout'));
  const parallelism = random.between(1, 3);
  return {
    seed,
    splits: random.between(1, 2),
    recordsPerSplit: random.between(15, 60),
    keysPerSplit: random.between(1, 6),
    disorderMs: random.pick([0, 10, 200]),
    windowMs: random.pick([50, 500]),
    chunkMax: random.pick([3, 10]),
    pauseMostMs: random.pick([10, 40]),
    discoveryMs: random.pick([0, 0, 50]),
    source: 'scripted',
    rateLimit: 1000,
    workersMax: random.between(1, 2),
    detached: random.chance(0.2),
    sink: random.pick(['collect', 'collect', 'files']),
    delivery: 'exactly-once',
    slowMs: 10,
    slowShare: random.pick([0, 0, 0.3]),
    config: { ...drawConfig(random.fork('config')), ...layout.config },
    slowReads: undefined,
    asyncFunctions: random.fork('async functions').chance(0.3),
    memoryBytes: layout.memoryBytes,
    parallelisms: random.chance(0.5)
      ? [parallelism]
      : Array.from({ length: 3 }, () => random.between(1, 3)),
    storeFaults: { ...CALM_STORE, latencyMostMs: random.pick([1, 5, 20]) },
    retriesRequests: true,
    usesDisk: false,
    sinkLostAnswerProbability: 0,
    faults: drawFaults(random.fork('faults'), CRASHES, { most: 2 }),
    healedAtMs: STAGE_MS + random.float(0, 300),
    aftermathMs: 1500,
    sweepsAtEnd: true,
  };
}
