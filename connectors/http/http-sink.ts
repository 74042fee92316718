/** Records as HTTP requests: at-least-once, each with the same idempotency key whenever it is sent again. */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type { Sink } from '../../src/connector/sink.ts';
import { type HttpRequest, UndiciExchange } from './http-exchange.ts';
import { HttpWriter } from './http-writer.ts';

export interface HttpSinkOptions<T> {
  /** Where a record goes; http or https. */
  readonly url: string | ((value: T) => string);
  /** Default 'POST'. */
  readonly method?: 'POST' | 'PUT' | 'PATCH';
  readonly format: MessageFormat<T>;
  /** Besides `content-type` (default `application/json`) and `idempotency-key`. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * The `idempotency-key` of a record, by which the server knows a repetition. Must be a pure function of it. Absent: none is sent, and
   * repetitions are duplicates to the server.
   */
  readonly idempotencyKey?: (value: T) => string;
  /** Requests of one subtask under way; with 1 records arrive in order. Default 16. */
  readonly requestsInFlightMax?: number;
  /** Of one try. Default 30 s. */
  readonly requestTimeout?: Duration;
  /** How long a request that is answered 408, 425, 429, 5xx or not at all is repeated before the job fails. Default 2 min. */
  readonly unavailableTimeout?: Duration;
}

/**
 * One request a record. Answers of 2xx take it; redirects and other 4xx fail the job (HTTP_SINK_REFUSED). @public
 * @throws `invalid` BAD_HTTP_SINK
 */
export function httpSink<T>(options: HttpSinkOptions<T>): Sink<T> {
  const { url, method = 'POST', format, headers = {}, idempotencyKey } = options;
  const {
    requestsInFlightMax = 16,
    requestTimeout = '30 s',
    unavailableTimeout = '2 min',
  } = options;
  const fixed = typeof url === 'string' ? urlOf(url) : undefined;
  if (!Number.isSafeInteger(requestsInFlightMax) || requestsInFlightMax < 1)
    throw invalid('BAD_HTTP_SINK', 'HTTP sink: requestsInFlightMax is a positive whole number');
  const timeoutMs = durationMs(requestTimeout);
  const unavailableTimeoutMs = durationMs(unavailableTimeout);
  const requestOf = (value: T): HttpRequest => ({
    url: fixed ?? urlOf((url as (value: T) => string)(value)), // no string, hence a function
    method,
    headers: {
      'content-type': 'application/json',
      ...headers,
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey(value) }),
    },
    body: format.encode(value),
  });
  return {
    guarantee: 'at-least-once',
    createWriter: async (context) => {
      await format.open?.(fixed?.href ?? '', 'write');
      const exchange = new UndiciExchange({ connectionsMax: requestsInFlightMax, timeoutMs });
      return new HttpWriter(
        { requestOf, requestsInFlightMax, unavailableTimeoutMs },
        exchange,
        context,
      );
    },
  };
}

function urlOf(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw invalid('BAD_HTTP_SINK', `HTTP sink: ${JSON.stringify(text)} is no http or https url`);
  return url;
}
