/**
 * Runs a small pipeline in event time and gives back what came out. Input is written as a table: records with their times, and
 * watermarks between them; each element is its own batch, so that watermarks fall exactly where the table has them.
 */
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

/** Builds with `build`, runs, and returns the records that came out. */
export async function run<O>(
  build: (env: StreamExecutionEnvironment) => DataStream<O>,
  config: Configuration = {},
): Promise<readonly O[]> {
  // A watermark after every batch.
  const env = environment({
    'pipeline.auto-watermark-interval': 0,
    'pipeline.generic-types': true,
    ...config,
  });
  const out: O[] = [];
  build(env).sinkTo(collectSink(out));
  await env.execute('semantics');
  return out;
}
