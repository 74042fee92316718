/**
 * Runs seeds: `node tests/sim/main.ts [--scenario F16 ...] [--seeds N] [--from N] [--seed N] [--trace]`; `--all`: every named scenario, and the
 * one that mixes everything; `--named`: the named ones alone; `--kill-points`: a small job killed at every step. A failing seed prints its violations and the command that repeats it; the exit code says whether any failed.
 */
import { parseArgs } from 'node:util';
import { describeViolations } from '../../src/testing/checkers.ts';
import { type SimReport, simulate } from './job-sim.ts';
import { killAt, killsOf, type Layout, LAYOUTS, stepsOf } from './kill-points.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS, scenarioOf } from './scenarios.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '300' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    scenario: { type: 'string', multiple: true },
    all: { type: 'boolean', default: false },
    named: { type: 'boolean', default: false },
    'kill-points': { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
});

const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
let current = '';
process.on('unhandledRejection', (reason) => {
  console.error(`${current}: unhandled rejection`, reason);
  process.exit(1);
});

function show({ settings, log, failures, trace, traceHash, events, checkpoints }: SimReport): void {
  for (const line of trace) console.log(line);
  console.log(JSON.stringify(settings, undefined, 2));
  for (const line of log) console.log(line);
  for (const failure of failures) console.log(`process ended: ${failure.message}`);
  console.log(`trace ${traceHash}, ${events} events, ${checkpoints} checkpoints`);
}

/** Whether all seeds passed. */
async function runSeeds(scenario: Scenario | undefined): Promise<boolean> {
  const started = performance.now();
  const totals = { virtualMs: 0, events: 0, checkpoints: 0, inFlight: 0, starts: 0, failed: 0 };
  const met = new Map<string, number>();
  const flag = scenario === undefined ? '' : `--scenario ${scenario.name} `;
  for (let seed = first; seed < first + count; seed++) {
    current = `${flag}--seed ${seed}`;
    const options = scenario === undefined ? {} : { scenario };
    const report = await simulate({ ...options, seed, trace: values.trace });
    for (const total of ['virtualMs', 'events', 'checkpoints', 'inFlight', 'starts'] as const)
      totals[total] += report[total];
    for (const [what, times] of report.met) met.set(what, (met.get(what) ?? 0) + times);
    if (values.seed !== undefined) show(report);
    if (report.violations.length === 0) continue;
    totals.failed++;
    console.log(`seed ${seed} FAILED\n${describeViolations(report.violations)}`);
    console.log(`  repeat: node tests/sim/main.ts ${current}`);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const name = scenario === undefined ? '' : `${scenario.name}, ${scenario.title}: `;
  const faults = [...met].map(([what, times]) => `${what} ${times}`).join(', ');
  console.log(
    `${name}${count - totals.failed} of ${count} seeds passed in ${seconds} s: ${(totals.virtualMs / 1000).toFixed(0)} virtual s, ${totals.events} events, ${totals.checkpoints} checkpoints with ${totals.inFlight} elements in flight, ${totals.starts} starts${faults === '' ? '' : `; met: ${faults}`}`,
  );
  return totals.failed === 0;
}

/** Whether the job survived all kills. */
async function runKills(layout: Layout): Promise<boolean> {
  const started = performance.now();
  const steps = await stepsOf(layout);
  const kills = killsOf(steps);
  let failed = 0;
  for (const kill of kills) {
    current = `${layout}: ${kill.step}, visit ${kill.visit}: ${kill.victim} is killed`;
    const { violations } = await killAt(layout, kill);
    if (violations.length === 0) continue;
    failed++;
    console.log(`FAILED ${current}\n${describeViolations(violations)}`);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `kill points, state ${layout}: ${kills.length - failed} of ${kills.length} kills at ${steps.size} steps passed in ${seconds} s`,
  );
  return failed === 0;
}

const named = values.scenario?.map(scenarioOf) ?? [undefined];
const scenarios = values.all ? [undefined, ...SCENARIOS] : values.named ? SCENARIOS : named;
for (const scenario of values['kill-points'] ? [] : scenarios)
  if (!(await runSeeds(scenario))) process.exitCode = 1;
for (const layout of values.all || values['kill-points'] ? LAYOUTS : [])
  if (!(await runKills(layout))) process.exitCode = 1;
