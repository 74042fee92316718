/**
 * Kafka to Kafka in the simulator: one seed runs a counting job with everything that the seed says goes wrong, in the job, the store and the
 * broker; then readers of committed records judge.
 */
import { kafkaSink } from '../../connectors/kafka/kafka-sink.ts';
import { kafkaSource } from '../../connectors/kafka/kafka-source.ts';
import { RecordBatchBuilder } from '../../connectors/kafka/record-batch-builder.ts';
import { NO_PRODUCER } from '../../connectors/kafka/transport.ts';
import { isMillraceError } from '../../src/base/errors.ts';
import { jsonMessages, textMessages } from '../../src/connector/message-format.ts';
import type { MalformedRecord } from '../../src/connector/source.ts';
import type { Sink } from '../../src/connector/sink.ts';
import { WatermarkStrategy } from '../../src/connector/watermark-strategies.ts';
import { outputTag } from '../../src/operators/output-tag.ts';
import { valueState } from '../../src/state/descriptor.ts';
import {
  checkExactlyOnce,
  checkKeyOrder,
  checkSameResults,
  type Violation,
} from '../../src/testing/checkers.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { CheckpointAudit } from '../../src/testing/checkpoint-audit.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { type BrokerFaults, CALM_BROKER, SimBroker } from '../../src/testing/sim-broker.ts';
import { SimDisks } from '../../src/testing/sim-disk.ts';
import { SimJob } from '../../src/testing/sim-job.ts';
import { SimBucket } from '../../src/testing/sim-store.ts';
import { CALM_STORE } from '../../src/testing/sim-store-faults.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import type { Infer } from '../../src/types/schema.ts';
import { t } from '../../src/types/t.ts';
import { scheduleFaults } from './faults.ts';
import { drawSettings, type Settings } from './settings.ts';

export const INPUT = t.struct({ key: t.string(), amount: t.int32() });
type Input = Infer<typeof INPUT>;

export const RESULT = t.struct({ key: t.string(), count: t.int32(), sum: t.int64() });
export type Result = Infer<typeof RESULT>;

/** A message of the input topic: a record, or text that is none. */
interface Message {
  readonly text: string;
  readonly record: Input | undefined;
}

export interface KafkaSettings extends Settings {
  /** Of a message, that it cannot be read. */
  readonly poisonProbability: number;
  readonly inputPartitions: number;
  readonly outputPartitions: number;
  readonly brokerFaults: BrokerFaults;
  /** When the broker is out of reach, and for how long. */
  readonly outages: readonly { readonly atMs: number; readonly durationMs: number }[];
  readonly transactionTimeoutMs: number;
  readonly verifiesBatches: boolean;
  readonly batchBytes: number;
}

/** One kind of fault alone. */
export interface KafkaScenario {
  readonly name: string;
  readonly title: string;
  settingsOf(drawn: KafkaSettings): KafkaSettings;
}

/** A fault planted on purpose. */
export interface KafkaSabotage {
  readonly name: string;
  sinkOf?(sink: Sink<Result>): Sink<Result>;
  storeOf?(store: ObjectStore): ObjectStore;
  settingsOf?(settings: KafkaSettings): KafkaSettings;
}

export interface KafkaSimReport {
  readonly settings: KafkaSettings;
  readonly violations: readonly Violation[];
  readonly traceHash: string;
  readonly trace: readonly string[];
  readonly checkpoints: number;
  readonly starts: number;
  readonly failures: readonly Error[];
  readonly log: readonly string[];
}

const LONG_TIMEOUT_MS = 600_000;
const RECOVERY_MS_MAX = 1_200_000;
const AFTERMATH_MS = 10_000;
const EVENTS_MAX = 4_000_000;

export function drawKafkaSettings(seed: number): KafkaSettings {
  const settings = drawSettings(seed);
  const random = new SeededRandom(seed).fork('kafka settings');
  const bad = random.chance(0.6);
  const late = bad && random.chance(0.5);
  return {
    ...settings,
    config: { ...settings.config, 'execution.checkpointing.mode': 'exactly-once' },
    poisonProbability: random.pick([0, 0, 0.05]),
    inputPartitions: random.between(1, 4),
    outputPartitions: random.between(1, 3),
    brokerFaults: {
      latencyLeastMs: 0.1,
      latencyMostMs: random.pick([1, 5, 50]),
      notReachedProbability: bad ? random.pick([0, 0.02, 0.1]) : 0,
      lostAnswerProbability: bad ? random.pick([0, 0.02, 0.1]) : 0,
      lateProbability: late ? 0.05 : 0,
      lateMostMs: 10_000,
      moveProbability: bad ? random.pick([0, 0.02]) : 0,
    },
    outages: Array.from({ length: random.int(3) }, () => ({
      atMs: random.float(0, settings.healedAtMs),
      durationMs: random.float(1, random.pick([100, 5000])),
    })),
    // A quarter of the jobs may be down for longer than the broker waits: they must say so.
    transactionTimeoutMs: random.chance(0.25) ? random.pick([1500, 3000]) : LONG_TIMEOUT_MS,
    verifiesBatches: random.chance(0.5),
    batchBytes: random.pick([1024, 65_536]),
  };
}

export async function simulateKafka({
  seed,
  trace = false,
  sabotage,
  scenario,
}: {
  readonly seed: number;
  readonly scenario?: KafkaScenario | undefined;
  readonly trace?: boolean;
  readonly sabotage?: KafkaSabotage;
}): Promise<KafkaSimReport> {
  const all = drawKafkaSettings(seed);
  const drawn = scenario === undefined ? all : scenario.settingsOf(all);
  const settings = sabotage?.settingsOf?.(drawn) ?? drawn;
  const sim = new Simulation({ seed, trace });
  const bucket = new SimBucket(sim.scheduler, settings.storeFaults);
  const broker = new SimBroker(sim.scheduler, settings.brokerFaults);
  broker.verifiesBatches = settings.verifiesBatches;
  const audit = new CheckpointAudit(bucket);
  const input = drawInput(settings);
  broker.createTopic('in', settings.inputPartitions);
  broker.createTopic('out', settings.outputPartitions);
  broker.createTopic('poison', 1);
  const job = createJob({ settings, sim, bucket, broker, input }, sabotage);
  scheduleFaults({ sim, job, settings });
  scheduleInput(sim, broker, input, settings);
  scheduleBroker(sim, broker, settings);
  sim.at(settings.healedAtMs, 'heals', () => {
    bucket.faults = CALM_STORE;
  });
  job.start();
  let events = 0;
  const outcome = await sim.run({
    until: () => job.isOver || (++events % 1000 === 0 && saysLoss(job)),
    maxVirtualMs: settings.healedAtMs + RECOVERY_MS_MAX,
    eventsMax: EVENTS_MAX,
  });
  // What a zombie left open after the last checkpoint is ended by the broker's timeout.
  await sim.run({
    maxVirtualMs: settings.transactionTimeoutMs + AFTERMATH_MS,
    eventsMax: EVENTS_MAX,
  });
  return {
    settings,
    violations: [
      ...audit.violations,
      ...checkEnd(job, outcome, settings),
      ...checkOutput(job, broker, input, settings),
    ],
    traceHash: sim.scheduler.traceHash,
    trace: sim.scheduler.trace,
    checkpoints: audit.completed,
    starts: job.starts,
    failures: job.failures,
    log: job.processes.flatMap(({ node, logged }) =>
      logged.map(
        ({ atMs, level, message }) => `${atMs.toFixed(3)} ${node.name} ${level} ${message}`,
      ),
    ),
  };
}

interface Scene {
  readonly settings: KafkaSettings;
  readonly sim: Simulation;
  readonly bucket: SimBucket;
  readonly broker: SimBroker;
  readonly input: readonly (readonly Message[])[];
}

function createJob(
  { settings, sim, bucket, broker, input }: Scene,
  sabotage?: KafkaSabotage,
): SimJob {
  const stops = Object.fromEntries(input.map((records, partition) => [partition, records.length]));
  return new SimJob({
    simulation: sim,
    bucket,
    name: 'job',
    workersMax: settings.workersMax,
    detached: settings.detached,
    disks: new SimDisks(),
    configOf: (start) => ({
      ...settings.config,
      'parallelism.default': settings.parallelisms[start] ?? settings.parallelisms.at(-1)!,
    }),
    storeOf: (node) => sabotage?.storeOf?.(bucket.of(node)) ?? bucket.of(node),
    build: (env, { world }) => {
      const cluster = broker.of(world.node);
      const timeoutMs = settings.transactionTimeoutMs;
      const sink = kafkaSink<Result>({
        cluster,
        topic: 'out',
        value: jsonMessages(RESULT),
        key: ({ key }) => key,
        transactionalIdPrefix: 'sim',
        guarantee: settings.delivery,
        transactionTimeout: timeoutMs,
        longestOutage: timeoutMs - 1,
        batchBytes: settings.batchBytes,
      });
      const source = env
        .fromSource(
          kafkaSource({
            cluster,
            topics: ['in'],
            value: jsonMessages(INPUT),
            until: { offsets: { in: stops } },
            groupId: 'sim',
            malformed: 'dead-letter',
          }),
          WatermarkStrategy.noWatermarks<Input>(),
        )
        .uid('source');
      source
        .getSideOutput(outputTag<MalformedRecord>('dead-letter'))
        .sinkTo(
          kafkaSink<MalformedRecord>({
            ...{ cluster, topic: 'poison', transactionalIdPrefix: 'sim-poison' },
            ...{ transactionTimeout: timeoutMs, longestOutage: timeoutMs - 1 },
            value: textMessages({
              encode: ({ raw }) => Buffer.from(raw as Uint8Array).toString(), // Kafka's raw input is bytes
              decode: () => ({ ok: false, reason: 'it is only written' }),
            }),
          }),
        )
        .uid('poison');
      source
        .keyBy(({ key }) => key, t.string())
        .process(
          {
            state: {
              count: valueState(t.int32(), { default: 0 }),
              sum: valueState(t.int64(), { default: 0 }),
            },
            processElement({ key, amount }, { state }, out: { collect(value: Result): void }) {
              state.count.value += 1;
              state.sum.value += amount;
              out.collect({ key, count: state.count.value, sum: state.sum.value });
            },
          },
          RESULT,
        )
        .uid('count')
        .sinkTo(sabotage?.sinkOf?.(sink) ?? sink)
        .uid('sink');
    },
  });
}

/** A key lives in one partition, so that its order is defined. */
function drawInput({
  seed,
  inputPartitions,
  recordsPerSplit,
  keysPerSplit,
  poisonProbability,
}: KafkaSettings): Message[][] {
  const random = new SeededRandom(seed).fork('kafka input');
  const encode = (record: Input): string =>
    Buffer.from(jsonMessages(INPUT).encode(record)).toString();
  return Array.from({ length: inputPartitions }, (_, partition) =>
    Array.from({ length: recordsPerSplit }, (__, i) => {
      if (random.chance(poisonProbability))
        return { text: `poison ${partition}.${i}`, record: undefined };
      const record = {
        key: `k${partition}-${random.int(keysPerSplit)}`,
        amount: random.between(-100, 100),
      };
      return { text: encode(record), record };
    }),
  );
}

/** Somebody writes to the input topic while the job runs. */
function scheduleInput(
  sim: Simulation,
  broker: SimBroker,
  input: readonly (readonly Message[])[],
  { healedAtMs, chunkMax }: KafkaSettings,
): void {
  const random = sim.random('input');
  input.forEach((messages, partition) => {
    const at: number[] = [];
    for (let from = 0; from < messages.length; from += chunkMax)
      at.push(random.float(0, healedAtMs));
    at.sort((a, b) => a - b).forEach((atMs, chunk) => {
      sim.at(atMs, 'writes input', () => {
        const builder = new RecordBatchBuilder();
        for (const { text } of messages.slice(chunk * chunkMax, (chunk + 1) * chunkMax))
          builder.append(null, Buffer.from(text), Math.floor(atMs), undefined);
        const batch = builder.build(
          { ...NO_PRODUCER, baseSequence: -1, transactional: false },
          'none',
        );
        broker.log('in', partition)!.append(batch);
      });
    });
  });
}

function scheduleBroker(
  sim: Simulation,
  broker: SimBroker,
  { outages, healedAtMs }: KafkaSettings,
): void {
  let down = 0;
  for (const { atMs, durationMs } of outages) {
    sim.at(atMs, 'broker down', () => {
      down++;
      broker.down = true;
    });
    sim.at(atMs + durationMs, 'broker up', () => {
      broker.down = --down > 0;
    });
  }
  sim.at(healedAtMs, 'broker heals', () => {
    broker.faults = CALM_BROKER;
  });
}

/** F8: a job that lost a transaction to the broker's timeout says so. */
const LOSS = 'KAFKA_COMMIT_REFUSED';

const saysLoss = ({ failures, processes }: SimJob): boolean =>
  failures.some((failure) => isMillraceError(failure) && failure.code === LOSS) ||
  processes.some(({ logged }) =>
    logged.some(({ message }) => message.includes('refuses to commit the transaction')),
  );

function checkEnd(job: SimJob, outcome: string, settings: KafkaSettings): Violation[] {
  const mayLose = settings.transactionTimeoutMs < LONG_TIMEOUT_MS;
  if (mayLose && saysLoss(job)) return [];
  if (job.fatal !== undefined) {
    const { message, stack } = job.fatal;
    return [{ checker: 'fatal', message, evidence: { stack } }];
  }
  if (job.end !== undefined) return [];
  const message = `the job did not end: ${outcome}`;
  return [
    { checker: 'liveness', message, evidence: { failures: job.failures.map(String).slice(-5) } },
  ];
}

function checkOutput(
  job: SimJob,
  broker: SimBroker,
  input: readonly (readonly Message[])[],
  { delivery }: KafkaSettings,
): Violation[] {
  const reference = countAll(input.flat().flatMap(({ record }) => record ?? []));
  const ended = job.end !== undefined;
  const partitions = broker
    .committed('out')
    .map((values) => values.map((text) => JSON.parse(text) as Result)); // written by jsonMessages(RESULT)
  const found: Violation[] = [];
  const exactly = delivery === 'exactly-once';
  for (const results of exactly ? partitions : [])
    found.push(...checkKeyOrder(results.map(({ key, count }) => ({ key, order: count }))));
  const idOf = ({ key, count }: Result): string => `${key}#${count}`;
  const output = partitions.flat();
  // A job that gave up has shown a part: nothing in it twice, and nothing that is not right.
  const expected = ended
    ? reference
    : reference.filter((result) => output.some((seen) => idOf(seen) === idOf(result)));
  found.push(...checkExactlyOnce(expected.map(idOf), output.map(idOf), delivery));
  const poison = input.flat().flatMap(({ text, record }) => (record === undefined ? [text] : []));
  const letters = broker.committed('poison').flat();
  found.push(
    ...checkExactlyOnce(ended ? poison : poison.filter((text) => letters.includes(text)), letters),
  );
  if (ended && exactly)
    found.push(...checkSameResults('per key', asSums(reference), asSums(output)));
  return found;
}

const asSums = (results: readonly Result[]): Map<string, number> =>
  new Map(results.map(({ key, count, sum }) => [`${key}#${count}`, sum]));

function countAll(input: readonly Input[]): Result[] {
  const states = new Map<string, { count: number; sum: number }>();
  return input.map(({ key, amount }) => {
    const before = states.get(key) ?? { count: 0, sum: 0 };
    const after = { count: before.count + 1, sum: before.sum + amount };
    states.set(key, after);
    return { key, ...after };
  });
}
