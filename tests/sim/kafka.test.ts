/** Kafka to Kafka through everything that goes wrong. More seeds: `node tests/sim/kafka-main.ts --seeds 10000`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeViolations } from '../../src/testing/checkers.ts';
import { KAFKA_SABOTAGES } from './kafka-sabotages.ts';
import { KAFKA_SCENARIOS } from './kafka-scenarios.ts';
import { simulateKafka } from './kafka-sim.ts';

const SEEDS = 100;
const BATCH = 50;
const SCENARIO_SEEDS = 30;
const SABOTAGE_SEEDS_MAX = 200;

describe('Kafka to Kafka through crashes, zombies, lost and late requests, outages and rescaling', () => {
  for (let first = 1; first <= SEEDS; first += BATCH) {
    test(`seeds ${first} to ${first + BATCH - 1}`, async () => {
      for (let seed = first; seed < first + BATCH; seed++) {
        const { violations } = await simulateKafka({ seed });
        const message = `repeat: node tests/sim/kafka-main.ts --seed ${seed}\n${describeViolations(violations)}`;
        assert.equal(violations.length, 0, message);
      }
    });
  }

  for (const scenario of KAFKA_SCENARIOS)
    test(`${scenario.name}: ${scenario.title}`, async () => {
      for (let seed = 1; seed <= SCENARIO_SEEDS; seed++) {
        const { violations } = await simulateKafka({ seed, scenario });
        const message = `repeat: node tests/sim/kafka-main.ts --scenario ${scenario.name} --seed ${seed}\n${describeViolations(violations)}`;
        assert.equal(violations.length, 0, message);
      }
    });

  test('one seed is one history', async () => {
    const [first, second] = [await simulateKafka({ seed: 11 }), await simulateKafka({ seed: 11 })];
    assert.equal(first.traceHash, second.traceHash);
  });
});

describe('a fault planted around Kafka is found', () => {
  for (const sabotage of KAFKA_SABOTAGES) {
    test(sabotage.name, async (context) => {
      for (let seed = 1; seed <= SABOTAGE_SEEDS_MAX; seed++) {
        const { violations } = await simulateKafka({ seed, sabotage });
        if (violations.length === 0) continue;
        context.diagnostic(`seed ${seed}: ${violations[0]!.checker}: ${violations[0]!.message}`);
        return;
      }
      assert.fail(`${SABOTAGE_SEEDS_MAX} seeds did not find that ${sabotage.name}`);
    });
  }
});
