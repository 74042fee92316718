/** Named fault scenarios of a job between two Kafka topics: the drawn settings, calm but for one kind of fault. */
import { invalid } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { CALM_BROKER } from '../../src/testing/sim-broker.ts';
import { CALM_STORE } from '../../src/testing/sim-store-faults.ts';
import type { KafkaScenario, KafkaSettings } from './kafka-sim.ts';
import { CRASHES, drawFaults } from './short-settings.ts';

/** Few records, nothing that goes wrong. */
function calm(drawn: KafkaSettings, name: string): [KafkaSettings, SeededRandom] {
  const random = new SeededRandom(drawn.seed).fork(`kafka ${name}`);
  const settings: KafkaSettings = {
    ...drawn,
    recordsPerSplit: random.between(15, 60),
    slowShare: 0,
    slowReads: undefined,
    storeFaults: CALM_STORE,
    brokerFaults: { ...CALM_BROKER, latencyMostMs: random.pick([1, 20]) },
    outages: [],
    poisonProbability: 0,
    transactionTimeoutMs: 600_000,
    faults: drawFaults(random.fork('faults'), CRASHES, { most: 3 }),
    healedAtMs: 600,
  };
  return [settings, random];
}

export const KAFKA_SCENARIOS: readonly KafkaScenario[] = [
  {
    name: 'F6',
    title: 'jobs are killed between prepare, record and commit',
    settingsOf: (drawn) => {
      const [settings, random] = calm(drawn, 'F6');
      const config = { ...settings.config, 'execution.checkpointing.interval': 20 };
      return { ...settings, config, faults: drawFaults(random, CRASHES, { most: 8 }) };
    },
  },
  {
    name: 'F8',
    title: 'the job is down for longer than the transaction timeout',
    settingsOf: (drawn) => {
      const [settings, random] = calm(drawn, 'F8');
      // Shorter than the interval would be refused at the start.
      const config = { ...settings.config, 'execution.checkpointing.interval': 50 };
      return { ...settings, config, transactionTimeoutMs: random.pick([300, 1000]) };
    },
  },
  {
    name: 'F24',
    title: 'a part of the messages cannot be read',
    settingsOf: (drawn) => {
      const [settings, random] = calm(drawn, 'F24');
      return { ...settings, poisonProbability: random.pick([0.05, 0.5, 1]) };
    },
  },
  {
    name: 'F30',
    title: 'leaders move, the broker goes away and comes back',
    settingsOf: (drawn) => {
      const [settings, random] = calm(drawn, 'F30');
      const outages = Array.from({ length: random.between(1, 3) }, () => ({
        atMs: random.float(0, 500),
        durationMs: random.float(1, random.pick([100, 3000])),
      }));
      const moveProbability = random.pick([0.02, 0.1]);
      return { ...settings, outages, brokerFaults: { ...settings.brokerFaults, moveProbability } };
    },
  },
  {
    name: 'F31',
    title: 'requests take effect long after their sender gave up',
    settingsOf: (drawn) => {
      const [settings, random] = calm(drawn, 'F31');
      const late = { lateProbability: random.pick([0.05, 0.2]), lateMostMs: 5000 };
      return {
        ...settings,
        verifiesBatches: true,
        brokerFaults: { ...settings.brokerFaults, ...late, lostAnswerProbability: 0.05 },
      };
    },
  },
];

export function kafkaScenarioOf(name: string): KafkaScenario {
  const scenario = KAFKA_SCENARIOS.find((one) => one.name === name);
  if (scenario !== undefined) return scenario;
  const known = KAFKA_SCENARIOS.map((one) => one.name).join(', ');
  throw invalid('NO_SUCH_SCENARIO', `there is no scenario ${name}; there are ${known}`);
}
