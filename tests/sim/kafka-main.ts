/**
 * Runs seeds of the Kafka scenario: `node tests/sim/kafka-main.ts [--scenario F31] [--seeds N] [--from N] [--seed N] [--trace]`. A failing seed
 * prints its violations and the command that repeats it; the exit code says whether any failed.
 */
import { parseArgs } from 'node:util';
import { describeViolations } from '../../src/testing/checkers.ts';
import { kafkaScenarioOf } from './kafka-scenarios.ts';
import { simulateKafka } from './kafka-sim.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '300' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    scenario: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});

const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const scenario = values.scenario === undefined ? undefined : kafkaScenarioOf(values.scenario);
const flag = scenario === undefined ? '' : `--scenario ${scenario.name} `;
const started = performance.now();
let [failed, checkpoints, starts] = [0, 0, 0];
for (let seed = first; seed < first + count; seed++) {
  const report = await simulateKafka({ seed, scenario, trace: values.trace });
  checkpoints += report.checkpoints;
  starts += report.starts;
  for (const line of report.trace) console.log(line);
  if (values.seed !== undefined) {
    console.log(JSON.stringify(report.settings, undefined, 2));
    for (const line of report.log) console.log(line);
    for (const failure of report.failures) console.log(`process ended: ${failure.message}`);
  }
  if (report.violations.length === 0) continue;
  failed++;
  console.log(`seed ${seed} FAILED\n${describeViolations(report.violations)}`);
  console.log(`  repeat: node tests/sim/kafka-main.ts ${flag}--seed ${seed}`);
}
const seconds = (performance.now() - started) / 1000;
console.log(
  `${count - failed} of ${count} seeds passed in ${seconds.toFixed(1)} s: ${checkpoints} checkpoints, ${starts} starts`,
);
if (failed > 0) process.exitCode = 1;
