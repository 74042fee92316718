/** A KeyedCoProcessFunction whose calls may wait: see `async-functions.ts`. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { AsyncKeyedFunctions } from './async-keyed-functions.ts';
import type { TwoInputOperator } from './contract.ts';
import type { AnyKeyedCoProcessFunction } from './keyed-co-process-operator.ts';
import type { AnyKeySelector } from './keyed-shell.ts';
import type { AnyPrefetch, PrefetchPlan } from './prefetch.ts';

export class AsyncKeyedCoProcessOperator extends AsyncKeyedFunctions implements TwoInputOperator {
  readonly #user: AnyKeyedCoProcessFunction;
  readonly #keys: readonly [AnyKeySelector, AnyKeySelector];
  #on1!: PrefetchPlan<unknown>;
  #on2!: PrefetchPlan<unknown>;

  constructor(user: AnyKeyedCoProcessFunction, keys: readonly [AnyKeySelector, AnyKeySelector]) {
    super(user);
    this.#user = user;
    this.#keys = keys;
  }

  prepareBatch1(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareRecords(batch, { keyOf: this.#keys[0], plan: this.#on1, gate });
  }

  prepareBatch2(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareRecords(batch, { keyOf: this.#keys[1], plan: this.#on2, gate });
  }

  processBatch1(batch: RecordBatch<unknown>): void {
    this.processRecords(batch, this.#keys[0], (value, call) =>
      this.#user.processElement1(value, call, call),
    );
  }

  processBatch2(batch: RecordBatch<unknown>): void {
    this.processRecords(batch, this.#keys[1], (value, call) =>
      this.#user.processElement2(value, call, call),
    );
  }

  protected override openPlans(
    planOf: (prefetch: AnyPrefetch<unknown> | undefined) => PrefetchPlan<unknown>,
  ): void {
    this.#on1 = planOf(this.#user.prefetch1);
    this.#on2 = planOf(this.#user.prefetch2);
  }
}
