/** F27: sinks take nothing for a while. Checkpoints go on, as fast as before, and nothing is lost. */
import type { Violation } from '../../src/testing/checkers.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { Scenario, Scene } from './scenario.ts';
import { drawShort } from './short-settings.ts';

const STUCK_FROM_MS = 250;
/** Until then channels fill. */
const SETTLED_MS = 350;
/** A duration of this much is never too long. */
const ALWAYS_FINE_MS = 10;
const SLOWER_MOST = 2;

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

function check({ audit, settings, met }: Scene): readonly Violation[] {
  const { untilMs } = settings.stuck!; // as of the settings below
  const during = audit.taken.filter(
    ({ triggeredMs }) => triggeredMs > SETTLED_MS && triggeredMs < untilMs,
  );
  const calm = audit.taken.filter(({ triggeredMs }) => triggeredMs < STUCK_FROM_MS);
  if (during.some(({ inFlight }) => inFlight > 0)) met('data in flight');
  if (calm.length === 0) return []; // it began late
  const [normalMs, stuckMs] = [calm, during].map((taken) =>
    median(taken.map(({ durationMs }) => durationMs)),
  );
  // One that waited for the sinks has not been triggered in vain, but alone.
  if (during.length > 1 && stuckMs! <= Math.max(SLOWER_MOST * normalMs!, ALWAYS_FINE_MS)) return [];
  const message = `${during.length} checkpoints while sinks were stuck took ${stuckMs} ms each, ${normalMs} ms before`;
  return [{ checker: 'F27', message, evidence: { calm: calm.length } }];
}

export const F27: Scenario = {
  name: 'F27',
  title: 'sinks take nothing for seconds: unaligned checkpoints take no longer, and all goes on',
  settings: (seed) => {
    const settings = drawShort(seed, 'F27');
    const random = new SeededRandom(seed).fork('stuck sinks of F27');
    const [stuckMs, intervalMs] = random.pick([
      [500, 50],
      [1000, 100],
      [2000, 100],
    ] as const);
    return {
      ...settings,
      // Enough to fill every channel.
      recordsPerSplit: random.between(60, 90),
      chunkMax: 2,
      pauseMostMs: 40,
      slowShare: 0,
      stuck: { fromMs: STUCK_FROM_MS, untilMs: STUCK_FROM_MS + stuckMs },
      faults: [],
      storeFaults: { ...settings.storeFaults, latencyLeastMs: 4, latencyMostMs: 5 },
      config: {
        ...settings.config,
        'execution.checkpointing.interval': intervalMs,
        'execution.checkpointing.min-pause': 0,
        'execution.checkpointing.timeout': 60_000,
        'execution.checkpointing.tolerable-failed-checkpoints': 0,
        'execution.checkpointing.unaligned.enabled': true,
        'execution.checkpointing.aligned-checkpoint-timeout': 0,
      },
    };
  },
  check,
  meets: ['data in flight'],
};
