/** Asynchronous calls per record: databases, services. */
import { type Duration, durationMs } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import { type AsyncRetry, AsyncWaitOperator } from '../operators/async-wait-operator.ts';
import type { AsyncFunction } from '../operators/functions.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import type { DataStream, SingleOutputStreamOperator } from './data-stream.ts';

export interface AsyncMapOptions<T, O> {
  /** How long a record may take, retries included. */
  readonly timeout: Duration;
  /** Default 'ordered'. */
  readonly mode?: 'ordered' | 'unordered';
  /** Calls under way at a time. Default 100. */
  readonly capacity?: number;
  /** What a record yields that timed out. Absent: the task fails. */
  readonly onTimeout?: (value: T) => Iterable<O>;
  readonly retry?: AsyncRetry;
}

/** @throws `invalid` BAD_CAPACITY or BAD_TIMEOUT */
export function addAsyncMap<T, O>(
  stream: DataStream<T>,
  call: AsyncFunction<T, O>,
  options: AsyncMapOptions<T, O>,
  schema: Schema<O> | undefined,
): SingleOutputStreamOperator<O> {
  const { mode = 'ordered', capacity = 100, onTimeout, retry } = options;
  const timeoutMs = durationMs(options.timeout);
  if (!Number.isInteger(capacity) || capacity < 1)
    throw invalid('BAD_CAPACITY', `asyncMap capacity is ${capacity}; it is a positive integer`);
  if (timeoutMs <= 0)
    throw invalid('BAD_TIMEOUT', `asyncMap timeout is ${timeoutMs} ms; it is positive`);
  const params = {
    call: call as unknown as AsyncFunction<unknown, unknown>, // called with records of type T only
    mode,
    capacity,
    timeoutMs,
    inputSchema: stream.schema ?? t.generic(),
    ...(onTimeout === undefined
      ? {}
      : { onTimeout: onTimeout as (value: unknown) => Iterable<unknown> }), // as `call`
    ...(retry === undefined ? {} : { retry }),
  };
  return stream.transform('async-wait', () => new AsyncWaitOperator(params), schema, {
    mode,
    capacity,
    timeout: `${timeoutMs} ms`,
  });
}

type AsyncWaitOptions<T, O> = Omit<AsyncMapOptions<T, O>, 'mode'>;

/** The names of Flink for `stream.asyncMap`. */
export const AsyncDataStream = {
  /** Results in the order of the records. */
  orderedWait: <T, O>(
    stream: DataStream<T>,
    call: AsyncFunction<T, O>,
    options: AsyncWaitOptions<T, O>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> =>
    addAsyncMap(stream, call, { ...options, mode: 'ordered' }, schema),
  /** Results as they come; none overtakes a watermark. */
  unorderedWait: <T, O>(
    stream: DataStream<T>,
    call: AsyncFunction<T, O>,
    options: AsyncWaitOptions<T, O>,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> =>
    addAsyncMap(stream, call, { ...options, mode: 'unordered' }, schema),
};
