/**
 * Every step that a small job takes towards the outside, as a place to kill somebody: before and after each request to the store, each control
 * message sent and received, each access to the sinks. The job takes checkpoints, loses its process once, is restored at another
 * parallelism, collects garbage, and ends. A history repeats up to the kill, so each place is met.
 *
 * Exhaustive: each place, at its first, second and last visit, with the one who takes the step killed, or a worker, or the job master.
 */
import { simulate, type SimReport } from './job-sim.ts';
import type { Steppable } from '../../src/testing/sim-scheduler.ts';
import type { Scenario, Scene } from './scenario.ts';
import { drawShort } from './short-settings.ts';
import type { Settings } from './settings.ts';

/** Where the job's keyed state is; `waiting`: it has to be fetched, late and out of order, and checkpoints hold records that wait for it. */
export const LAYOUTS = ['forst', 'hashmap', 'waiting'] as const;
export type Layout = (typeof LAYOUTS)[number];

export const VICTIMS = ['who takes the step', 'a worker', 'the job master'] as const;
export type Victim = (typeof VICTIMS)[number];

export interface Kill {
  readonly step: string;
  readonly visit: number;
  readonly victim: Victim;
}

const SEED = 1;

function settingsOf(layout: Layout): Settings {
  const drawn = drawShort(SEED, 'kill points');
  return {
    ...drawn,
    splits: 2,
    recordsPerSplit: 18,
    keysPerSplit: 3,
    chunkMax: 3,
    pauseMostMs: 20,
    workersMax: 2,
    sink: 'collect',
    detached: false,
    slowShare: 0,
    discoveryMs: 20,
    parallelisms: [1, 2, 1],
    config: {
      ...drawn.config,
      'state.backend.type': layout === 'hashmap' ? 'hashmap' : 'forst',
      'state.changelog.enabled': false,
      'execution.checkpointing.interval': 25,
      'execution.checkpointing.num-retained': 1,
      'execution.checkpointing.data-inline-threshold': 0,
      'execution.checkpointing.garbage-grace-period': 0,
      'execution.checkpointing.unaligned.enabled': layout === 'waiting',
      'execution.checkpointing.tolerable-failed-checkpoints': 100,
      'restart-strategy.exponential-delay.initial-backoff': 1,
    },
    memoryBytes: layout === 'forst' ? 2048 : undefined,
    slowReads: layout === 'waiting' ? { latencyMostMs: 30, evictedShare: 0.7 } : undefined,
    faults: [{ kind: 'crash-master', atMs: 200, choice: 0, durationMs: 0 }],
    healedAtMs: 300,
    aftermathMs: 300,
  };
}

/** Who takes a step, without what tells one process or thread from the next. */
const roleOf = (node: string): string => (node.includes('/') ? 'worker' : 'master');

function scenarioOf(
  layout: Layout,
  onStep: (scene: Scene, step: string, node: Steppable) => void,
): Scenario {
  return {
    name: `kill points, ${layout}`,
    title: '',
    settings: () => settingsOf(layout),
    stage: (scene) => {
      scene.sim.scheduler.onStep = (what, node) => {
        if (node.name.startsWith('job@')) onStep(scene, `${roleOf(node.name)} ${what}`, node);
      };
    },
    meets: [],
  };
}

/** The steps of the job when nobody is killed, with how often each is taken. */
export async function stepsOf(layout: Layout): Promise<ReadonlyMap<string, number>> {
  const visits = new Map<string, number>();
  const scenario = scenarioOf(layout, (_, step) => visits.set(step, (visits.get(step) ?? 0) + 1));
  const { violations } = await simulate({ seed: SEED, scenario });
  if (violations.length > 0) throw new Error(`without a kill: ${JSON.stringify(violations)}`);
  return visits;
}

/** All that there are for these steps. */
export function killsOf(steps: ReadonlyMap<string, number>): readonly Kill[] {
  return [...steps].flatMap(([step, visits]) =>
    [...new Set([1, 2, visits])]
      .filter((visit) => visit <= visits)
      .flatMap((visit) => VICTIMS.map((victim) => ({ step, visit, victim }))),
  );
}

export function killAt(layout: Layout, { step, visit, victim }: Kill): Promise<SimReport> {
  let visits = 0;
  const scenario = scenarioOf(layout, ({ main: { job } }, taken, node) => {
    if (taken !== step || ++visits !== visit) return;
    if (victim === 'the job master') job.process?.node.crash();
    else if (victim === 'a worker') job.workers[0]?.node.crash();
    else node.crash();
  });
  return simulate({ seed: SEED, scenario });
}
