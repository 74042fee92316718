/** A KeyedProcessFunction whose calls may wait: see `async-functions.ts`. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { TimerTarget } from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { AsyncFunctions } from './async-functions.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';
import type { AnyKeyedProcessFunction } from './keyed-process-operator.ts';
import { type AnyKeySelector, prepareEach } from './keyed-shell.ts';
import type { PrefetchPlan } from './prefetch.ts';

export class AsyncKeyedProcessOperator implements OneInputOperator, TimerTarget<number> {
  readonly suspends = true;
  readonly #user: AnyKeyedProcessFunction;
  readonly #keyOf: AnyKeySelector;
  #functions!: AsyncFunctions;
  #onRecord!: PrefetchPlan<unknown>;
  #onTimer!: PrefetchPlan<number>;

  constructor(user: AnyKeyedProcessFunction, keyOf: AnyKeySelector) {
    this.#user = user;
    this.#keyOf = keyOf;
  }

  open(context: OperatorContext): void {
    const user = this.#user;
    this.#functions = new AsyncFunctions(context, user.state, this);
    this.#onRecord = this.#functions.plan(user.prefetch);
    this.#onTimer = this.#functions.plan(user.prefetchOnTimer);
    user.open?.();
  }

  prepareBatch(batch: RecordBatch<unknown>, gate: RecordGate): void {
    const plan = this.#onRecord;
    const prepare = (value: unknown): boolean => plan.prepare(value);
    prepareEach(this.#functions.keyed, this.#keyOf, batch, { gate, prepare });
  }

  processBatch({ values, timestamps }: RecordBatch<unknown>): void {
    const { keyed, shell } = this.#functions;
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      keyed.setCurrentKey(this.#keyOf(value));
      this.#functions.begin(
        (call) => this.#user.processElement(value, call, call),
        timestamps === null ? NO_TIMESTAMP : timestamps[i]!,
        'record',
      );
    }
    shell.flush();
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

  #fire(timestamp: number, domain: 'event-time' | 'processing-time'): void {
    this.#functions.beginTimer(
      (call) => this.#user.onTimer?.(timestamp, call, call),
      timestamp,
      domain,
    );
  }
}
