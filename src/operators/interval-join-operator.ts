/**
 * Interval join: pairs of one key whose event times are within bounds of each other: right.ts in [left.ts + lower, left.ts + upper],
 * each bound inclusive unless excluded. Flink's semantics.
 *
 * Each side keeps its elements by timestamp in map state until no partner can come any more: a left element until left.ts + max(upper, 0),
 * a right one until right.ts - min(lower, 0). A pair carries the later of the two timestamps. A late element (below the watermark)
 * joins nothing: it goes to its side's late output, or is dropped and counted.
 */
import { invalid } from '../base/errors.ts';
import type { RecordGate } from '../state/async-execution-controller.ts';
import { mapState, type MapState } from '../state/descriptor.ts';
import type {
  InternalTimerService,
  KeyedStateBackend,
  Namespaced,
  TimerTarget,
  VOID_NAMESPACE,
} from '../state/keyed-state-backend.ts';
import type { Schema } from '../types/schema.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { Counter, OperatorContext, TwoInputOperator } from './contract.ts';
import type { ProcessJoinFunction } from './functions.ts';
import { type AnyKeySelector, prepareEach, requireKeyed } from './keyed-shell.ts';
import { OperatorShell, ShellContext } from './operator-shell.ts';
import type { OutputTag } from './output-tag.ts';
import { userCodeError } from './user-code-error.ts';

export interface IntervalJoinParams {
  /** Milliseconds, inclusive: excluded bounds are moved by one. */
  readonly lowerMs: number;
  readonly upperMs: number;
  readonly leftSchema: Schema<unknown>;
  readonly rightSchema: Schema<unknown>;
  readonly leftKey: AnyKeySelector;
  readonly rightKey: AnyKeySelector;
  readonly join: ProcessJoinFunction<unknown, unknown, unknown>;
  readonly lateLeft?: OutputTag<unknown>;
  readonly lateRight?: OutputTag<unknown>;
}

type Buffer = MapState<number, readonly unknown[]> & Namespaced<typeof VOID_NAMESPACE>;
const LEFT = 0;
const RIGHT = 1;

class JoinContext extends ShellContext {
  leftTimestamp = NO_TIMESTAMP;
  rightTimestamp = NO_TIMESTAMP;
}

export class IntervalJoinOperator implements TwoInputOperator, TimerTarget<number> {
  readonly #params: IntervalJoinParams;
  #shell!: OperatorShell;
  #context!: JoinContext;
  #keyed!: KeyedStateBackend;
  #timers!: InternalTimerService<number>;
  #left!: Buffer;
  #right!: Buffer;
  #lateDropped!: Counter;

  constructor(params: IntervalJoinParams) {
    if (params.lowerMs > params.upperMs)
      throw invalid(
        'BAD_INTERVAL',
        `an interval join's lower bound (${params.lowerMs} ms) is above its upper bound (${params.upperMs} ms)`,
      );
    this.#params = params;
  }

  open(context: OperatorContext): void {
    const { leftSchema, rightSchema } = this.#params;
    this.#keyed = requireKeyed(context);
    this.#shell = new OperatorShell(context);
    this.#context = new JoinContext(this.#shell);
    this.#left = this.#keyed.getState('left-buffer', mapState(t.timestamp(), t.array(leftSchema)));
    this.#right = this.#keyed.getState(
      'right-buffer',
      mapState(t.timestamp(), t.array(rightSchema)),
    );
    this.#timers = this.#keyed.getTimerService('cleanup-timers', t.int8(), this);
    this.#lateDropped = context.metrics.counter('numLateRecordsDropped');
  }

  prepareBatch1(batch: RecordBatch<unknown>, gate: RecordGate): void {
    prepareEach(this.#keyed, this.#params.leftKey, batch, {
      gate,
      prepare: (_, timestamp) => this.#prepare(this.#left, timestamp, this.#right),
    });
  }

  prepareBatch2(batch: RecordBatch<unknown>, gate: RecordGate): void {
    prepareEach(this.#keyed, this.#params.rightKey, batch, {
      gate,
      prepare: (_, timestamp) => this.#prepare(this.#right, timestamp, this.#left),
    });
  }

  processBatch1(batch: RecordBatch<unknown>): void {
    const { lowerMs, upperMs, leftKey, lateLeft } = this.#params;
    this.#each(batch, leftKey, lateLeft, (value, timestamp) => {
      this.#add(this.#left, timestamp, value);
      this.#timers.registerEventTimeTimer(LEFT, timestamp + Math.max(upperMs, 0));
      for (const [other, partners] of this.#sorted(this.#right)) {
        if (other < timestamp + lowerMs || other > timestamp + upperMs) continue;
        for (const partner of partners) this.#emit(value, timestamp, partner, other);
      }
    });
  }

  processBatch2(batch: RecordBatch<unknown>): void {
    const { lowerMs, upperMs, rightKey, lateRight } = this.#params;
    this.#each(batch, rightKey, lateRight, (value, timestamp) => {
      this.#add(this.#right, timestamp, value);
      this.#timers.registerEventTimeTimer(RIGHT, timestamp + Math.max(-lowerMs, 0));
      for (const [other, partners] of this.#sorted(this.#left)) {
        if (timestamp < other + lowerMs || timestamp > other + upperMs) continue;
        for (const partner of partners) this.#emit(partner, other, value, timestamp);
      }
    });
  }

  onEventTime(timestamp: number, side: number): void {
    const { lowerMs, upperMs } = this.#params;
    if (side === LEFT) this.#left.remove(timestamp - Math.max(upperMs, 0));
    else this.#right.remove(timestamp - Math.max(-lowerMs, 0));
  }

  onProcessingTime(): void {}

  processWatermark(watermark: number): void {
    this.#shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#shell.forwardStatus(idle);
  }

  #each(
    { values, timestamps }: RecordBatch<unknown>,
    keyOf: AnyKeySelector,
    late: OutputTag<unknown> | undefined,
    process: (value: unknown, timestamp: number) => void,
  ): void {
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        if (timestamp === NO_TIMESTAMP)
          throw invalid(
            'RECORD_WITHOUT_TIMESTAMP',
            'an interval join needs event time; give the sources a WatermarkStrategy with withTimestampAssigner',
          );
        if (timestamp < this.#timers.currentWatermark) {
          if (late === undefined) this.#lateDropped.inc(1);
          else this.#shell.emitSide(late, value, timestamp);
          continue;
        }
        this.#keyed.setCurrentKey(keyOf(value));
        process(value, timestamp);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }

  /** One's own element of that time, and all of the other side's. */
  #prepare(own: Buffer, timestamp: number, other: Buffer): boolean {
    const added = own.prepareEntry?.(timestamp) ?? true;
    return other.prepare() && added;
  }

  #add(buffer: Buffer, timestamp: number, value: unknown): void {
    buffer.put(timestamp, [...(buffer.get(timestamp) ?? []), value]);
  }

  #sorted(buffer: Buffer): readonly (readonly [number, readonly unknown[]])[] {
    return [...buffer.entries()].toSorted(([a], [b]) => a - b);
  }

  #emit(left: unknown, leftTimestamp: number, right: unknown, rightTimestamp: number): void {
    const context = this.#context;
    context.leftTimestamp = leftTimestamp;
    context.rightTimestamp = rightTimestamp;
    context.timestamp = Math.max(leftTimestamp, rightTimestamp);
    this.#shell.out.timestamp = context.timestamp;
    this.#params.join.processElement(left, right, context, this.#shell.out);
  }
}
