/** Named fault scenarios: the first of their seeds. The gate runs more of those about storage (`.ci/run`); all: `npm run sim -- --all`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeViolations } from '../../src/testing/checkers.ts';
import { simulate } from './job-sim.ts';
import { SCENARIO_SABOTAGES } from './scenario-sabotages.ts';
import { SCENARIOS, scenarioOf } from './scenarios.ts';

const SEEDS = 50;

describe('a job in a named scenario', () => {
  for (const scenario of SCENARIOS) {
    test(`${scenario.name}: ${scenario.title}`, async () => {
      const met = new Set<string>();
      for (let seed = 1; seed <= SEEDS; seed++) {
        const report = await simulate({ seed, scenario });
        const message = `repeat: node tests/sim/main.ts --scenario ${scenario.name} --seed ${seed}\n${describeViolations(report.violations)}`;
        assert.equal(report.violations.length, 0, message);
        for (const what of report.met.keys()) met.add(what);
      }
      // A scenario whose faults nobody meets tests nothing.
      for (const what of scenario.meets) assert.ok(met.has(what), `no seed met: ${what}`);
    });
  }
});

describe('a planted fault is found in its scenario', () => {
  for (const sabotage of SCENARIO_SABOTAGES) {
    test(`${sabotage.scenario}: ${sabotage.name}`, async (context) => {
      const scenario = scenarioOf(sabotage.scenario);
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { violations } = await simulate({ seed, scenario, sabotage });
        if (violations.length === 0) continue;
        context.diagnostic(`seed ${seed}: ${violations[0]!.checker}: ${violations[0]!.message}`);
        return;
      }
      assert.fail(`${SEEDS} seeds did not find that ${sabotage.name}`);
    });
  }
});
