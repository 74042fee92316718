/** Records as HTTP requests: at-least-once, each with the same idempotency key whenever it is sent again. */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import { AsyncSinkWriter, type RetryLater } from '../../src/connector/async-sink-writer.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type { Sink } from '../../src/connector/sink.ts';
import {
  type HttpAnswer,
  type HttpExchange,
  type HttpRequest,
  UndiciExchange,
} from './http-exchange.ts';

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
  const { url, format, requestsInFlightMax = 16 } = options;
  const { requestTimeout = '30 s', unavailableTimeout = '2 min' } = options;
  const fixed = typeof url === 'string' ? urlOf(url) : undefined;
  if (!Number.isSafeInteger(requestsInFlightMax) || requestsInFlightMax < 1)
    throw invalid('BAD_HTTP_SINK', 'HTTP sink: requestsInFlightMax is a positive whole number');
  const timeoutMs = durationMs(requestTimeout);
  const unavailableTimeoutMs = durationMs(unavailableTimeout);
  const requestOf = requestsOf(options, fixed);
  return {
    guarantee: 'at-least-once',
    createWriter: async (context) => {
      await format.open?.(fixed?.href ?? '', 'write');
      const exchange = new UndiciExchange({ connectionsMax: requestsInFlightMax, timeoutMs });
      return new AsyncSinkWriter<T>(
        {
          submit: (value) => submitRequest(exchange, requestOf(value)),
          close: () => exchange.close(),
          requestsInFlightMax,
          unavailableTimeoutMs,
        },
        context,
      );
    },
  };
}

function requestsOf<T>(
  { url, method = 'POST', format, headers, idempotencyKey }: HttpSinkOptions<T>,
  fixed: URL | undefined,
): (value: T) => HttpRequest {
  return (value) => ({
    url: fixed ?? urlOf((url as (value: T) => string)(value)), // no text, hence a function
    method,
    headers: {
      'content-type': 'application/json',
      ...headers,
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey(value) }),
    },
    body: format.encode(value),
  });
}

function urlOf(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw invalid('BAD_HTTP_SINK', `HTTP sink: ${JSON.stringify(text)} is no http or https url`);
  return url;
}

/** Besides all of 5xx: the server says that it may go better later. */
const RETRYABLE = new Set([408, 425, 429]);

/** One try. @throws `data` HTTP_SINK_REFUSED */
export async function submitRequest(
  exchange: HttpExchange,
  request: HttpRequest,
): Promise<RetryLater | undefined> {
  let answer: HttpAnswer;
  try {
    answer = await exchange.send(request);
  } catch (error) {
    if (isMillraceError(error) && error.kind === 'unavailable') return { reason: error };
    throw error;
  }
  const { status, text, retryAfterMs } = answer;
  if (status >= 200 && status < 300) return undefined;
  const place = `${request.method} ${request.url.origin}${request.url.pathname}`;
  if (status >= 500 || RETRYABLE.has(status))
    return {
      reason: new MillraceError(
        'unavailable',
        'HTTP_SINK_UNAVAILABLE',
        `${place} was answered ${status} for as long as unavailableTimeout lets it be repeated: ${text}`,
        { details: { status } },
      ),
      afterMs: retryAfterMs,
    };
  throw new MillraceError(
    'data',
    'HTTP_SINK_REFUSED',
    `${place} was answered ${status}: ${text}. Repeating would not help; mend the records, the url or the credentials`,
    { details: { status, permanent: true } },
  );
}
