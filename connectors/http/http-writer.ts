/**
 * Writes records as requests: several at a time, each repeated until it is taken.
 *
 * Invariants
 *  W1  `flush` settles when everything written has been taken: a checkpoint never holds a position beyond a record that was not.
 *  W2  At most `requestsInFlightMax` requests are under way; more writes wait (backpressure).
 *  W3  The first failure is the writer's: whatever is written or flushed afterwards meets it again.
 */
import { asError, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { SinkWriter, SinkWriterContext } from '../../src/connector/sink.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import type { HttpAnswer, HttpExchange, HttpRequest } from './http-exchange.ts';

export interface HttpWriterOptions<T> {
  readonly requestOf: (value: T) => HttpRequest;
  readonly requestsInFlightMax: number;
  /** How long a request is repeated, in all. */
  readonly unavailableTimeoutMs: number;
}

const DELAY_MS = 100;
const DELAY_MAX_MS = 10_000;
/** Besides all of 5xx: the server says that it may go better later. */
const RETRYABLE = new Set([408, 425, 429]);

export class HttpWriter<T> implements SinkWriter<T> {
  readonly #options: HttpWriterOptions<T>;
  readonly #exchange: HttpExchange;
  readonly #context: Pick<SinkWriterContext, 'clock' | 'timers'>;
  #inFlight = 0;
  #failure: Error | undefined;
  #closed = false;
  readonly #wakes = new Set<() => void>();
  readonly #pauses = new Set<() => void>();

  constructor(
    options: HttpWriterOptions<T>,
    exchange: HttpExchange,
    context: Pick<SinkWriterContext, 'clock' | 'timers'>,
  ) {
    this.#options = options;
    this.#exchange = exchange;
    this.#context = context;
  }

  async write({ values }: RecordBatch<T>): Promise<void> {
    for (const value of values) {
      await this.#until(() => this.#inFlight < this.#options.requestsInFlightMax); // W2
      this.#inFlight++;
      this.#deliver(this.#options.requestOf(value)).then(
        () => this.#ended(),
        (error: unknown) => this.#ended(asError(error)),
      );
    }
  }

  async flush(): Promise<void> {
    await this.#until(() => this.#inFlight === 0); // W1
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    for (const end of this.#pauses) end();
    await this.#exchange.close();
  }

  /** @throws the writer's failure (W3) */
  async #until(reached: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (reached() || this.#closed) return;
      await new Promise<void>((resolve) => this.#wakes.add(resolve));
    }
  }

  #ended(failure?: Error): void {
    this.#inFlight--;
    this.#failure ??= failure;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }

  async #deliver(request: HttpRequest): Promise<void> {
    const { clock } = this.#context;
    const deadline = clock.monotonicMs() + this.#options.unavailableTimeoutMs;
    for (let delayMs = DELAY_MS; !this.#closed; delayMs = Math.min(2 * delayMs, DELAY_MAX_MS)) {
      const answer = await this.#ask(request);
      if (!isMillraceError(answer) && answer.status >= 200 && answer.status < 300) return;
      if (!isMillraceError(answer) && !isRetryable(answer)) throw refused(request, answer);
      const waitMs = isMillraceError(answer)
        ? delayMs
        : Math.min(answer.retryAfterMs ?? delayMs, DELAY_MAX_MS);
      if (clock.monotonicMs() + waitMs > deadline) throw gaveUp(request, answer);
      await this.#pause(waitMs);
    }
  }

  /** An exchange that failed is an answer too: ask again. */
  async #ask(request: HttpRequest): Promise<HttpAnswer | MillraceError> {
    try {
      return await this.#exchange.send(request);
    } catch (error) {
      if (isMillraceError(error) && error.kind === 'unavailable') return error;
      throw error;
    }
  }

  /** Ends early at `close`. */
  #pause(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.#pauses.delete(end);
        resolve();
      };
      const timer = this.#context.timers.after(waitMs, end);
      this.#pauses.add(end);
    });
  }
}

const isRetryable = ({ status }: HttpAnswer): boolean => status >= 500 || RETRYABLE.has(status);

const placeOf = ({ method, url }: HttpRequest): string => `${method} ${url.origin}${url.pathname}`;

const refused = (request: HttpRequest, { status, text }: HttpAnswer): MillraceError =>
  new MillraceError(
    'data',
    'HTTP_SINK_REFUSED',
    `${placeOf(request)} was answered ${status}: ${text}. Repeating would not help; mend the records, the url or the credentials`,
    { details: { status, permanent: true } },
  );

const gaveUp = (request: HttpRequest, answer: HttpAnswer | MillraceError): MillraceError =>
  new MillraceError(
    'unavailable',
    'HTTP_SINK_UNAVAILABLE',
    `${placeOf(request)} did not succeed within the sink's unavailableTimeout; last: ${isMillraceError(answer) ? answer.message : `${answer.status} ${answer.text}`}`,
    isMillraceError(answer) ? { cause: answer } : { details: { status: answer.status } },
  );
