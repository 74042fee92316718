/**
 * What keyed operators share whose calls may wait (`async-functions.ts`): records are prepared and begin calls, timers come back to the
 * function.
 */
import type { TimerTarget } from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { AsyncCall } from './async-call.ts';
import { AsyncFunctions } from './async-functions.ts';
import type { OperatorContext } from './contract.ts';
import type { AnyKeyedProcessFunction } from './keyed-process-operator.ts';
import { type AnyKeySelector, prepareEach } from './keyed-shell.ts';
import type { PrepareParams } from './keyed-two-input.ts';
import type { AnyPrefetch, PrefetchPlan } from './prefetch.ts';

/** Of keyed functions of one input and of two. */
type KeyedFunction = Pick<
  AnyKeyedProcessFunction,
  'state' | 'prefetchOnTimer' | 'onTimer' | 'open' | 'close'
>;

export abstract class AsyncKeyedFunctions implements TimerTarget<number> {
  readonly suspends = true;
  readonly #user: KeyedFunction;
  #functions!: AsyncFunctions;
  #onTimer!: PrefetchPlan<number>;

  constructor(user: KeyedFunction) {
    this.#user = user;
  }

  open(context: OperatorContext): void {
    const user = this.#user;
    this.#functions = new AsyncFunctions(context, user.state, this);
    this.#onTimer = this.#functions.plan(user.prefetchOnTimer);
    this.openPlans((prefetch) => this.#functions.plan(prefetch));
    user.open?.();
  }

  prepareTimer(timestamp: number): boolean {
    return this.#onTimer.prepare(timestamp);
  }

  onEventTime(timestamp: number): void {
    this.#fire(timestamp, 'event-time');
  }

  onProcessingTime(timestamp: number): void {
    this.#fire(timestamp, 'processing-time');
  }

  processWatermark(watermark: number): void {
    this.#functions.shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#functions.shell.forwardStatus(idle);
  }

  flush(): void {
    this.#functions.shell.flush();
  }

  prepareSnapshot(): Promise<void> {
    return this.#functions.finish();
  }

  close(): void {
    this.#user.close?.();
  }

  /** The plans of what records read. */
  protected abstract openPlans(
    planOf: (prefetch: AnyPrefetch<unknown> | undefined) => PrefetchPlan<unknown>,
  ): void;

  protected prepareRecords(
    batch: RecordBatch<unknown>,
    { keyOf, plan, gate }: PrepareParams,
  ): void {
    const prepare = (value: unknown): boolean => plan.prepare(value);
    prepareEach(this.#functions.keyed, keyOf, batch, { gate, prepare });
  }

  protected processRecords(
    { values, timestamps }: RecordBatch<unknown>,
    keyOf: AnyKeySelector,
    run: (value: unknown, call: AsyncCall) => unknown,
  ): void {
    const { keyed, shell } = this.#functions;
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      keyed.setCurrentKey(keyOf(value));
      const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
      this.#functions.begin((call) => run(value, call), timestamp, 'record');
    }
    shell.flush();
  }

  #fire(timestamp: number, domain: 'event-time' | 'processing-time'): void {
    const run = (call: AsyncCall): unknown => this.#user.onTimer?.(timestamp, call, call);
    this.#functions.beginTimer(run, timestamp, domain);
  }
}
