/**
 * Kafka to Kafka under kill -9, judged by a reader of committed records that runs all the while.
 *
 * A producer feeds keyed amounts; `counting-job.ts` counts and sums them by key, in processes that are killed at random times and at named points
 * between the phases of the commit, or frozen and let go when others have taken over; the broker is frozen, killed and started again. The
 * reader sees each count of each key exactly once and in order, or the run fails at that record.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { kafkaSource } from '../../connectors/kafka/index.ts';
import { findClassPath, type KafkaService } from '../../scripts/services/kafka.ts';
import { jsonMessages } from '../../src/connector/message-format.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { discover, readerContext, readToEnd, SinkAttempt, TestCluster } from './kafka-fixture.ts';

export interface KillRunOptions {
  readonly broker: KafkaService;
  readonly seed: number;
  readonly messages: number;
  readonly kills: number;
  readonly brokerRestarts: number;
  /** At the end the results are also read by Kafka's own consumer. */
  readonly readTwice: boolean;
  readonly log: (line: string) => void;
}

export interface KillRunOutcome {
  readonly kills: Readonly<Record<string, number>>;
  readonly brokerRestarts: number;
  readonly seconds: number;
}

interface Result {
  readonly key: string;
  readonly count: number;
  readonly sum: number;
}

const JOB = `${import.meta.dirname}/counting-job.ts`;
const KEYS = 50;
const DEATHS = [
  ...['after-prepare', 'before-commit', 'after-commit', 'random', 'random'],
  'frozen', // SIGSTOP; it comes back as a zombie, while another process has taken over
] as const;
const ZOMBIE_LEAST_MS = 500;
const ZOMBIE_MOST_MS = 4000;
const BROKER_PAUSE_MS = 2500;
const FEED_INTERVAL_MS = 20;
const LIFE_MS = 1500;
const STARTUP_MS = 800;
const STALL_MS = 120_000;

export async function killRun(options: KillRunOptions): Promise<KillRunOutcome> {
  const startedMs = performance.now();
  const kafka = new TestCluster(options.broker.bootstrapServers);
  const [input, output] = [await kafka.topic(4), await kafka.topic(3)];
  const dir = await mkdtemp(`${tmpdir()}/millrace-kafka-kill-`);
  const job = new KilledJob({ ...options, input, output, dir });
  const stop = new AbortController();
  try {
    const expected = new Map<string, { count: number; sum: number }>();
    const reader = watch(kafka, output, options.messages, stop.signal);
    const fed = feed(kafka, { ...options, input, job }, expected, stop.signal);
    const judged = Promise.all([reader, fed]).finally(() => stop.abort());
    await Promise.all([judged, job.run(stop.signal)]);
    await verify(kafka, output, expected, options.messages);
    if (options.readTwice) await verifyWithKafkasOwn(options, output);
    return {
      kills: job.kills,
      brokerRestarts: job.brokerRestarts,
      seconds: Math.round((performance.now() - startedMs) / 1000),
    };
  } finally {
    stop.abort();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Everything again, from the beginning. */
async function verify(
  kafka: TestCluster,
  topic: string,
  expected: ReadonlyMap<string, { count: number; sum: number }>,
  messages: number,
): Promise<void> {
  const { values } = await readToEnd(
    kafkaSource({
      cluster: kafka.cluster,
      topics: [topic],
      value: jsonMessages<Result>(),
      until: 'latest',
    }),
  );
  assert.equal(values.length, messages, 'results in the topic');
  const last = new Map(values.map(({ key, count, sum }) => [key, { count, sum }]));
  assert.deepEqual(new Map([...last].sort()), new Map([...expected].sort()));
}

/** The same topic as Kafka's own consumer reads it. */
async function verifyWithKafkasOwn(
  { broker, messages, log }: KillRunOptions,
  topic: string,
): Promise<void> {
  const classPath = await findClassPath('kafka-tools');
  if (typeof classPath !== 'string') {
    log(`not read with Kafka's own consumer: ${classPath.missing}`);
    return;
  }
  const { stdout } = await promisify(execFile)(
    'java',
    [
      ...['-cp', classPath, 'org.apache.kafka.tools.consumer.ConsoleConsumer'],
      ...['--bootstrap-server', broker.bootstrapServers, '--topic', topic, '--from-beginning'],
      ...['--isolation-level', 'read_committed', '--timeout-ms', '8000'],
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

async function feed(
  kafka: TestCluster,
  {
    seed,
    messages,
    kills,
    input,
    job,
  }: KillRunOptions & {
    readonly input: string;
    readonly job: KilledJob;
  },
  expected: Map<string, { count: number; sum: number }>,
  signal: AbortSignal,
): Promise<void> {
  const random = new SeededRandom(seed).fork('feed');
  const sink = await SinkAttempt.open(
    kafka.sink({
      topic: input,
      guarantee: 'at-least-once',
      key: (text) => (JSON.parse(text) as { key: string }).key,
    }),
  );
  const perTurn = Math.ceil((messages * 0.9) / ((Math.max(1, kills) * LIFE_MS) / FEED_INTERVAL_MS));
  try {
    for (let sent = 0; sent < messages && !signal.aborted;) {
      // The last tenth waits for the last kill.
      if (sent > messages * 0.9 && !job.allKilled) {
        await delay(FEED_INTERVAL_MS);
        continue;
      }
      const values: string[] = [];
      for (; values.length < perTurn && sent < messages; sent++) {
        const key = `k${random.int(KEYS)}`;
        const amount = random.int(1000);
        const before = expected.get(key) ?? { count: 0, sum: 0 };
        expected.set(key, { count: before.count + 1, sum: before.sum + amount });
        values.push(JSON.stringify({ key, amount }));
      }
      await sink.write(...values);
      await delay(FEED_INTERVAL_MS);
    }
    await sink.writer.flush(false);
  } finally {
    await sink.close();
  }
}

/** Reads committed results as they come, until all are there. */
async function watch(
  kafka: TestCluster,
  topic: string,
  messages: number,
  signal: AbortSignal,
): Promise<void> {
  const source = kafkaSource({
    cluster: kafka.cluster,
    topics: [topic],
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

/** Rejects when nothing new has been seen for long. */
async function stalled(seen: () => number, signal: AbortSignal): Promise<never> {
  const before = seen();
  await delay(STALL_MS, undefined, { ref: false, signal }).catch(() => new Promise(() => {}));
  if (seen() !== before) return new Promise(() => {});
  throw new assert.AssertionError({ message: `no result for ${STALL_MS} ms; ${before} were seen` });
}

interface KilledJobOptions extends KillRunOptions {
  readonly input: string;
  readonly output: string;
  readonly dir: string;
}

class KilledJob {
  readonly #options: KilledJobOptions;
  readonly #random: SeededRandom;
  readonly kills: Record<string, number> = {};
  brokerRestarts = 0;
  /** Every kill and broker restart has happened. */
  allKilled = false;
  readonly #zombies: ChildProcess[] = [];

  constructor(options: KilledJobOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed).fork('kills');
  }

  async run(signal: AbortSignal): Promise<void> {
    const { kills, brokerRestarts, log } = this.#options;
    let restarting: Promise<unknown> = Promise.resolve();
    let killed = 0;
    while (!signal.aborted) {
      if (killed >= kills) {
        await restarting;
        this.allKilled = true;
      }
      const death = killed < kills ? DEATHS[this.#random.int(DEATHS.length)]! : 'none';
      const { code, output } = await this.#live(death, signal);
      if (signal.aborted) break;
      if (code !== null)
        throw new assert.AssertionError({ message: `the job ended (${code}):\n${output}` });
      killed++;
      this.kills[death] = (this.kills[death] ?? 0) + 1;
      log(`kill ${killed}: ${death}`);
      if (
        killed * (brokerRestarts + 1) >= (this.brokerRestarts + 1) * kills &&
        this.brokerRestarts < brokerRestarts
      ) {
        await restarting;
        this.brokerRestarts++;
        log(`broker restart ${this.brokerRestarts}`);
        restarting = this.#disturbBroker();
        restarting.catch(() => {}); // awaited below and above
      }
    }
    await restarting;
    for (const zombie of this.#zombies) zombie.kill('SIGKILL');
  }

  /** SIGSTOP for a while, then SIGKILL and a start on the same data. */
  async #disturbBroker(): Promise<void> {
    const { broker } = this.#options;
    const firstMs = this.#random.int(LIFE_MS);
    const thenMs = this.#random.int(LIFE_MS);
    await delay(firstMs);
    broker.pause();
    await delay(BROKER_PAUSE_MS);
    broker.resume();
    await delay(thenMs);
    await broker.restart();
  }

  /** Freezes a process, and lets it go on when others have taken over. */
  #freeze(child: ChildProcess): void {
    child.kill('SIGSTOP');
    this.#zombies.push(child);
    const frozenMs = this.#random.between(ZOMBIE_LEAST_MS, ZOMBIE_MOST_MS);
    setTimeout(() => child.kill('SIGCONT'), frozenMs).unref();
    child.on('exit', (code) => this.#options.log(`a zombie has ended (${code ?? 'killed'})`));
  }

  /** One process, until it dies; null: by a kill. */
  #live(death: string, signal: AbortSignal): Promise<{ code: number | null; output: string }> {
    const { broker, input, output, dir } = this.#options;
    const args = [
      ...[JOB, '--brokers', broker.bootstrapServers, '--input', input, '--output', output],
      ...['--dir', dir, '--die', death, '--die-at', String(1 + this.#random.int(6))],
      // Each start may rescale the job.
      ...['--parallelism', String(1 + this.#random.int(3))],
    ];
    const lifeMs = STARTUP_MS + this.#random.int(LIFE_MS);
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      const keep = (data: Buffer): void => {
        text = (text + data.toString()).slice(-10_000);
      };
      child.stdout.on('data', keep);
      child.stderr.on('data', keep);
      const kill = (): void => {
        child.kill('SIGKILL');
      };
      // A point that is not reached, because nothing is committed meanwhile, is made up for.
      const end = (): void => {
        if (death !== 'frozen') kill();
        else {
          this.#freeze(child);
          signal.removeEventListener('abort', kill);
          resolve({ code: null, output: text });
        }
      };
      const byTime = death === 'random' || death === 'frozen';
      const timer = death === 'none' ? undefined : setTimeout(end, byTime ? lifeMs : 4 * LIFE_MS);
      signal.addEventListener('abort', kill, { once: true });
      child.on('error', reject);
      child.on('exit', (code) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', kill);
        resolve({ code, output: text });
      });
    });
  }
}
