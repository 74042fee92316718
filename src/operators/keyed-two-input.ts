/** What keyed operators with two inputs share: records of either side set the current key, timers come back to the function. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { TimerTarget } from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { OperatorContext, TwoInputOperator } from './contract.ts';
import type { StateDeclaration } from './functions.ts';
import { type AnyKeySelector, KeyedShellContext, prepareEach } from './keyed-shell.ts';
import { OperatorShell } from './operator-shell.ts';
import { type AnyPrefetch, type PrefetchPlan, refusePromise } from './prefetch.ts';
import { userCodeError } from './user-code-error.ts';

export interface PrepareParams {
  readonly keyOf: AnyKeySelector;
  readonly plan: PrefetchPlan<unknown>;
  readonly gate: RecordGate;
}

export abstract class KeyedTwoInput implements TwoInputOperator, TimerTarget<number> {
  readonly #declaration: StateDeclaration | undefined;
  protected shell!: OperatorShell;
  protected context!: KeyedShellContext<StateDeclaration>;
  #onTimer!: PrefetchPlan<number>;

  constructor(declaration: StateDeclaration | undefined) {
    this.#declaration = declaration;
  }

  open(context: OperatorContext): void {
    this.shell = new OperatorShell(context);
    this.context = this.createContext(this.shell, this.#declaration);
    this.#onTimer = this.context.plan(this.prefetchOnTimer);
  }

  abstract processBatch1(batch: RecordBatch<unknown>): void;
  abstract processBatch2(batch: RecordBatch<unknown>): void;
  protected abstract onTimer(timestamp: number): unknown;

  protected get prefetchOnTimer(): AnyPrefetch<number> | undefined {
    return undefined;
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
    this.shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.shell.forwardStatus(idle);
  }

  flush(): void {
    this.shell.flush();
  }

  protected createContext(
    shell: OperatorShell,
    declaration: StateDeclaration | undefined,
  ): KeyedShellContext<StateDeclaration> {
    return new KeyedShellContext(shell, declaration, this);
  }

  protected prepareEach(batch: RecordBatch<unknown>, { keyOf, plan, gate }: PrepareParams): void {
    const prepare = (value: unknown): boolean => plan.prepare(value);
    prepareEach(this.context.keyed, keyOf, batch, { gate, prepare });
  }

  /** Without a key selector, records are of a side without keys. */
  protected each(
    { values, timestamps }: RecordBatch<unknown>,
    keyOf: AnyKeySelector | undefined,
    process: (value: unknown) => unknown,
  ): void {
    const { context } = this;
    const { out } = this.shell;
    const { keyed } = context;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        out.timestamp = timestamp;
        context.timestamp = timestamp;
        if (keyOf !== undefined) keyed.setCurrentKey(keyOf(value));
        const returned = process(value);
        if (returned !== undefined) refusePromise(returned);
      }
    } catch (cause) {
      throw userCodeError(cause, this.shell.culprit, { recordIndex: i });
    }
    this.shell.flush();
  }

  #fire(timestamp: number, domain: 'event-time' | 'processing-time'): void {
    this.shell.out.timestamp = domain === 'event-time' ? timestamp : NO_TIMESTAMP;
    this.context.timestamp = this.shell.out.timestamp;
    this.context.timeDomain = domain;
    try {
      const returned = this.onTimer(timestamp);
      if (returned !== undefined) refusePromise(returned);
    } catch (cause) {
      throw userCodeError(cause, this.shell.culprit, { timer: timestamp });
    }
  }
}
