/**
 * Kafka to Kafka, or to PostgreSQL, under kill -9, judged by a reader of committed results that runs all the while.
 *
 * A producer feeds keyed amounts; `counting-job.ts` counts and sums them by key, in processes that are killed at random times and at named points
 * between the phases of the commit, or frozen and let go when others have taken over; the servers are frozen, killed and started again. The
 * reader sees each count of each key exactly once and in order, or the run fails at that record.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { SinkAttempt } from '../connector-fixture.ts';
import { TableResults } from '../postgres/table-results.ts';
import { TestCluster } from './kafka-fixture.ts';
import type { KillRunOptions, Results, Total } from './result-contract.ts';
import { TopicResults } from './topic-results.ts';

export interface KillRunOutcome {
  readonly kills: Readonly<Record<string, number>>;
  /** Of all servers together. */
  readonly serverRestarts: number;
  readonly seconds: number;
}

/** A server that can be frozen and killed. */
interface Disturbed {
  readonly name: string;
  readonly server: {
    pause(): void;
    resume(): void;
    restart(): Promise<void>;
  };
}

const JOB = `${import.meta.dirname}/counting-job.ts`;
const KEYS = 50;
const DEATHS = [
  ...['after-prepare', 'before-commit', 'after-commit', 'random', 'random'],
  'frozen', // SIGSTOP; it comes back as a zombie, while another process has taken over
] as const;
const ZOMBIE_LEAST_MS = 500;
const ZOMBIE_MOST_MS = 4000;
const SERVER_PAUSE_MS = 2500;
const FEED_INTERVAL_MS = 20;
const LIFE_MS = 1500;
const STARTUP_MS = 800;
/** A named point that is not reached by then is made up for. */
const POINT_MS = 6000;
/** What a job prints when its sink is open: its life begins. */
const OPEN = 'the sink is open';

export async function killRun(options: KillRunOptions): Promise<KillRunOutcome> {
  const startedMs = performance.now();
  const { broker, postgres, messages } = options;
  const kafka = new TestCluster(broker.bootstrapServers);
  const input = await kafka.topic(4);
  const dir = await mkdtemp(`${tmpdir()}/millrace-kill-`);
  const results =
    postgres === undefined
      ? new TopicResults(options, kafka, await kafka.topic(3))
      : await TableResults.create(postgres);
  const job = new KilledJob({ ...options, input, results, dir });
  const stop = new AbortController();
  try {
    const expected = new Map<string, Total>();
    const reader = results.watch(messages, stop.signal);
    const fed = feed(kafka, { ...options, input, job }, expected, stop.signal);
    const judged = Promise.all([reader, fed]).finally(() => stop.abort());
    await Promise.all([judged, job.run(stop.signal)]);
    await results.verify(expected, messages);
    return {
      kills: job.kills,
      serverRestarts: job.serverRestarts,
      seconds: Math.round((performance.now() - startedMs) / 1000),
    };
  } finally {
    stop.abort();
    // Its processes are being killed.
    await rm(dir, { recursive: true, force: true, maxRetries: 20 });
  }
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
  expected: Map<string, Total>,
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
      // Every life has something to do, and the last tenth waits for the last kill.
      if (sent >= messages * job.share) {
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

interface KilledJobOptions extends KillRunOptions {
  readonly input: string;
  readonly results: Results;
  readonly dir: string;
}

class KilledJob {
  readonly #options: KilledJobOptions;
  readonly #random: SeededRandom;
  readonly kills: Record<string, number> = {};
  serverRestarts = 0;
  /** Every kill and restart of a server has happened. */
  allKilled = false;
  /** How much of the input there may be by now. */
  share = 0;
  readonly #zombies: ChildProcess[] = [];

  constructor(options: KilledJobOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed).fork('kills');
  }

  async run(signal: AbortSignal): Promise<void> {
    const { kills, serverRestarts, log, broker, postgres } = this.#options;
    const servers: Disturbed[] = [
      { name: 'broker', server: broker },
      ...(postgres === undefined ? [] : [{ name: 'PostgreSQL', server: postgres }]),
    ];
    const restarts = serverRestarts * servers.length;
    let restarting: Promise<unknown> = Promise.resolve();
    let killed = 0;
    while (!signal.aborted) {
      if (killed >= kills) {
        await restarting;
        this.allKilled = true;
      }
      this.share = this.allKilled ? 1 : 0.9 * Math.min(1, (killed + 1) / Math.max(1, kills));
      const death = killed < kills ? DEATHS[this.#random.int(DEATHS.length)]! : 'none';
      const { code, output } = await this.#live(death, signal);
      if (signal.aborted) break;
      if (code !== null)
        throw new assert.AssertionError({ message: `the job ended (${code}):\n${output}` });
      killed++;
      this.kills[death] = (this.kills[death] ?? 0) + 1;
      log(`kill ${killed}: ${death}`);
      if (
        killed * (restarts + 1) >= (this.serverRestarts + 1) * kills &&
        this.serverRestarts < restarts
      ) {
        await restarting;
        const { name, server } = servers[this.serverRestarts % servers.length]!;
        this.serverRestarts++;
        log(`server restart ${this.serverRestarts}: ${name}`);
        restarting = this.#disturb(server);
        restarting.catch(() => {}); // awaited below and above
      }
    }
    await restarting;
    for (const zombie of this.#zombies) zombie.kill('SIGKILL');
  }

  /** SIGSTOP for a while, then SIGKILL and a start on the same data. */
  async #disturb(server: Disturbed['server']): Promise<void> {
    const firstMs = this.#random.int(LIFE_MS);
    const thenMs = this.#random.int(LIFE_MS);
    await delay(firstMs);
    server.pause();
    await delay(SERVER_PAUSE_MS);
    server.resume();
    await delay(thenMs);
    await server.restart();
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
    const { broker, input, results, dir, plant = '' } = this.#options;
    const args = [
      ...[JOB, '--brokers', broker.bootstrapServers, '--input', input, ...results.jobArgs],
      ...[
        '--plant',
        plant,
        '--dir',
        dir,
        '--die',
        death,
        '--die-at',
        String(1 + this.#random.int(6)),
      ],
      // Each start may rescale the job.
      ...['--parallelism', String(1 + this.#random.int(3))],
    ];
    const lifeMs = this.#random.int(LIFE_MS);
    // Now and then a start is not waited for. One that is frozen before it owns the job would come back as its rightful owner.
    const early = this.#random.int(4) === 0 && death !== 'frozen';
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      let timer: NodeJS.Timeout | undefined;
      const keep = (data: Buffer): void => {
        text = (text + data.toString()).slice(-10_000);
        if (text.includes(OPEN)) timer ??= dieLater(0);
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
      const dieLater = (moreMs: number): NodeJS.Timeout | undefined =>
        death === 'none' ? undefined : setTimeout(end, moreMs + (byTime ? lifeMs : POINT_MS));
      if (early) timer = dieLater(STARTUP_MS);
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
