/**
 * F9 and F10: processes that were stopped, replaced, and go on. Whatever they do, nothing that any restore can see changes: they never write
 * the head (P5), never touch what a checkpoint names (C8), never publish (C1, C4), and end; what they upload is garbage, and is collected.
 */
import type { Violation } from '../../src/testing/checkers.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { Scenario, Scene } from './scenario.ts';
import { drawFaults, drawShort } from './short-settings.ts';

const LONGEST_MS = 300_000;

/** Number of the process that a node belongs to. */
const processOf = (node: string): number => Number(/@(\d+)/.exec(node)?.[1]);

/** Objects, heads aside, that came from a process after a later one had taken the job over. */
function writesOfZombies({ bucket }: Scene): number {
  let coordinator = -1;
  let count = 0;
  for (const { node, operation, key, applied } of bucket.audit) {
    if (!applied || !operation.startsWith('put') || !node.startsWith('job@')) continue;
    if (key.endsWith('/head')) coordinator = Math.max(coordinator, processOf(node));
    else if (processOf(node) < coordinator) count++;
  }
  return count;
}

function check(scene: Scene): readonly Violation[] {
  const { main, met } = scene;
  for (let i = writesOfZombies(scene); i > 0; i--) met('zombie wrote');
  const replaced = main.job.processes.slice(0, -1);
  const alive = replaced
    .filter(({ node }) => node.state === 'running')
    .map(({ node }) => node.name);
  if (replaced.some(({ node }) => node.state === 'dead')) met('zombie ended');
  if (alive.length === 0) return [];
  const message = `${alive.join(', ')} was replaced, and goes on`;
  return [{ checker: 'P5', message, evidence: { alive } }];
}

const F9: Scenario = {
  name: 'F9',
  title: 'workers and whole processes are stopped for up to five minutes, replaced, and go on',
  settings: (seed) => {
    const random = new SeededRandom(seed).fork('zombies of F9');
    const kinds = ['zombie-master', 'zombie-master', 'freeze-worker', 'crash-master'] as const;
    return {
      ...drawShort(seed, 'F9'),
      faults: drawFaults(random, kinds, {
        most: 4,
        durationMostMs: random.pick([1000, LONGEST_MS]),
      }),
      aftermathMs: LONGEST_MS,
      sweepsAtEnd: true,
    };
  },
  check,
  meets: ['zombie ended', 'zombie wrote'],
};

const F10: Scenario = {
  name: 'F10',
  title: 'a zombie uploads files, manifests and records after it was replaced',
  settings: (seed) => {
    const settings = drawShort(seed, 'F10');
    const random = new SeededRandom(seed).fork('zombies of F10');
    return {
      ...settings,
      config: {
        ...settings.config,
        'state.backend.type': 'forst',
        'execution.checkpointing.interval': 20,
        'execution.checkpointing.data-inline-threshold': 0,
      },
      memoryBytes: 2048,
      // Long ways: what is sent before the freeze, or held in it, arrives when another coordinates.
      storeFaults: { ...settings.storeFaults, latencyMostMs: 60 },
      faults: drawFaults(random, ['zombie-master'], { most: 4, durationMostMs: 200 }),
      healedAtMs: 600,
    };
  },
  check,
  meets: ['zombie ended', 'zombie wrote'],
};

export const ZOMBIE_SCENARIOS: readonly Scenario[] = [F9, F10];
