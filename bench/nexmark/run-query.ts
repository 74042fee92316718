/**
 * One query in a process of its own: the loop and the program in turn over the same events. Lines of standard input, `round` and `latency`,
 * are answered by a line of JSON each (`RoundRun`, `LatencyFigures`). Started by `contest.ts`. With more than one slot the engine's workers run this module again, up to the job they serve.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { type JsonValue, type Sink, WatermarkStrategy } from '../../src/index.ts';
import { StreamExecutionEnvironment } from '../../src/api/environment.ts';
import { embeddedExecutor } from '../../src/cli/embedded.ts';
import { MeteringStore, type StoreUsage } from '../../src/storage/metering-store.ts';
import { checkpointsIn, type CheckpointFigures } from './checkpoint-figures.ts';
import { DelayedStore } from '../delayed-store.ts';
import { readEventFile } from './event-file.ts';
import { batchesOf, eventSource } from './event-source.ts';
import { type LatencyFigures, LatencyProbe } from './latency.ts';
import { JobWatch, measure, type Measured } from './measure.ts';
import type { Event } from './model.ts';
import { QUERIES } from './queries.ts';

export interface QueryRequest {
  readonly query: string;
  readonly eventFile: string;
  readonly parallelism: number;
  readonly withLoop: boolean;
  /** Events a second of a run for latency; at parallelism 1. */
  readonly rate?: number;
  /** For what the job writes: an empty folder. */
  readonly dir: string;
  /** How much longer each request to the store of checkpoints and state takes. */
  readonly latencyMs: number;
  /** Job options. */
  readonly config: Readonly<Record<string, JsonValue>>;
}

/** A run and how many results it had, where the job is on the main thread and the sink counts. */
export interface CountedRun extends Measured {
  readonly results: number;
}

export interface EngineRun extends CountedRun {
  readonly checkpoints: CheckpointFigures;
  /** Where the job is on the main thread and has a store. */
  readonly store?: StoreUsage;
}

/** The answer to `round`. */
export interface RoundRun {
  readonly loop?: CountedRun;
  readonly engine: EngineRun;
  /** Of the process so far. */
  readonly peakRssBytes: number;
}

const KEPT = 1024;
/** The job beside those that are measured has read a second of events first, and takes a few per mille of the CPU time then. */
const STANDING = { after: 100, everyMs: 100 };
/** The process is quiet when it has used so little CPU time meanwhile. */
const QUIET = { forMs: 50, cpuMicros: 5000 };

const request = JSON.parse(process.argv[2] ?? '{}') as QueryRequest; // bench.ts wrote it
const query = QUERIES[request.query];
if (query === undefined) throw new RangeError(`there is no query ${request.query}`);
const watch = new JobWatch();

function blackhole(counter: { count: number }): Sink<unknown> {
  return {
    guarantee: 'at-least-once',
    accepted: true,
    createWriter: async () => ({
      write: ({ values }) => {
        counter.count += values.length;
      },
      flush: async (endOfInput) => {
        if (endOfInput && isMainThread) watch.lastResult();
      },
      close: async () => {},
    }),
  };
}

const strategy = () =>
  WatermarkStrategy.forBoundedOutOfOrderness<Event>('4 s').withTimestampAssigner(
    ({ dateTime }) => dateTime,
  );

/** A loop's results exist for as long as those of an engine that hands over batches. */
function runLoop(events: readonly Event[], dir: string): CountedRun {
  const kept: object[] = new Array(KEPT);
  let count = 0;
  const measured = measure(() => {
    query!.loop(
      events,
      (result) => {
        kept[count++ & (KEPT - 1)] = result;
      },
      dir,
    );
  });
  return { ...measured, results: count };
}

const checkpointing = 'execution.checkpointing.interval' in request.config;
const needsStore = checkpointing || 'state.backend.type' in request.config;

const configOf = (checkpointDir: string): { [key: string]: JsonValue } => ({
  ...request.config,
  'parallelism.default': request.parallelism,
  ...(needsStore
    ? {
        'execution.checkpointing.dir': checkpointDir,
        'execution.checkpointing.num-retained': 1000,
      }
    : {}),
});

async function runEngine(
  batches: ReturnType<typeof batchesOf>,
  round: number,
  dir: string,
): Promise<EngineRun> {
  const counter = { count: 0 };
  const checkpointDir = join(dir, `checkpoints-${round}`);
  let meter: MeteringStore | undefined;
  const executor = embeddedExecutor({
    wrapStore(store) {
      meter = new MeteringStore(new DelayedStore(store, request.latencyMs));
      return meter;
    },
  });
  const env = new StreamExecutionEnvironment(executor, configOf(checkpointDir));
  const events = env.fromSource(
    eventSource(batches, { splits: request.parallelism, onStart: () => watch.start() }),
    strategy(),
    'events',
  );
  const results = query!.program(events);
  const sink = query!.sink?.(join(dir, `results-${round}`)) ?? blackhole(counter);
  results.sinkTo(sink as Sink<object>); // takes what the query yields
  await env.execute(`${request.query}-${round}`);
  // A worker passes here on its way to the job that it serves.
  const measured = isMainThread ? watch.end() : { seconds: 0, cpuSeconds: 0 };
  return {
    ...measured,
    ...(needsStore && meter !== undefined ? { store: meter.usage } : {}),
    results: counter.count,
    checkpoints:
      isMainThread && checkpointing ? await checkpointsIn(checkpointDir) : { bytes: [], ms: [] },
  };
}

/**
 * A second job of the query, which reads a batch every now and then. V8 throws compiled code away when no object of the classes that it was
 * compiled for is left, as between two jobs, or when it has not run for some garbage collections, and compiles it again for the next, which
 * was a third of what a short run took. A job that goes on, as jobs do, keeps its code; so does a JVM.
 */
async function startStanding(
  batches: ReturnType<typeof batchesOf>,
  dir: string,
): Promise<() => Promise<void>> {
  const standing = Promise.withResolvers<void>();
  const config = configOf(join(dir, 'standing'));
  // Its own checkpoints are in no figure.
  delete config['execution.checkpointing.interval'];
  const env = new StreamExecutionEnvironment(embeddedExecutor(), config);
  const source = eventSource(batches, {
    splits: 1,
    onStart: () => {},
    trickle: { ...STANDING, onSlow: standing.resolve },
  });
  query!.program(env.fromSource(source, strategy(), 'events')).sinkTo(blackhole({ count: 0 }));
  const job = await env.executeAsync(`${request.query}-standing`);
  const result = job.result();
  await Promise.race([standing.promise, result]);
  return async () => {
    job.cancel();
    await result.catch(() => {}); // that it was cancelled
  };
}

async function runLatency(events: readonly Event[], rate: number): Promise<LatencyFigures> {
  const probe = new LatencyProbe(events, rate);
  const env = new StreamExecutionEnvironment(embeddedExecutor(), {
    'pipeline.auto-watermark-interval': '200 ms',
    ...request.config,
  });
  query!.program(env.fromSource(probe.source(), strategy(), 'events')).sinkTo(probe.sink());
  await env.execute(`${request.query}-latency`);
  return probe.figures;
}

/** Each line asks for a round or for latency. A worker has no lines: it goes through all rounds up to the job that it serves. */
async function* lines(): AsyncGenerator<string> {
  if (isMainThread) yield* createInterface({ input: process.stdin });
  else for (;;) yield 'round';
}

async function main(): Promise<void> {
  const needsEvents = !isMainThread || request.withLoop || request.parallelism === 1;
  const events = needsEvents ? await readEventFile(request.eventFile) : [];
  const batches = batchesOf(events);
  const alone = isMainThread && request.parallelism === 1;
  const endStanding = alone ? await startStanding(batches, request.dir) : async () => {};
  let round = 0;
  for await (const line of lines()) {
    const answer =
      line === 'latency'
        ? await runLatency(events, request.rate ?? 0)
        : await runRound(events, batches, round++);
    if (isMainThread) console.log(JSON.stringify(answer));
  }
  await endStanding();
}

/**
 * What earlier runs left is collected, and swept: V8 sweeps half a gigabyte of events on other threads after `gc` has returned, which was
 * half of the CPU time of a short run.
 */
async function collected(): Promise<void> {
  globalThis.gc?.();
  let before = process.cpuUsage();
  for (;;) {
    await sleep(QUIET.forMs);
    const { user, system } = process.cpuUsage(before);
    if (user + system < QUIET.cpuMicros) return;
    before = process.cpuUsage();
  }
}

async function runRound(
  events: readonly Event[],
  batches: ReturnType<typeof batchesOf>,
  round: number,
): Promise<RoundRun> {
  const { dir } = request;
  const isLoopRun = isMainThread && request.withLoop;
  if (isLoopRun) await collected();
  const loop = isLoopRun ? runLoop(events, join(dir, `loop-${round}`)) : undefined;
  if (isMainThread) await collected();
  const engine = await runEngine(batches, round, dir);
  // In workers nobody counts, and what q12 yields depends on the clock.
  const counts = request.parallelism === 1 && query!.sink === undefined && request.query !== 'q12';
  if (loop !== undefined && counts && engine.results !== loop.results)
    throw new RangeError(`the loop has ${loop.results} results and the program ${engine.results}`);
  return {
    ...(loop === undefined ? {} : { loop }),
    engine,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}

await main();
