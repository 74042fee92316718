/** KeyedCoProcessFunction: two keyed streams that share state and timers by key. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import type { OperatorContext } from './contract.ts';
import type { KeyedCoProcessFunction, StateDeclaration } from './functions.ts';
import type { AnyKeySelector } from './keyed-shell.ts';
import { KeyedTwoInput } from './keyed-two-input.ts';
import type { AnyPrefetch, PrefetchPlan } from './prefetch.ts';

export type AnyKeyedCoProcessFunction = KeyedCoProcessFunction<
  unknown,
  unknown,
  unknown,
  unknown,
  StateDeclaration
>;

export class KeyedCoProcessOperator extends KeyedTwoInput {
  readonly #user: AnyKeyedCoProcessFunction;
  readonly #keys: readonly [AnyKeySelector, AnyKeySelector];
  readonly #process1 = (value: unknown): unknown =>
    this.#user.processElement1(value, this.context, this.shell.out);
  readonly #process2 = (value: unknown): unknown =>
    this.#user.processElement2(value, this.context, this.shell.out);

  #on1!: PrefetchPlan<unknown>;
  #on2!: PrefetchPlan<unknown>;

  constructor(user: AnyKeyedCoProcessFunction, keys: readonly [AnyKeySelector, AnyKeySelector]) {
    super(user.state);
    this.#user = user;
    this.#keys = keys;
  }

  override open(context: OperatorContext): void {
    super.open(context);
    this.#on1 = this.context.plan(this.#user.prefetch1);
    this.#on2 = this.context.plan(this.#user.prefetch2);
    this.#user.open?.();
  }

  prepareBatch1(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareEach(batch, { keyOf: this.#keys[0], plan: this.#on1, gate });
  }

  prepareBatch2(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareEach(batch, { keyOf: this.#keys[1], plan: this.#on2, gate });
  }

  processBatch1(batch: RecordBatch<unknown>): void {
    this.each(batch, this.#keys[0], this.#process1);
  }

  processBatch2(batch: RecordBatch<unknown>): void {
    this.each(batch, this.#keys[1], this.#process2);
  }

  close(): void {
    this.#user.close?.();
  }

  protected override get prefetchOnTimer(): AnyPrefetch<number> | undefined {
    return this.#user.prefetchOnTimer;
  }

  protected onTimer(timestamp: number): unknown {
    return this.#user.onTimer?.(timestamp, this.context, this.shell.out);
  }
}
