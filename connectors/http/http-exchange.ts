/** One request over HTTP, by undici. Repeats nothing, follows no redirect. */
import { Agent, type Dispatcher } from 'undici';
import { MillraceError } from '../../src/base/errors.ts';

export interface HttpRequest {
  readonly url: URL;
  readonly method: 'POST' | 'PUT' | 'PATCH';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface HttpAnswer {
  readonly status: number;
  /** Of its `retry-after` header, where that is a number. */
  readonly retryAfterMs: number | undefined;
  /** The first characters of its body. */
  readonly text: string;
}

export interface HttpExchange {
  /** @throws `unavailable` HTTP_UNREACHABLE */
  send(request: HttpRequest): Promise<HttpAnswer>;
  close(): Promise<void>;
}

export interface HttpExchangeOptions {
  readonly connectionsMax: number;
  /** Until the head of an answer, and between parts of its body. */
  readonly timeoutMs: number;
}

const TEXT_CHARACTERS_MAX = 300;
const ANSWER_BYTES_MAX = 1024 * 1024;

export class UndiciExchange implements HttpExchange {
  readonly #agent: Agent;

  constructor({ connectionsMax, timeoutMs }: HttpExchangeOptions) {
    this.#agent = new Agent({
      connections: connectionsMax,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: { timeout: timeoutMs },
      maxResponseSize: ANSWER_BYTES_MAX,
    });
  }

  async send({ url, method, headers, body }: HttpRequest): Promise<HttpAnswer> {
    try {
      const answer = await this.#agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers,
        body,
      });
      return await answerOf(answer);
    } catch (cause) {
      throw new MillraceError(
        'unavailable',
        'HTTP_UNREACHABLE',
        `${url.origin} did not answer ${method} ${url.pathname}: ${(cause as Error).message}`, // undici throws Errors
        { cause },
      );
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

async function answerOf({
  statusCode,
  headers,
  body,
}: Dispatcher.ResponseData): Promise<HttpAnswer> {
  const text = await body.text();
  const seconds = Number(headers['retry-after'] ?? Number.NaN);
  return {
    status: statusCode,
    retryAfterMs: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined,
    text: text.slice(0, TEXT_CHARACTERS_MAX),
  };
}
