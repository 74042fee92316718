/**
 * Kafka to Kafka, exactly once, through a keyed aggregation, in one process at parallelism 1, against
 *   - the same client alone: the same topics, formats and transactions every second, and a plain `Map` for state;
 *   - Kafka Streams (Java), with exactly-once, one thread, state in memory with its changelog topic, a commit every second.
 *
 * A real broker on the same machine takes a share of the processor from all of them; CPU seconds are those of the process itself, its start
 * included. What is not measured: state larger than memory, more than one process, a network between client and broker.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { kafkaSink, kafkaSource } from '../connectors/kafka/index.ts';
import { findClassPath, startKafka } from '../scripts/services/kafka.ts';
import { isMissing } from '../scripts/services/service.ts';
import { jsonMessages } from '../src/index.ts';
import { discover, readerContext, SinkAttempt } from '../tests/connector-fixture.ts';
import { TestCluster } from '../tests/kafka/kafka-fixture.ts';
import { EVENT, TOTAL } from './kafka-records.ts';

const RECORDS = 1_000_000;
const RECORDS_QUICK = 100_000;
const KEYS = 10_000;
const PARTITIONS = 4;
const COMMIT_INTERVAL_MS = 1000;

interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export async function run({
  quick,
}: {
  readonly quick: boolean;
}): Promise<Readonly<Record<string, number>>> {
  const broker = await startKafka();
  if (isMissing(broker)) {
    console.error(`no Kafka: ${broker.missing}`);
    return {};
  }
  const dir = await mkdtemp(`${tmpdir()}/millrace-bench-`);
  try {
    const kafka = new TestCluster(broker.bootstrapServers);
    const records = quick ? RECORDS_QUICK : RECORDS;
    const input = await fill(kafka, records);
    const outputs = [await kafka.topic(PARTITIONS), await kafka.topic(PARTITIONS)] as const;
    const client = await clientAlone(kafka, input, outputs[0]);
    const streams = await streamsOf(kafka, {
      bootstrapServers: broker.bootstrapServers,
      input,
      records,
      dir,
    });
    const job = await jobOf(broker.bootstrapServers, input, outputs[1], dir);
    for (const output of outputs) await checkOutput(kafka, output, records);
    return {
      'job records/s': records / job.seconds,
      'client alone records/s': records / client.seconds,
      'job / client alone': client.seconds / job.seconds,
      'job records per CPU second': records / job.cpuSeconds,
      'client alone records per CPU second': records / client.cpuSeconds,
      ...(streams === undefined
        ? {}
        : {
            'Kafka Streams records/s': records / streams.seconds,
            'Kafka Streams records per CPU second': records / streams.cpuSeconds,
            'job / Kafka Streams per CPU second': streams.cpuSeconds / job.cpuSeconds,
            'job / Kafka Streams': streams.seconds / job.seconds,
          }),
    };
  } finally {
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** A figure of a run that lost or repeated something means nothing. */
async function checkOutput(kafka: TestCluster, topic: string, records: number): Promise<void> {
  const { length } = await kafka.committed(topic);
  if (length !== records) throw new TypeError(`${length} results for ${records} records`);
}

async function fill(kafka: TestCluster, records: number): Promise<string> {
  const topic = await kafka.topic(PARTITIONS);
  const sink = await SinkAttempt.open(
    kafka.sink({ topic, guarantee: 'at-least-once', key: (text) => text.slice(8, 14) }),
  );
  for (let done = 0; done < records;) {
    const values: string[] = [];
    for (; values.length < 1000 && done < records; done++) {
      const key = `k${String((done * 7919) % KEYS).padStart(5, '0')}`;
      values.push(
        JSON.stringify({ key, amount: done % 1000, note: 'some words that come along with it' }),
      );
    }
    await sink.write(...values);
  }
  await sink.writer.flush(false);
  await sink.close();
  return topic;
}

async function clientAlone(kafka: TestCluster, input: string, output: string): Promise<Cost> {
  const source = kafkaSource({
    cluster: kafka.cluster,
    topics: [input],
    value: jsonMessages(EVENT),
    until: 'latest',
  });
  const sink = await SinkAttempt.open(
    kafkaSink({
      cluster: kafka.cluster,
      topic: output,
      value: jsonMessages(TOTAL),
      key: ({ key }) => key,
      transactionalIdPrefix: 'client',
    }),
  );
  const totals = new Map<string, { count: number; sum: number }>();
  const cpuBefore = process.cpuUsage();
  const started = performance.now();
  const reader = source.createReader(readerContext());
  let checkpoint = 0;
  let committed = started;
  let committing = Promise.resolve();
  const commit = async (): Promise<void> => {
    const committables = await sink.prepare(++checkpoint);
    await committing;
    committing = sink.committer!.commit(committables); // exactly-once has one
  };
  const splits = await Promise.all(
    (await discover(source)).splits.map((state) => reader.openSplit(state)),
  );
  for (let open = splits; open.length > 0;) {
    const left: typeof open = [];
    for (const split of open) {
      const batch = await split.poll(1024);
      if (batch === null) continue;
      left.push(split);
      const values = batch.values.map(({ key, amount }) => {
        const total = totals.get(key) ?? { count: 0, sum: 0 };
        total.count++;
        total.sum += amount;
        totals.set(key, total);
        return { key, ...total };
      });
      await sink.writer.write({ values, timestamps: batch.timestamps });
      if (performance.now() - committed < COMMIT_INTERVAL_MS) continue;
      committed = performance.now();
      await commit();
    }
    open = left;
  }
  await commit();
  await committing;
  const seconds = (performance.now() - started) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  await reader.close();
  await sink.close();
  return { seconds, cpuSeconds: (cpu.user + cpu.system) / 1e6 };
}

/** Undefined where there is no Java compiler. */
async function streamsOf(
  kafka: TestCluster,
  {
    bootstrapServers,
    input,
    records,
    dir,
  }: { bootstrapServers: string; input: string; records: number; dir: string },
): Promise<Cost | undefined> {
  const classPath = await findClassPath('kafka-streams');
  if (typeof classPath !== 'string') {
    console.error(`no Kafka Streams: ${classPath.missing}`);
    return undefined;
  }
  const run = promisify(execFile);
  const classes = `${dir}/classes`;
  await run('javac', [
    ...['-cp', classPath, '-d', classes, `${import.meta.dirname}/kafka-streams/Counting.java`],
  ]);
  const output = await kafka.topic(PARTITIONS);
  const { stdout } = await run('java', [
    ...['-cp', `${classPath}:${classes}`, 'Counting', bootstrapServers, input, output],
    ...[String(records), `${dir}/streams`],
  ]);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Cost; // what it prints last
}

async function jobOf(brokers: string, input: string, output: string, dir: string): Promise<Cost> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...[`${import.meta.dirname}/kafka-job.ts`, '--brokers', brokers, '--input', input],
    ...['--output', output, '--dir', dir],
  ]);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Cost; // what the job prints last
}
