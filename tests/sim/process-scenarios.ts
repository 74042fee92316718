/** Processes that die (F1, F2, F3, F7), clocks that jump (F23), jobs that are cancelled while all that happens (F33). */
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { Scenario, Scene } from './scenario.ts';
import type { FaultKind, Settings } from './settings.ts';
import { CRASHES, drawFaults, drawShort } from './short-settings.ts';

function withFaults(
  seed: number,
  name: string,
  {
    kinds,
    most = 4,
    durationMostMs = 500,
  }: {
    readonly kinds: readonly FaultKind[];
    readonly most?: number;
    readonly durationMostMs?: number;
  },
): Settings {
  const random = new SeededRandom(seed).fork(`faults of ${name}`);
  return { ...drawShort(seed, name), faults: drawFaults(random, kinds, { most, durationMostMs }) };
}

/** The scenario has met what it restarts from: a checkpoint that was there when somebody died. */
const check: Scenario['check'] = ({ main, met }) => {
  if (main.job.processes.length > 1) met('process replaced');
  const logged = main.job.processes.flatMap((process) => process.logged);
  if (logged.some(({ message }) => message.includes('failed, restarting'))) met('tasks restarted');
  return [];
};

const F1: Scenario = {
  name: 'F1',
  title: 'a worker is killed at a random time',
  settings: (seed) => withFaults(seed, 'F1', { kinds: ['crash-worker'] }),
  check,
  meets: ['tasks restarted'],
};

const F2: Scenario = {
  name: 'F2',
  title: 'all workers are killed at once, again and again',
  settings: (seed) => withFaults(seed, 'F2', { kinds: ['crash-all-workers'], most: 12 }),
  check,
  meets: ['tasks restarted'],
};

const F3: Scenario = {
  name: 'F3',
  title: 'the process with the job master is killed, or another takes over while it is stopped',
  settings: (seed) => withFaults(seed, 'F3', { kinds: ['crash-master', 'zombie-master'] }),
  check,
  meets: ['process replaced'],
};

/** Each of the first processes dies when it has taken so many steps: while it takes the job over, restores, rescales. */
function dieWhileStarting({ sim, random, met }: Scene): void {
  const left = new Map<string, number>();
  sim.scheduler.onStep = (_, node) => {
    const process = /^job@[1-3](?=\/|$)/.exec(node.name)?.[0];
    if (process === undefined) return;
    const steps = (left.get(process) ?? random.between(1, 120)) - 1;
    left.set(process, steps);
    if (steps !== 0) return;
    met('died while it started');
    node.crash();
  };
}

const F7: Scenario = {
  name: 'F7',
  title: 'processes are killed while they restore and rescale, up to three times in a row',
  settings: (seed) => {
    const settings = withFaults(seed, 'F7', { kinds: ['crash-master'], most: 2 });
    const random = new SeededRandom(seed).fork('rescaling of F7');
    const parallelisms = Array.from({ length: 4 }, () => random.between(1, 3));
    return { ...settings, parallelisms };
  },
  stage: dieWhileStarting,
  check,
  meets: ['process replaced', 'died while it started'],
};

const F23: Scenario = {
  name: 'F23',
  title: 'wall clocks jump by up to an hour, forwards and backwards',
  settings: (seed) =>
    withFaults(seed, 'F23', { kinds: ['clock-jump', 'clock-jump', 'crash-master'], most: 6 }),
  check,
  meets: ['process replaced'],
};

const F33: Scenario = {
  name: 'F33',
  title:
    'the job is cancelled, twice, while anything else goes wrong, and started at another parallelism',
  settings: (seed) => {
    const random = new SeededRandom(seed).fork('rescaling of F33');
    return {
      ...withFaults(seed, 'F33', {
        kinds: [...CRASHES, 'zombie-master', 'freeze-worker'],
        most: 3,
      }),
      parallelisms: Array.from({ length: 4 }, () => random.between(1, 3)),
    };
  },
  stage: ({ sim, random, main, met }) => {
    for (let i = random.between(1, 2); i > 0; i--)
      sim.at(random.float(20, 300), 'cancels the job', () => {
        const { master, process } = main.job;
        if (master === undefined || process?.node.state !== 'running') return;
        met('cancelled');
        master.cancel();
        master.cancel();
      });
  },
  check,
  meets: ['cancelled', 'process replaced'],
};

export const PROCESS_SCENARIOS: readonly Scenario[] = [F1, F2, F3, F7, F23, F33];
