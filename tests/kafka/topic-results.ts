/** Results in a topic, as readers of committed records see them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { kafkaSource } from '../../connectors/kafka/index.ts';
import { findClassPath } from '../../scripts/services/kafka.ts';
import { jsonMessages } from '../../src/connector/message-format.ts';
import { discover, readerContext, readToEnd } from '../connector-fixture.ts';
import type { TestCluster } from './kafka-fixture.ts';
import { type KillRunOptions, type Results, STALL_MS, type Total } from './result-contract.ts';

interface Result extends Total {
  readonly key: string;
}

export class TopicResults implements Results {
  readonly #options: KillRunOptions;
  readonly #kafka: TestCluster;
  readonly #topic: string;
  readonly jobArgs: readonly string[];

  constructor(options: KillRunOptions, kafka: TestCluster, topic: string) {
    this.#options = options;
    this.#kafka = kafka;
    this.#topic = topic;
    this.jobArgs = ['--output', topic];
  }

  async watch(messages: number, signal: AbortSignal): Promise<void> {
    const source = kafkaSource({
      cluster: this.#kafka.cluster,
      topics: [this.#topic],
      value: jsonMessages<Result>(),
    });
    const reader = source.createReader(readerContext());
    const last = new Map<string, number>();
    let seen = 0;
    const readSplit = async (state: Parameters<typeof reader.openSplit>[0]): Promise<void> => {
      const split = await reader.openSplit(state);
      while (seen < messages && !signal.aborted) {
        const batch = await Promise.race([split.poll(1000), stalled(() => seen, signal)]);
        for (const { key, count } of batch?.values ?? []) {
          assert.equal(
            count,
            (last.get(key) ?? 0) + 1,
            `the next count of ${key} that a reader sees`,
          );
          last.set(key, count);
          seen++;
        }
        if (seen >= messages) done.abort();
      }
    };
    const done = new AbortController();
    signal.addEventListener('abort', () => done.abort(), { once: true });
    const finished = new Promise<void>((resolve) => {
      done.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      const reading = Promise.all((await discover(source)).splits.map(readSplit));
      await Promise.race([reading, finished]);
    } finally {
      await reader.close();
    }
  }

  async verify(expected: ReadonlyMap<string, Total>, messages: number): Promise<void> {
    const { values } = await readToEnd(
      kafkaSource({
        cluster: this.#kafka.cluster,
        topics: [this.#topic],
        value: jsonMessages<Result>(),
        until: 'latest',
      }),
    );
    assert.equal(values.length, messages, 'results in the topic');
    const last = new Map(values.map(({ key, count, sum }) => [key, { count, sum }]));
    assert.deepEqual(new Map([...last].sort()), new Map([...expected].sort()));
    if (this.#options.readTwice) await this.#verifyWithKafkasOwn();
  }

  /** The same topic as Kafka's own consumer reads it. */
  async #verifyWithKafkasOwn(): Promise<void> {
    const { broker, messages, log } = this.#options;
    const classPath = await findClassPath('kafka-tools');
    if (typeof classPath !== 'string') {
      log(`not read with Kafka's own consumer: ${classPath.missing}`);
      return;
    }
    const { stdout } = await promisify(execFile)(
      'java',
      [
        ...['-cp', classPath, 'org.apache.kafka.tools.consumer.ConsoleConsumer'],
        ...['--bootstrap-server', broker.bootstrapServers, '--topic', this.#topic],
        ...['--from-beginning', '--isolation-level', 'read_committed', '--timeout-ms', '8000'],
      ],
      { maxBuffer: 1 << 30 },
    );
    const last = new Map<string, number>();
    const lines = stdout.trimEnd().split('\n');
    for (const line of lines) {
      const { key, count } = JSON.parse(line) as Result; // written by the job
      assert.equal(
        count,
        (last.get(key) ?? 0) + 1,
        `the next count of ${key} in Kafka's own consumer`,
      );
      last.set(key, count);
    }
    assert.equal(lines.length, messages, "results that Kafka's own consumer reads");
    log(`Kafka's own consumer reads the same ${messages} results`);
  }
}

/** Rejects when nothing new has been seen for long. */
async function stalled(seen: () => number, signal: AbortSignal): Promise<never> {
  const before = seen();
  await delay(STALL_MS, undefined, { ref: false, signal }).catch(() => new Promise(() => {}));
  if (seen() !== before) return new Promise(() => {});
  throw new assert.AssertionError({ message: `no result for ${STALL_MS} ms; ${before} were seen` });
}
