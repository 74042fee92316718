/** The part of the simulation that every change has to pass. More seeds: `node tests/sim/main.ts --seeds 10000`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeViolations } from '../../src/testing/checkers.ts';
import { simulate } from './job-sim.ts';
import { SABOTAGES } from './sabotages.ts';

const SEEDS = 300;
const BATCH = 50;
const SABOTAGE_SEEDS_MAX = 100;

describe('a job through crashes, zombies, store faults and rescaling', () => {
  for (let first = 1; first <= SEEDS; first += BATCH) {
    test(`seeds ${first} to ${first + BATCH - 1}`, async () => {
      for (let seed = first; seed < first + BATCH; seed++) {
        const { violations } = await simulate({ seed });
        const message = `repeat: node tests/sim/main.ts --seed ${seed}\n${describeViolations(violations)}`;
        assert.equal(violations.length, 0, message);
      }
    });
  }
});

describe('a planted fault is found', () => {
  for (const sabotage of SABOTAGES) {
    test(sabotage.name, async (context) => {
      for (let seed = 1; seed <= SABOTAGE_SEEDS_MAX; seed++) {
        const { violations } = await simulate({ seed, sabotage });
        if (violations.length === 0) continue;
        context.diagnostic(`seed ${seed}: ${violations[0]!.checker}: ${violations[0]!.message}`);
        return;
      }
      assert.fail(`${SABOTAGE_SEEDS_MAX} seeds did not find that ${sabotage.name}`);
    });
  }
});
