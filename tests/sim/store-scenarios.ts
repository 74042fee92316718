/** Scenarios of an object store that fails, lies, races and is slow: F13 to F19. */
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { CALM_STORE, type StoreFaults } from '../../src/testing/sim-store-faults.ts';
import type { Scenario, Scene } from './scenario.ts';
import type { Settings } from './settings.ts';
import { CRASHES, drawFaults, drawShort } from './short-settings.ts';

/** The short job with these faults of the store, and now and then without what repeats requests in production. */
function withStore(
  seed: number,
  name: string,
  faultsOf: (random: SeededRandom) => Partial<StoreFaults>,
): Settings {
  const settings = drawShort(seed, name);
  const random = new SeededRandom(seed).fork(`store of ${name}`);
  return {
    ...settings,
    storeFaults: { ...settings.storeFaults, ...faultsOf(random) },
    retriesRequests: random.chance(0.7),
  };
}

/** The store does worse for a while. */
function during(scene: Scene, fromMs: number, lastsMs: number, faults: Partial<StoreFaults>): void {
  const { sim, bucket } = scene;
  sim.at(fromMs, 'the store gets worse', () => {
    const before = bucket.faults;
    bucket.faults = { ...before, ...faults };
    scene.met('outage');
    sim.at(lastsMs, 'the store gets better', () => {
      bucket.faults = CALM_STORE;
    });
  });
}

const F13: Scenario = {
  name: 'F13',
  title: 'the store answers 500, 503 or 429 to a part of the requests or to all, for up to minutes',
  settings: (seed) => {
    const settings = withStore(seed, 'F13', (random) => ({
      refusedProbability: random.pick([0, 0.01, 0.1]),
      throttledProbability: random.pick([0, 0.01, 0.1, 0.5]),
      retryAfterMs: random.pick([0, 100]),
    }));
    return settings;
  },
  stage: (scene) => {
    const { random, settings } = scene;
    if (!random.chance(0.6)) return;
    const lastsMs = random.pick([1000, 10_000, 60_000, 300_000]);
    const share = random.pick([0.5, 1, 1]);
    const kind = random.chance(0.5)
      ? { refusedProbability: share }
      : { throttledProbability: share, retryAfterMs: 100 };
    during(scene, random.float(20, settings.healedAtMs), lastsMs, kind);
  },
  meets: ['refused', 'throttled', 'outage'],
};

const F14: Scenario = {
  name: 'F14',
  title: 'puts are stored, their answers are lost, and they are repeated',
  settings: (seed) =>
    withStore(seed, 'F14', (random) => ({
      lostPutProbability: random.pick([0.05, 0.2, 0.5]),
      stallProbability: random.pick([0, 0.05]),
      stallMs: 200,
    })),
  meets: ['lost'],
};

const F15: Scenario = {
  name: 'F15',
  title:
    'conditional puts race: 412, 409, and answers that are lost, while coordinators replace each other',
  settings: (seed) => {
    const settings = withStore(seed, 'F15', (random) => ({
      undecidedProbability: random.pick([0.1, 0.4]),
      refusedProbability: random.pick([0, 0.1, 0.3]),
      lostPutProbability: random.pick([0, 0.1, 0.3]),
      latencyMostMs: random.pick([5, 50]),
    }));
    const random = new SeededRandom(seed).fork('races of F15');
    return {
      ...settings,
      faults: drawFaults(
        random,
        ['zombie-master', 'zombie-master', 'crash-master', 'freeze-worker'],
        {
          most: 4,
          durationMostMs: 400,
        },
      ),
    };
  },
  stage: (scene) => {
    // Two at a time for one job: neither knows of the other.
    const { sim, random, main } = scene;
    for (let i = 0; i < random.int(3); i++)
      sim.at(random.float(0, 300), 'starts a second coordinator', () => {
        if (main.job.isOver) return;
        main.job.start();
        scene.met('two coordinators');
      });
  },
  meets: ['undecided', 'conflict', 'two coordinators'],
};

const F16: Scenario = {
  name: 'F16',
  title: 'gets give too few bytes, too many, those of another place, or flipped bits',
  settings: (seed) => {
    const settings = withStore(seed, 'F16', (random) => ({
      alteredProbability: random.pick([0.02, 0.1, 0.3]),
    }));
    const random = new SeededRandom(seed).fork('crashes of F16');
    return { ...settings, faults: drawFaults(random, CRASHES, { most: 5 }) };
  },
  // What was altered twice in a row ends a read, and with it perhaps the process: with a name for it.
  restartsAfter: isCorruption,
  meets: ['altered'],
};

function isCorruption(error: Error): boolean {
  const { kind, code } = error as { kind?: unknown; code?: unknown };
  return kind === 'data' && typeof code === 'string' && /CORRUPT|VERSION/.test(code);
}

const F17: Scenario = {
  name: 'F17',
  title: 'lists do not know the latest changes, show what was deleted, and break off',
  settings: (seed) => {
    const settings = withStore(seed, 'F17', (random) => ({
      staleProbability: random.pick([0.2, 0.8]),
      staleMs: random.pick([50, 5000]),
      tornListProbability: random.pick([0, 0.3]),
      refusedProbability: random.pick([0, 0.05]),
    }));
    const random = new SeededRandom(seed).fork('crashes of F17');
    return { ...settings, faults: drawFaults(random, CRASHES, { most: 5 }) };
  },
  meets: ['stale'],
};

const SLOWEST_MS = 30_000;

const F18: Scenario = {
  name: 'F18',
  title: 'the store is slow: 10 KB/s, answers after half a minute, a prefix that is throttled',
  settings: (seed) => ({
    ...withStore(seed, 'F18', (random) => ({
      bytesPerMs: random.pick([10, 100]),
      stallProbability: random.pick([0, 0.05]),
      stallMs: SLOWEST_MS,
      throttledProbability: random.pick([0, 0.5]),
      throttledPart: random.pick(['/shared/', '/chk-', '/head']),
      retryAfterMs: 50,
    })),
    // What the dead had sent arrives late, too.
    aftermathMs: SLOWEST_MS,
  }),
  meets: ['slow', 'throttled'],
};

export const STORE_SCENARIOS: readonly Scenario[] = [F13, F14, F15, F16, F17, F18];
