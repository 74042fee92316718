/**
 * Results by key in bundles: records are added to state without a result being read or emitted; when the bundle ends, each key that
 * changed says its result once. For high rates per key this spares reads, and work for everything behind.
 *
 * A bundle of a key ends after `allowLatencyMs` of processing time, and before each watermark: what it emits is never late. Bundles are
 * state and timers like any: a barrier does not end them, a checkpoint holds them. Where the backend folds blindly, adding reads nothing,
 * and firing reads what it needs of many keys at once.
 */
import { durationMs, type Duration } from '../base/duration.ts';
import type { RecordGate } from '../state/async-execution-controller.ts';
import { valueState } from '../state/descriptor.ts';
import type {
  InternalTimerService,
  KeyedStateBackend,
  Namespaced,
  TimerTarget,
} from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';
import type { Collector, DeclaredState, StateDeclaration } from './functions.ts';
import {
  type AnyKeySelector,
  declareStates,
  prepareAll,
  prepareEach,
  requireKeyed,
} from './keyed-shell.ts';
import { OperatorShell } from './operator-shell.ts';
import { userCodeError } from './user-code-error.ts';

/** How long results may wait for more records (Flink's `table.exec.mini-batch.*`). */
export interface MiniBatch {
  /** `table.exec.mini-batch.allow-latency` */
  readonly allowLatency: Duration;
  /**
   * `table.exec.mini-batch.size`: keys that a bundle in memory may hold, in the local phase. Default 10,000. Bundles in state need no limit.
   */
  readonly size?: number;
}

/** What is done with records and at the end of a bundle, for the current key. */
export interface BundleFunction<S extends StateDeclaration> {
  readonly state: S;
  /** Adds a record; reads nothing but by `add` of these states. */
  add(state: DeclaredState<S>, value: unknown): void;
  /** The states that `add` adds to. */
  readonly added: keyof S & string;
  emit(state: DeclaredState<S>, out: Collector<unknown>): void;
}

const NO_NAMESPACE = 0;
const DIRTY = 'mini-batch-dirty';

export class MiniBatchOperator<S extends StateDeclaration>
  implements OneInputOperator, TimerTarget<number>
{
  readonly #user: BundleFunction<S>;
  readonly #keyOf: AnyKeySelector;
  readonly #latencyMs: number;
  #shell!: OperatorShell;
  #keyed!: KeyedStateBackend;
  #state!: DeclaredState<S>;
  #all!: readonly Namespaced<unknown>[];
  #added!: Namespaced<unknown>;
  /** The key has changed since it emitted last. */
  #dirty!: { value: boolean; clear(): void } & Namespaced<unknown>;
  #timers!: InternalTimerService<number>;

  constructor(user: BundleFunction<S>, keyOf: AnyKeySelector, { allowLatency }: MiniBatch) {
    this.#user = user;
    this.#keyOf = keyOf;
    this.#latencyMs = Math.max(1, durationMs(allowLatency));
  }

  open(context: OperatorContext): void {
    this.#shell = new OperatorShell(context);
    this.#keyed = requireKeyed(context);
    this.#state = declareStates(this.#keyed, this.#user.state);
    this.#dirty = this.#keyed.getState(DIRTY, valueState(t.boolean(), { default: false })) as never; // namespaces are not used
    const states = this.#state as unknown as Readonly<Record<string, Namespaced<unknown>>>; // getState returns them so
    this.#added = states[this.#user.added]!;
    this.#all = [...Object.values(states), this.#dirty];
    this.#timers = this.#keyed.getTimerService('mini-batch-timers', t.int8(), this);
  }

  prepareBatch(batch: RecordBatch<unknown>, gate: RecordGate): void {
    prepareEach(this.#keyed, this.#keyOf, batch, {
      gate,
      prepare: () => this.#added.prepareAdd(),
    });
  }

  processBatch({ values }: RecordBatch<unknown>): void {
    const { processingTime } = this.#shell.context;
    const due = (Math.floor(processingTime.now() / this.#latencyMs) + 1) * this.#latencyMs;
    const next = this.#nextEventTime();
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        this.#keyed.setCurrentKey(this.#keyOf(value));
        this.#user.add(this.#state, value);
        this.#dirty.value = true;
        this.#timers.registerEventTimeTimer(NO_NAMESPACE, next);
        this.#timers.registerProcessingTimeTimer(NO_NAMESPACE, due);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
  }

  prepareTimer(): boolean {
    return prepareAll(this.#all);
  }

  onEventTime(timestamp: number): void {
    this.#emit(timestamp === Number.MIN_SAFE_INTEGER ? NO_TIMESTAMP : timestamp);
  }

  onProcessingTime(): void {
    const next = this.#nextEventTime();
    this.#emit(next === Number.MIN_SAFE_INTEGER ? NO_TIMESTAMP : next);
  }

  processWatermark(watermark: number): void {
    this.#shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#shell.forwardStatus(idle);
  }

  flush(): void {
    this.#shell.flush();
  }

  /** Just after the watermark: due with the next one, and not late. */
  #nextEventTime(): number {
    const { currentWatermark } = this.#timers;
    return Number.isSafeInteger(currentWatermark) ? currentWatermark + 1 : Number.MIN_SAFE_INTEGER;
  }

  /** The other timer of the bundle, or one of an earlier, finds nothing to do. */
  #emit(timestamp: number): void {
    if (!this.#dirty.value) return;
    this.#dirty.clear();
    this.#shell.out.timestamp = timestamp;
    try {
      this.#user.emit(this.#state, this.#shell.out);
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { timer: timestamp });
    }
  }
}
