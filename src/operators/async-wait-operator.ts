/**
 * Asynchronous I/O: a user function returns a promise per record; at most `capacity` are under way (Flink's AsyncWaitOperator).
 *
 * Elements wait in one queue in the order of arrival. *Ordered* emits from its head. *Unordered* emits what is complete up to the first
 * watermark in the queue: results overtake each other, never a watermark.
 *
 * Invariants
 *  Y1  At most `capacity` functions run; the operator is `blocked` while elements wait beyond that.
 *  Y2  Elements in the queue are in the snapshot, and are processed anew after a restore.
 *  Y3  A watermark leaves after the results of all elements before it.
 */
import { MillraceError } from '../base/errors.ts';
import type { OperatorListState } from '../state/operator-state.ts';
import type { Schema } from '../types/schema.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';
import type { AsyncFunction } from './functions.ts';
import { OperatorShell } from './operator-shell.ts';
import { userCodeError } from './user-code-error.ts';

export interface AsyncRetry {
  /** Tries in all, the first included. */
  readonly attemptsMax: number;
  readonly delayMs: number;
  /** The delay grows by this factor; 1 keeps it. Default 1. */
  readonly backoffFactor?: number;
  readonly delayMaxMs?: number;
  /** Retries when this holds for an error. Default: any. */
  readonly onError?: (error: unknown) => boolean;
  /** Retries when this holds for a result. Default: never. */
  readonly onResult?: (results: readonly unknown[]) => boolean;
}

export interface AsyncWaitParams {
  readonly call: AsyncFunction<unknown, unknown>;
  readonly mode: 'ordered' | 'unordered';
  readonly capacity: number;
  readonly timeoutMs: number;
  /** What a record yields that timed out. Absent: the task fails. */
  readonly onTimeout?: (value: unknown) => Iterable<unknown>;
  readonly retry?: AsyncRetry;
  readonly inputSchema: Schema<unknown>;
}

class Element {
  readonly value: unknown;
  readonly timestamp: number;
  started = false;
  results: readonly unknown[] | undefined = undefined;
  /** Ends this try's function and its timers. */
  abort: AbortController | undefined = undefined;

  constructor(value: unknown, timestamp: number) {
    this.value = value;
    this.timestamp = timestamp;
  }
}

type Entry = Element | { readonly watermark: number } | { readonly idle: boolean };

interface StoredElement {
  readonly value: unknown;
  readonly timestamp: number | undefined;
}

export class AsyncWaitOperator implements OneInputOperator {
  readonly #params: AsyncWaitParams;
  #shell!: OperatorShell;
  #stored!: OperatorListState<StoredElement>;
  readonly #deadlines = new Map<Element, { cancel(): void }>();
  #queue: Entry[] = [];
  #running = 0;
  #waiting = 0;
  #drained: (() => void) | undefined;

  constructor(params: AsyncWaitParams) {
    this.#params = params;
  }

  get blocked(): boolean {
    return this.#waiting > 0;
  }

  open(context: OperatorContext): void {
    this.#shell = new OperatorShell(context);
    const schema = t.struct({
      value: this.#params.inputSchema,
      timestamp: t.optional(t.timestamp()),
    });
    this.#stored = context.operatorState.getListState<StoredElement>(
      'in-flight',
      schema as Schema<StoredElement>,
    ); // the same fields
    const restored = this.#stored.get();
    this.#stored.clear();
    // Started by a mail: emission is not allowed during open.
    if (restored.length > 0) {
      this.#waiting = restored.length;
      context.mailbox(() => {
        this.#waiting = 0;
        for (const { value, timestamp } of restored) this.#accept(value, timestamp ?? NO_TIMESTAMP);
        this.#startMore();
      });
    }
  }

  processBatch({ values, timestamps }: RecordBatch<unknown>): void {
    for (let i = 0; i < values.length; i++)
      this.#accept(values[i], timestamps === null ? NO_TIMESTAMP : timestamps[i]!);
    this.#startMore();
  }

  processWatermark(watermark: number): void {
    this.#queue.push({ watermark });
    this.#emit();
  }

  processWatermarkStatus(idle: boolean): void {
    this.#queue.push({ idle });
    this.#emit();
  }

  snapshotState(): void {
    const elements = this.#queue.filter((entry) => entry instanceof Element);
    this.#stored.update(
      elements.map(({ value, timestamp }) => ({
        value,
        timestamp: timestamp === NO_TIMESTAMP ? undefined : timestamp,
      })),
    );
  }

  /** Waits for everything that is under way, or for the task's end. */
  async finish(): Promise<void> {
    const { signal } = this.#shell.context;
    while (this.#queue.length > 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  close(): void {
    for (const deadline of this.#deadlines.values()) deadline.cancel();
    for (const entry of this.#queue) if (entry instanceof Element) entry.abort?.abort();
  }

  #accept(value: unknown, timestamp: number): void {
    this.#queue.push(new Element(value, timestamp));
    this.#waiting++;
  }

  #startMore(): void {
    if (this.#waiting === 0 || this.#running >= this.#params.capacity) return;
    for (const entry of this.#queue) {
      if (!(entry instanceof Element) || entry.started) continue;
      entry.started = true;
      this.#running++;
      this.#waiting--;
      this.#call(entry, 1);
      if (this.#running >= this.#params.capacity || this.#waiting === 0) return;
    }
  }

  #call(element: Element, attempt: number): void {
    const { context } = this.#shell;
    const abort = new AbortController();
    element.abort = abort;
    const deadline =
      attempt === 1
        ? context.processingTime.registerTimer(
            context.processingTime.now() + this.#params.timeoutMs,
            () => this.#timedOut(element),
          )
        : undefined;
    if (deadline !== undefined) this.#deadlines.set(element, deadline);
    let result: Promise<Iterable<unknown>>;
    try {
      result = this.#params.call(element.value, abort.signal);
    } catch (error) {
      result = Promise.reject(error as Error); // a synchronous throw is a rejection
    }
    result.then(
      (results) =>
        context.mailbox(() => this.#settled(element, attempt, { results: [...results] })),
      (error: unknown) => context.mailbox(() => this.#settled(element, attempt, { error })),
    );
  }

  #settled(
    element: Element,
    attempt: number,
    outcome: { results: readonly unknown[] } | { error: unknown },
  ): void {
    if (element.results !== undefined) return; // timed out meanwhile
    const { retry } = this.#params;
    const failed = 'error' in outcome;
    const again =
      retry !== undefined &&
      attempt < retry.attemptsMax &&
      (failed
        ? (retry.onError?.(outcome.error) ?? true)
        : (retry.onResult?.(outcome.results) ?? false));
    if (again) {
      const delay = Math.min(
        retry.delayMs * (retry.backoffFactor ?? 1) ** (attempt - 1),
        retry.delayMaxMs ?? Number.MAX_SAFE_INTEGER,
      );
      const { processingTime } = this.#shell.context;
      processingTime.registerTimer(processingTime.now() + delay, () => {
        if (element.results === undefined) this.#call(element, attempt + 1);
      });
      return;
    }
    if (failed)
      throw userCodeError(outcome.error, this.#shell.culprit, { timestamp: element.timestamp });
    this.#complete(element, outcome.results);
  }

  #timedOut(element: Element): void {
    if (element.results !== undefined) return;
    element.abort?.abort();
    const { onTimeout, timeoutMs } = this.#params;
    if (onTimeout === undefined) {
      throw new MillraceError(
        'unavailable',
        'ASYNC_TIMEOUT',
        `operator "${this.#shell.culprit.operator}": an asynchronous call took longer than ${timeoutMs} ms; raise the timeout, or say with onTimeout what such records yield`,
      );
    }
    this.#complete(element, [...onTimeout(element.value)]);
  }

  #complete(element: Element, results: readonly unknown[]): void {
    this.#deadlines.get(element)?.cancel();
    this.#deadlines.delete(element);
    element.results = results;
    this.#running--;
    this.#emit();
    this.#startMore();
  }

  #emit(): void {
    const { out } = this.#shell;
    let barrier = false;
    const left: Entry[] = [];
    for (const entry of this.#queue) {
      if (entry instanceof Element) {
        const emits =
          !barrier &&
          entry.results !== undefined &&
          (this.#params.mode === 'unordered' || left.length === 0);
        if (!emits) {
          left.push(entry);
          continue;
        }
        out.timestamp = entry.timestamp;
        for (const result of entry.results!) out.collect(result);
      } else if (left.length > 0) {
        barrier = true;
        left.push(entry);
      } else if ('watermark' in entry) this.#shell.forwardWatermark(entry.watermark);
      else this.#shell.forwardStatus(entry.idle);
    }
    this.#shell.flush();
    this.#queue = left;
    if (left.length === 0) this.#drained?.();
  }
}
