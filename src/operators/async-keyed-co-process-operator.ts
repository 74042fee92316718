/** A KeyedCoProcessFunction whose calls may wait: see `async-functions.ts`. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { TimerTarget } from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { AsyncCall } from './async-call.ts';
import { AsyncFunctions } from './async-functions.ts';
import type { OperatorContext, TwoInputOperator } from './contract.ts';
import type { AnyKeyedCoProcessFunction } from './keyed-co-process-operator.ts';
import { type AnyKeySelector, prepareEach } from './keyed-shell.ts';
import type { PrefetchPlan } from './prefetch.ts';

export class AsyncKeyedCoProcessOperator implements TwoInputOperator, TimerTarget<number> {
  readonly suspends = true;
  readonly #user: AnyKeyedCoProcessFunction;
  readonly #keys: readonly [AnyKeySelector, AnyKeySelector];
  #functions!: AsyncFunctions;
  #on1!: PrefetchPlan<unknown>;
  #on2!: PrefetchPlan<unknown>;
  #onTimer!: PrefetchPlan<number>;

  constructor(user: AnyKeyedCoProcessFunction, keys: readonly [AnyKeySelector, AnyKeySelector]) {
    this.#user = user;
    this.#keys = keys;
  }

  open(context: OperatorContext): void {
    const user = this.#user;
    this.#functions = new AsyncFunctions(context, user.state, this);
    this.#on1 = this.#functions.plan(user.prefetch1);
    this.#on2 = this.#functions.plan(user.prefetch2);
    this.#onTimer = this.#functions.plan(user.prefetchOnTimer);
    user.open?.();
  }

  prepareBatch1(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.#prepare(batch, { keyOf: this.#keys[0], plan: this.#on1, gate });
  }

  prepareBatch2(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.#prepare(batch, { keyOf: this.#keys[1], plan: this.#on2, gate });
  }

  processBatch1(batch: RecordBatch<unknown>): void {
    this.#process(batch, this.#keys[0], (value, call) =>
      this.#user.processElement1(value, call, call),
    );
  }

  processBatch2(batch: RecordBatch<unknown>): void {
    this.#process(batch, this.#keys[1], (value, call) =>
      this.#user.processElement2(value, call, call),
    );
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

  #prepare(
    batch: RecordBatch<unknown>,
    { keyOf, plan, gate }: { keyOf: AnyKeySelector; plan: PrefetchPlan<unknown>; gate: RecordGate },
  ): void {
    const prepare = (value: unknown): boolean => plan.prepare(value);
    prepareEach(this.#functions.keyed, keyOf, batch, { gate, prepare });
  }

  #process(
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
