/** One seed: runs the job with everything the seed says goes wrong, then lets the checkers judge. */
import { CheckpointStore } from '../../src/state/checkpoint-store.ts';
import type { Violation } from '../../src/testing/checkers.ts';
import { CheckpointAudit } from '../../src/testing/checkpoint-audit.ts';
import { SimDisks } from '../../src/testing/sim-disk.ts';
import { SimBucket } from '../../src/testing/sim-store.ts';
import { CALM_STORE } from '../../src/testing/sim-store-faults.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import { scheduleFaults } from './faults.ts';
import { checkBacklog, checkCheckpoints, checkEnd, checkNoGarbage, checkOutput } from './judge.ts';
import { drawInput, LEDGER } from './keyed-job.ts';
import { type Play, Plays } from './plays.ts';
import type { Sabotage, Scenario, Scene } from './scenario.ts';
import { drawSettings, type Settings } from './settings.ts';

export interface SimOptions {
  readonly seed: number;
  readonly trace?: boolean;
  readonly sabotage?: Sabotage;
  /** Default: everything that `drawSettings` draws. */
  readonly scenario?: Scenario;
}

export interface SimReport {
  readonly settings: Settings;
  readonly violations: readonly Violation[];
  readonly traceHash: string;
  readonly trace: readonly string[];
  readonly virtualMs: number;
  readonly events: number;
  readonly checkpoints: number;
  /** Stream elements in flight, in all checkpoints together. */
  readonly inFlight: number;
  readonly starts: number;
  readonly failures: readonly Error[];
  /** What the job masters logged. */
  readonly log: readonly string[];
  /** Faults that were met, and how often. */
  readonly met: ReadonlyMap<string, number>;
}

/** From the last fault to the end of the job, at most. */
const RECOVERY_MS_MAX = 600_000;
const EVENTS_MAX = 2_000_000;
/** For what the dead had sent, and for a sweep. */
const SETTLE_MS = 2000;

export async function simulate(options: SimOptions): Promise<SimReport> {
  const { seed, trace = false, sabotage, scenario } = options;
  const drawn = scenario?.settings(seed) ?? drawSettings(seed);
  const settings = sabotage?.settingsOf?.(drawn) ?? drawn;
  const sim = new Simulation({ seed, trace });
  const bucket = new SimBucket(sim.scheduler, settings.storeFaults);
  const audit = new CheckpointAudit(bucket, { ledger: LEDGER });
  const plays = new Plays({
    ...{ settings, sim, bucket, sabotage, scenario },
    disks: new SimDisks(),
    input: drawInput(settings),
  });
  const main = plays.add('job');
  const scene = sceneOf(plays, main, audit);
  scheduleFaults({ sim, settings, job: main.job });
  scenario?.stage?.(scene);
  sabotage?.stage?.(scene);
  sim.at(settings.healedAtMs, 'heals', () => {
    bucket.faults = CALM_STORE;
  });
  main.job.start();
  const outcome = await sim.run({
    until: () => plays.all.every(({ job, givenUp }) => job.isOver || givenUp),
    maxVirtualMs: settings.healedAtMs + RECOVERY_MS_MAX,
    eventsMax: EVENTS_MAX,
  });
  plays.closed = true;
  await sim.run({ maxVirtualMs: settings.aftermathMs, eventsMax: EVENTS_MAX });
  const violations = await judge(plays, audit, outcome);
  violations.push(...(scenario?.check?.(scene) ?? []));
  return reportOf(plays, audit, violations);
}

async function judge(plays: Plays, audit: CheckpointAudit, outcome: string): Promise<Violation[]> {
  const { settings, input, sim } = plays.params;
  const found: Violation[] = [...plays.violations, ...checkBacklog(sim.scheduler.backlogMost)];
  for (const play of plays.all) {
    if (play.givenUp) continue;
    const end = checkEnd(play.job, outcome);
    found.push(...end);
    if (end.length === 0) found.push(...checkOutput(settings, input, plays.seenOf(play)));
  }
  if (settings.sweepsAtEnd && plays.all.every(({ givenUp }) => !givenUp))
    found.push(...(await sweep(plays, audit)));
  found.push(
    ...(await checkCheckpoints(settings, audit)),
    ...sim.scheduler.failures.map(asViolation),
  );
  return found;
}

/** Everybody is dead; a last coordinator of each job tidies up, those that hold pins first. */
async function sweep(
  { all, params }: Plays,
  audit: CheckpointAudit,
): Promise<readonly Violation[]> {
  const { sim, bucket, sabotage } = params;
  sim.killAll();
  await sim.run({ maxVirtualMs: SETTLE_MS, eventsMax: EVENTS_MAX });
  const found: Violation[] = [];
  for (const { jobId } of all.toReversed()) {
    const { node, clock, ids } = sim.startProcess('janitor');
    const options = { retained: 1, clock, ids };
    const bare = bucket.of(node);
    const objects = sabotage?.storeOf?.(bare, node) ?? bare;
    const store = await sim.settle(CheckpointStore.open(objects, jobId, options));
    store.sweep();
    await sim.run({ maxVirtualMs: SETTLE_MS, eventsMax: EVENTS_MAX });
    await sim.settle(store.close());
    found.push(...checkNoGarbage(jobId, audit));
  }
  return found;
}

function sceneOf(plays: Plays, main: Play, audit: CheckpointAudit): Scene {
  const { settings, sim, bucket, disks } = plays.params;
  return {
    ...{ settings, sim, bucket, disks, audit, main },
    random: sim.random('stage'),
    violations: plays.violations,
    startAnother: (name, forkedAt) => {
      if (!plays.closed) plays.add(name, forkedAt).job.start();
    },
    giveUpMain: () => {
      main.givenUp = true;
    },
    met: (what) => plays.met(what),
  };
}

function reportOf(
  plays: Plays,
  audit: CheckpointAudit,
  violations: readonly Violation[],
): SimReport {
  const { settings, sim } = plays.params;
  const jobs = plays.all.map(({ job }) => job);
  return {
    ...{ settings, violations },
    traceHash: sim.scheduler.traceHash,
    trace: sim.scheduler.trace,
    virtualMs: sim.nowMs,
    events: sim.scheduler.eventsRun,
    checkpoints: audit.completed,
    inFlight: audit.taken.reduce((sum, { inFlight }) => sum + inFlight, 0),
    starts: jobs.reduce((sum, { starts }) => sum + starts, 0),
    failures: jobs.flatMap(({ failures }) => failures),
    log: jobs.flatMap(({ processes }) =>
      processes.flatMap(({ node, logged }) =>
        logged.map(
          ({ atMs, level, message }) => `${atMs.toFixed(3)} ${node.name} ${level} ${message}`,
        ),
      ),
    ),
    met: plays.faultsMet,
  };
}

const asViolation = (error: Error): Violation => ({
  checker: 'simulation',
  message: error.message,
  evidence: { stack: error.stack },
});
