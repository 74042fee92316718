/**
 * A writer that hands each record to the outside by an asynchronous request: several at a time, each repeated until it is taken
 * (FLIP-171, Async Sink Base). At-least-once.
 *
 * Invariants
 *  W1  `flush` settles when everything written has been taken: a checkpoint never holds a position beyond a record that was not.
 *  W2  At most `requestsInFlightMax` requests are under way; more writes wait (backpressure). With 1, records arrive in order.
 *  W3  The first failure is the writer's: whatever is written or flushed afterwards meets it again.
 */
import { asError, type MillraceError } from '../base/errors.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import type { SinkWriter, SinkWriterContext } from './sink.ts';

/** The record was not taken, as far as is known, and may be if it is sent again. */
export interface RetryLater {
  readonly reason: MillraceError;
  /** When the outside asks to be left alone for so long. */
  readonly afterMs?: number | undefined;
}

export interface AsyncSinkWriterOptions<T> {
  /** One try. Undefined: taken. Rejects when sending again would not help. */
  readonly submit: (value: T) => Promise<RetryLater | undefined>;
  readonly requestsInFlightMax: number;
  /** How long one record is repeated before its last `reason` fails the writer. */
  readonly unavailableTimeoutMs: number;
  readonly close: () => Promise<void>;
}

const DELAY_MS = 100;
const DELAY_MAX_MS = 10_000;

export class AsyncSinkWriter<T> implements SinkWriter<T> {
  readonly #options: AsyncSinkWriterOptions<T>;
  readonly #context: Pick<SinkWriterContext, 'clock' | 'timers'>;
  #inFlight = 0;
  #failure: Error | undefined;
  #closed = false;
  readonly #wakes = new Set<() => void>();
  readonly #pauses = new Set<() => void>();

  constructor(
    options: AsyncSinkWriterOptions<T>,
    context: Pick<SinkWriterContext, 'clock' | 'timers'>,
  ) {
    this.#options = options;
    this.#context = context;
  }

  async write({ values }: RecordBatch<T>): Promise<void> {
    for (const value of values) {
      await this.#until(() => this.#inFlight < this.#options.requestsInFlightMax); // W2
      this.#inFlight++;
      this.#deliver(value).then(
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
    await this.#options.close();
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

  async #deliver(value: T): Promise<void> {
    const { clock } = this.#context;
    const { submit, unavailableTimeoutMs } = this.#options;
    const deadline = clock.monotonicMs() + unavailableTimeoutMs;
    for (let delayMs = DELAY_MS; !this.#closed; delayMs = Math.min(2 * delayMs, DELAY_MAX_MS)) {
      const retry = await submit(value);
      if (retry === undefined) return;
      const waitMs = Math.min(retry.afterMs ?? delayMs, DELAY_MAX_MS);
      if (clock.monotonicMs() + waitMs > deadline) throw retry.reason;
      await this.#pause(waitMs);
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
