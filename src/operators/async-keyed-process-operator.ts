/** A KeyedProcessFunction whose calls may wait: see `async-functions.ts`. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { AsyncKeyedFunctions } from './async-keyed-functions.ts';
import type { OneInputOperator } from './contract.ts';
import type { AnyKeyedProcessFunction } from './keyed-process-operator.ts';
import type { AnyKeySelector } from './keyed-shell.ts';
import type { AnyPrefetch, PrefetchPlan } from './prefetch.ts';

export class AsyncKeyedProcessOperator extends AsyncKeyedFunctions implements OneInputOperator {
  readonly #user: AnyKeyedProcessFunction;
  readonly #keyOf: AnyKeySelector;
  #onRecord!: PrefetchPlan<unknown>;

  constructor(user: AnyKeyedProcessFunction, keyOf: AnyKeySelector) {
    super(user);
    this.#user = user;
    this.#keyOf = keyOf;
  }

  prepareBatch(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareRecords(batch, { keyOf: this.#keyOf, plan: this.#onRecord, gate });
  }

  processBatch(batch: RecordBatch<unknown>): void {
    this.processRecords(batch, this.#keyOf, (value, call) =>
      this.#user.processElement(value, call, call),
    );
  }

  protected override openPlans(
    planOf: (prefetch: AnyPrefetch<unknown> | undefined) => PrefetchPlan<unknown>,
  ): void {
    this.#onRecord = planOf(this.#user.prefetch);
  }
}
