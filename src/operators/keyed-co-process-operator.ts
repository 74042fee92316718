/** KeyedCoProcessFunction: two keyed streams that share state and timers by key. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import type { OperatorContext } from './contract.ts';
import type { KeyedCoProcessFunction, StateDeclaration } from './functions.ts';
import type { AnyKeySelector } from './keyed-shell.ts';
import { KeyedTwoInput } from './keyed-two-input.ts';

type User = KeyedCoProcessFunction<unknown, unknown, unknown, unknown, StateDeclaration>;

export class KeyedCoProcessOperator extends KeyedTwoInput {
  readonly #user: User;
  readonly #keys: readonly [AnyKeySelector, AnyKeySelector];
  readonly #process1 = (value: unknown): void =>
    this.#user.processElement1(value, this.context, this.shell.out);
  readonly #process2 = (value: unknown): void =>
    this.#user.processElement2(value, this.context, this.shell.out);

  constructor(user: User, keys: readonly [AnyKeySelector, AnyKeySelector]) {
    super(user.state);
    this.#user = user;
    this.#keys = keys;
  }

  override open(context: OperatorContext): void {
    super.open(context);
    this.#user.open?.();
  }

  prepareBatch1(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareEach(batch, this.#keys[0], gate);
  }

  prepareBatch2(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareEach(batch, this.#keys[1], gate);
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

  protected onTimer(timestamp: number): void {
    this.#user.onTimer?.(timestamp, this.context, this.shell.out);
  }
}
