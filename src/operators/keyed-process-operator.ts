/** KeyedProcessFunction: per-key state and timers. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import { type LeftOut, NOTHING_LEFT_OUT } from '../state/waiting-keys.ts';
import type { TimerTarget } from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';
import type { KeyedProcessFunction, StateDeclaration } from './functions.ts';
import { type AnyKeySelector, KeyedShellContext, prepareEach } from './keyed-shell.ts';
import { OperatorShell } from './operator-shell.ts';
import { type PrefetchPlan, refusePromise } from './prefetch.ts';
import { userCodeError } from './user-code-error.ts';

export type AnyKeyedProcessFunction = KeyedProcessFunction<
  unknown,
  unknown,
  unknown,
  StateDeclaration
>;

export class KeyedProcessOperator implements OneInputOperator, TimerTarget<number> {
  readonly #user: AnyKeyedProcessFunction;
  readonly #keyOf: AnyKeySelector;
  #shell!: OperatorShell;
  #context!: KeyedShellContext<StateDeclaration>;
  #onRecord!: PrefetchPlan<unknown>;
  #onTimerPlan!: PrefetchPlan<number>;

  constructor(user: AnyKeyedProcessFunction, keyOf: AnyKeySelector) {
    this.#user = user;
    this.#keyOf = keyOf;
  }

  /** There are no timers that they would fire. */
  get ignoresWatermarks(): boolean {
    return this.#user.onTimer === undefined;
  }

  open(context: OperatorContext): void {
    this.#shell = new OperatorShell(context);
    this.#context = new KeyedShellContext(this.#shell, this.#user.state, this);
    this.#onRecord = this.#context.plan(this.#user.prefetch);
    this.#onTimerPlan = this.#context.plan(this.#user.prefetchOnTimer);
    this.#user.open?.();
  }

  processBatch(batch: RecordBatch<unknown>): void {
    this.processRest(batch, NOTHING_LEFT_OUT);
  }

  /** @hot bench/runtime.ts, bench/aec.ts */
  processRest({ values, timestamps }: RecordBatch<unknown>, left: LeftOut): void {
    const { out } = this.#shell;
    const context = this.#context;
    const { keyed } = context;
    const keyOf = this.#keyOf;
    const user = this.#user;
    const { indexes, count } = left;
    let skipped = 0;
    let skip = count === 0 ? -1 : indexes[0]!;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        if (i === skip) {
          skipped++;
          skip = skipped < count ? indexes[skipped]! : -1;
          continue;
        }
        const value = values[i];
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        out.timestamp = timestamp;
        context.timestamp = timestamp;
        keyed.setCurrentKey(keyOf(value));
        const returned: unknown = user.processElement(value, context, out);
        if (returned !== undefined) refusePromise(returned);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i, timestamp: out.timestamp });
    }
    this.#shell.flush();
  }

  prepareBatch(batch: RecordBatch<unknown>, gate: RecordGate): void {
    const plan = this.#onRecord;
    const prepare = (value: unknown): boolean => plan.prepare(value);
    const { byKeyAlone } = plan;
    prepareEach(this.#context.keyed, this.#keyOf, batch, { gate, prepare, byKeyAlone });
  }

  prepareTimer(timestamp: number): boolean {
    return this.#onTimerPlan.prepare(timestamp);
  }

  onEventTime(timestamp: number): void {
    this.#onTimer(timestamp, 'event-time');
  }

  onProcessingTime(timestamp: number): void {
    this.#onTimer(timestamp, 'processing-time');
  }

  processWatermark(watermark: number): void {
    this.#shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#shell.forwardStatus(idle);
  }

  /** After timers have fired, the task flushes what they emitted. */
  flush(): void {
    this.#shell.flush();
  }

  close(): void {
    this.#user.close?.();
  }

  #onTimer(timestamp: number, domain: 'event-time' | 'processing-time'): void {
    const context = this.#context;
    this.#shell.out.timestamp = domain === 'event-time' ? timestamp : NO_TIMESTAMP;
    context.timestamp = this.#shell.out.timestamp;
    context.timeDomain = domain;
    try {
      const returned: unknown = this.#user.onTimer?.(timestamp, context, this.#shell.out);
      if (returned !== undefined) refusePromise(returned);
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { timer: timestamp });
    }
  }
}
