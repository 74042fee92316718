/**
 * Runs a small pipeline in event time and gives back what came out. Input is written as a table: records with their times, and
 * watermarks between them; each element is its own batch, so that watermarks fall exactly where the table has them.
 */
import assert from 'node:assert/strict';
import { stateBackendOf } from '../../src/state/backends.ts';
import { SimBucket } from '../../src/testing/sim-store.ts';
import { SimJob } from '../../src/testing/sim-job.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import { SlowStateBackend } from '../../src/testing/slow-state-backend.ts';
import {
  collectSink,
  type Configuration,
  type DataStream,
  environment,
  type RecordBatch,
  rangeSource,
  type Schema,
  type Source,
  type StreamExecutionEnvironment,
} from '../../src/index.ts';

/** Whether a read of state may have to be waited for. */
export const readsTakeTime = (): boolean => mode.readLatencyMs !== undefined;

/** `[value, timestamp]`, or a watermark. */
export type Row<T> = readonly [T, number] | { readonly watermark: number };

/** A source that emits exactly these rows: the watermark of a row comes right before the next record. */
export function tableSource<T>(rows: readonly Row<T>[], schema?: Schema<T>): Source<T> {
  const base = rangeSource<T>({
    count: 1,
    valueAt: () => undefined as T,
    ...(schema === undefined ? {} : { schema }),
  });
  return {
    ...base,
    createReader: () => ({
      openSplit: async () => {
        let next = 0;
        return {
          poll: (): RecordBatch<T> | null => {
            const row = rows[next++];
            if (row === undefined) return null;
            if ('watermark' in row)
              return { values: [row as T], timestamps: Float64Array.of(row.watermark) };
            return { values: [row[0]], timestamps: Float64Array.of(row[1]) };
          },
          position: () => next,
          close: async () => {},
        };
      },
      close: async () => {},
    }),
  };
}

const isWatermark = (value: unknown): value is { watermark: number } =>
  typeof value === 'object' && value !== null && 'watermark' in value;

/** The table as a stream: watermark rows become watermarks and are filtered out as records. */
export function table<T>(
  env: StreamExecutionEnvironment,
  rows: readonly Row<T>[],
  schema?: Schema<T>,
): DataStream<T> {
  return env
    .fromSource(
      tableSource(rows, schema),
      {
        createGenerator: () => ({
          onEvent: (_timestamp, value) => (isWatermark(value) ? value.watermark : undefined),
          onPeriodicEmit: () => Number.NEGATIVE_INFINITY,
        }),
      },
      'table',
    )
    .filter((value) => !isWatermark(value));
}

let mode: Mode = {};

/** Where the tables run. The same tables, unchanged, run in each; see `modes/`. */
export interface Mode {
  /** Default 'hashmap'. */
  readonly backend?: 'hashmap' | 'forst';
  /** In the simulated world: every read of state that is not held at once takes so long, and all that is read is forgotten soon. */
  readonly readLatencyMs?: number;
  /** Process functions are async. */
  readonly asyncFunctions?: boolean;
}

/** For all tables of this process. */
export function runTablesIn(next: Mode): void {
  mode = next;
}

/**
 * Compares what came out with what a table says: in order, or where records of different keys may pass each other, in order for each key.
 */
export function assertOut(
  out: readonly string[],
  expected: readonly string[],
  keyOf: (line: string) => string,
): void {
  if (mode.readLatencyMs === undefined && mode.asyncFunctions !== true) {
    assert.deepEqual(out, expected);
    return;
  }
  const byKey = (lines: readonly string[]): unknown =>
    Object.entries(Object.groupBy(lines, keyOf)).toSorted();
  assert.deepEqual(byKey(out), byKey(expected));
}

/** Builds with `build`, runs, and returns the records that came out. */
export async function run<O>(
  build: (env: StreamExecutionEnvironment) => DataStream<O>,
  config: Configuration = {},
): Promise<readonly O[]> {
  const settings: Configuration = {
    // A watermark after every batch.
    'pipeline.auto-watermark-interval': 0,
    'pipeline.generic-types': true,
    'state.backend.type': mode.backend ?? 'hashmap',
    ...config,
  };
  if (mode.readLatencyMs !== undefined) return runSlowly(build, settings, mode.readLatencyMs);
  const env = environment(settings);
  const out: O[] = [];
  build(env).sinkTo(collectSink(out));
  await env.execute('semantics');
  return out;
}

const VIRTUAL_MS_MAX = 3_600_000;
const EVENTS_MAX = 2_000_000;

async function runSlowly<O>(
  build: (env: StreamExecutionEnvironment) => DataStream<O>,
  config: Configuration,
  latencyMs: number,
): Promise<readonly O[]> {
  const simulation = new Simulation({ seed: 1 });
  const out: O[] = [];
  const job = new SimJob({
    simulation,
    bucket: new SimBucket(simulation.scheduler),
    name: 'semantics',
    build: (env) => build(env).sinkTo(collectSink(out)),
    configOf: () => ({ 'restart-strategy.type': 'none', ...config }),
    restarts: false,
    openBackend: (name, worker) =>
      new SlowStateBackend({
        inner: stateBackendOf(name, worker),
        random: () => worker.world.random.next(),
        timers: worker.world.timers,
        latencyLeastMs: latencyMs,
        latencyMostMs: latencyMs,
        evictedShare: 1,
      }),
  });
  job.start();
  await simulation.run({
    until: () => job.isOver || job.failures.length > 0,
    maxVirtualMs: VIRTUAL_MS_MAX,
    eventsMax: EVENTS_MAX,
  });
  const failure = job.failures[0] ?? job.fatal;
  if (failure !== undefined) throw failure;
  assert.ok(job.end !== undefined, 'the job came to its end');
  return out;
}
