/**
 * Runs seeds: `node tests/sim/main.ts [--seeds N] [--from N] [--seed N] [--trace]`. A failing seed prints its violations and the command
 * that repeats it; the exit code says whether any failed.
 */
import { parseArgs } from 'node:util';
import { describeViolations } from '../../src/testing/checkers.ts';
import { simulate } from './job-sim.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '300' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});

const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
let current = first;
process.on('unhandledRejection', (reason) => {
  console.error(`seed ${current}: unhandled rejection`, reason);
  process.exit(1);
});

const started = performance.now();
const totals = { virtualMs: 0, events: 0, checkpoints: 0, inFlight: 0, starts: 0 };
const failed: number[] = [];
for (current = first; current < first + count; current++) {
  const report = await simulate({ seed: current, trace: values.trace });
  totals.virtualMs += report.virtualMs;
  totals.events += report.events;
  totals.checkpoints += report.checkpoints;
  totals.inFlight += report.inFlightElements;
  totals.starts += report.starts;
  if (values.trace) for (const line of report.trace) console.log(line);
  if (values.seed !== undefined) {
    console.log(JSON.stringify(report.settings, undefined, 2));
    for (const line of report.log) console.log(line);
    for (const failure of report.failures) console.log(`process ended: ${failure.message}`);
    console.log(
      `trace ${report.traceHash}, ${report.events} events, ${report.checkpoints} checkpoints`,
    );
  }
  if (report.violations.length === 0) continue;
  failed.push(current);
  console.log(`seed ${current} FAILED\n${describeViolations(report.violations)}`);
  console.log(`  repeat: node tests/sim/main.ts --seed ${current}`);
}
const seconds = (performance.now() - started) / 1000;
console.log(
  `${count - failed.length} of ${count} seeds passed in ${seconds.toFixed(1)} s: ${(totals.virtualMs / 1000).toFixed(0)} virtual s, ${totals.events} events, ${totals.checkpoints} checkpoints with ${totals.inFlight} elements in flight, ${totals.starts} starts`,
);
if (failed.length > 0) process.exitCode = 1;
