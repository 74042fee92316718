/**
 * One query in a process of its own: the loop and the program in turn over the same events. Prints one line of JSON (`QueryRun`).
 * Started by `bench.ts`. With more than one slot the engine's workers run this module again, up to the job they serve.
 */
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import {
  type Configuration,
  type JsonValue,
  type Sink,
  WatermarkStrategy,
} from '../../src/index.ts';
import { StreamExecutionEnvironment } from '../../src/api/environment.ts';
import { embeddedExecutor } from '../../src/cli/embedded.ts';
import { MeteringStore, type StoreUsage } from '../../src/storage/metering-store.ts';
import { checkpointsIn, type CheckpointFigures } from './checkpoint-figures.ts';
import { DelayedStore } from './delayed-store.ts';
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
  /** Measured runs, after one that is not. */
  readonly runs: number;
  readonly withLoop: boolean;
  /** Events a second of one more run, for latency; at parallelism 1. */
  readonly rate?: number;
  /** For what the job writes: an empty folder. */
  readonly dir: string;
  /** How much longer each request to the store of checkpoints and state takes. */
  readonly latencyMs: number;
  /** Job options. */
  readonly config: Readonly<Record<string, JsonValue>>;
}

export interface QueryRun {
  readonly query: string;
  readonly events: number;
  readonly loop: readonly Measured[];
  readonly engine: readonly Measured[];
  /** Of the program, where it runs on the main thread into a sink that counts. */
  readonly results: number;
  readonly peakRssBytes: number;
  /** Of all measured runs. */
  readonly checkpoints: CheckpointFigures;
  readonly latency?: LatencyFigures;
  /** Of the last run, where the job is on the main thread and has a store. */
  readonly store?: StoreUsage;
}

const KEPT = 1024;

const request = JSON.parse(process.argv[2] ?? '{}') as QueryRequest; // bench.ts wrote it
const query = QUERIES[request.query];
if (query === undefined) throw new RangeError(`there is no query ${request.query}`);
const watch = new JobWatch();

function blackhole(counter: { count: number }): Sink<unknown> {
  return {
    guarantee: 'at-least-once',
    createWriter: async () => ({
      write: ({ values }) => {
        counter.count += values.length;
      },
      flush: async () => {},
      close: async () => {},
    }),
  };
}

const strategy = () =>
  WatermarkStrategy.forBoundedOutOfOrderness<Event>('4 s').withTimestampAssigner(
    ({ dateTime }) => dateTime,
  );

/** A loop's results exist for as long as those of an engine that hands over batches. */
function runLoop(events: readonly Event[], dir: string): Measured & { readonly count: number } {
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
  return { ...measured, count };
}

interface EngineRun extends Measured {
  readonly count: number;
  readonly checkpoints: CheckpointFigures;
  readonly store: StoreUsage | undefined;
}

async function runEngine(
  batches: ReturnType<typeof batchesOf>,
  round: number,
  dir: string,
): Promise<EngineRun> {
  const counter = { count: 0 };
  const checkpointDir = join(dir, `checkpoints-${round}`);
  const checkpointing = 'execution.checkpointing.interval' in request.config;
  const needsStore = checkpointing || 'state.backend.type' in request.config;
  const config: Configuration = {
    ...request.config,
    'parallelism.default': request.parallelism,
    ...(needsStore
      ? {
          'execution.checkpointing.dir': checkpointDir,
          'execution.checkpointing.num-retained': 1000,
        }
      : {}),
  };
  let meter: MeteringStore | undefined;
  const executor = embeddedExecutor({
    wrapStore(store) {
      meter = new MeteringStore(new DelayedStore(store, request.latencyMs));
      return meter;
    },
  });
  const env = new StreamExecutionEnvironment(executor, config);
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
    store: needsStore ? meter?.usage : undefined,
    count: counter.count,
    checkpoints:
      isMainThread && checkpointing ? await checkpointsIn(checkpointDir) : { bytes: [], ms: [] },
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

async function main(): Promise<void> {
  const { dir } = request;
  const needsEvents = !isMainThread || request.withLoop || request.parallelism === 1;
  const events = needsEvents ? await readEventFile(request.eventFile) : [];
  const batches = batchesOf(events);
  const loop: Measured[] = [];
  const engine: Measured[] = [];
  const bytes: number[] = [];
  const ms: number[] = [];
  let results = 0;
  let expected = 0;
  let store: StoreUsage | undefined;
  for (let round = 0; round <= request.runs; round++) {
    if (isMainThread && request.withLoop) {
      globalThis.gc?.();
      const { count, ...measured } = runLoop(events, join(dir, `loop-${round}`));
      if (round > 0) loop.push(measured);
      expected = count;
    }
    if (isMainThread) globalThis.gc?.();
    const { count, checkpoints, store: usage, ...measured } = await runEngine(batches, round, dir);
    if (round > 0) engine.push(measured);
    if (round > 0) bytes.push(...checkpoints.bytes);
    if (round > 0) ms.push(...checkpoints.ms);
    results = count;
    store = usage;
    // In workers nobody counts, and what q12 yields depends on the clock.
    const counts = request.withLoop && request.parallelism === 1 && query!.sink === undefined;
    if (counts && request.query !== 'q12' && results !== expected)
      throw new RangeError(`the loop has ${expected} results and the program ${results}`);
  }
  const { rate } = request;
  const hasLatency = rate !== undefined && request.parallelism === 1 && query!.waits !== true;
  const run: QueryRun = {
    query: request.query,
    events: events.length,
    loop,
    engine,
    results,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    checkpoints: { bytes, ms },
    ...(store === undefined ? {} : { store }),
    ...(hasLatency ? { latency: await runLatency(events, rate) } : {}),
  };
  console.log(JSON.stringify(run));
}

await main();
