/** Runs a query over a few events in the simulated world, for tests. */
import {
  type DataStream,
  type JsonValue,
  rangeSource,
  type Sink,
  type StreamExecutionEnvironment,
  WatermarkStrategy,
} from '../../src/index.ts';
import { PipelineHarness } from '../../src/testing/pipeline-harness.ts';
import { NexmarkGenerator } from './generator.ts';
import { type Event, eventSchema } from './model.ts';
import type { Query } from './queries.ts';

const EVENTS = 20_000;
/** Events of one split in a row. */
const CHUNK = 300;

const generator = new NexmarkGenerator({ seed: 3, eventsPerSecond: 500 });
/** What queries are tested with: forty seconds of event time. */
export const events: readonly Event[] = Array.from({ length: EVENTS }, (_, n) =>
  generator.event(n),
);

/** Time goes on with the events, so that windows fire between them, and four seconds late. */
const strategy = () =>
  WatermarkStrategy.forGenerator<Event>(() => ({
    onEvent: (timestamp) => timestamp - 4001,
    onPeriodicEmit: () => Number.NEGATIVE_INFINITY,
  }));

/** With two splits, chunks of events go to either in turn: there is no order between them. The source cuts its numbers in halves. */
export function eventsOf(env: StreamExecutionEnvironment, splits: number): DataStream<Event> {
  const chunks = Math.ceil(EVENTS / CHUNK);
  const order = Array.from({ length: splits }, (_, split) =>
    Array.from({ length: chunks }, (_unused, chunk) => chunk)
      .filter((chunk) => chunk % splits === split)
      .flatMap((chunk) => events.slice(chunk * CHUNK, (chunk + 1) * CHUNK)),
  ).flat();
  return env.fromSource(
    rangeSource({
      count: order.length,
      valueAt: (n) => order[n]!,
      timestampAt: (n) => order[n]!.dateTime,
      splits,
      schema: eventSchema,
    }),
    strategy(),
    'events',
  );
}

export function collecting<T>(into: T[]): Sink<T> {
  return {
    guarantee: 'at-least-once',
    accepted: true,
    createWriter: async () => ({
      write: ({ values }) => {
        into.push(...values);
      },
      flush: async () => {},
      close: async () => {},
    }),
  };
}

export async function run(
  query: Query,
  parallelism: number,
  config: Readonly<Record<string, JsonValue>> = {},
): Promise<readonly object[]> {
  const results: object[] = [];
  const pipeline = await PipelineHarness.start({
    sources: [],
    parallelism,
    config,
    build: (env) => {
      query.program(eventsOf(env, parallelism)).sinkTo(collecting(results));
    },
  });
  await pipeline.finish();
  return results;
}
