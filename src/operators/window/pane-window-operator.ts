/**
 * Tumbling and sliding event-time windows over folded values, with the default trigger and no lateness: the common case, made cheap.
 *
 * Time is cut into panes of gcd(size, slide). A record is folded into its one pane; a window's result is the merge of its panes, made when it
 * fires. (Li et al., "No pane, no gain", SIGMOD Record 2005.) For tumbling windows the pane is the window.
 *
 * Invariants
 *  P1  For every window with a non-empty pane that has not fired, a timer is set for it, or for an earlier window of the key
 *      whose firing will set it: a new pane sets the timer of its first open window, a firing window that of its successor.
 *  P2  A pane is removed when the last window that contains it fires.
 *
 * Results equal the general operator's (property-tested). Cost per record: one key hash, one state lookup. Guarded by `bench/runtime.ts`.
 */
import { invalid } from '../../base/errors.ts';
import {
  aggregatingState,
  type AggregateFunction,
  type AggregatingState,
} from '../../state/descriptor.ts';
import type {
  InternalTimerService,
  KeyedStateBackend,
  Namespaced,
  TimerTarget,
} from '../../state/keyed-state-backend.ts';
import type { Schema } from '../../types/schema.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../../types/record-batch.ts';
import { t } from '../../types/t.ts';
import type { Counter, OneInputOperator, OperatorContext } from '../contract.ts';
import { type AnyKeySelector, requireKeyed } from '../keyed-shell.ts';
import { OperatorShell } from '../operator-shell.ts';
import type { OutputTag } from '../output-tag.ts';
import { userCodeError } from '../user-code-error.ts';
import type { AnyProcessWindowFunction } from './window-function.ts';
import { WindowFunctionHost } from './window-function-host.ts';
import { fixedWindows, TimeWindow, type WindowKind, windowStart } from './window.ts';

export interface PaneWindowParams {
  readonly sizeMs: number;
  readonly slideMs: number;
  readonly offsetMs: number;
  /** Of the accumulator. */
  readonly schema: Schema<unknown>;
  /** `merge` is needed where panes are smaller than windows. */
  readonly aggregate: AggregateFunction<unknown, unknown, unknown>;
  readonly window: AnyProcessWindowFunction;
  readonly keyOf: AnyKeySelector;
  readonly lateTag?: OutputTag<unknown>;
}

type Panes = AggregatingState<unknown, unknown> & Namespaced<number>;

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

export class PaneWindowOperator implements OneInputOperator, TimerTarget<number> {
  readonly #params: PaneWindowParams;
  readonly #paneMs: number;
  readonly #merge: ((a: unknown, b: unknown) => unknown) | undefined;
  #shell!: OperatorShell;
  #keyed!: KeyedStateBackend;
  #panes!: Panes;
  #timers!: InternalTimerService<number>;
  #functions!: WindowFunctionHost;
  #lateDropped!: Counter;

  constructor(params: PaneWindowParams) {
    this.#params = params;
    this.#paneMs = greatestCommonDivisor(params.sizeMs, params.slideMs);
    this.#merge = params.aggregate.merge?.bind(params.aggregate);
  }

  open(context: OperatorContext): void {
    const { schema, aggregate, sizeMs, window } = this.#params;
    this.#keyed = requireKeyed(context);
    this.#shell = new OperatorShell(context);
    this.#timers = this.#keyed.getTimerService('window-timers', t.int64(), this);
    // Panes keep accumulators: results are made of merged ones.
    const accumulate: AggregateFunction<unknown, unknown, unknown> = {
      createAccumulator: () => aggregate.createAccumulator(),
      add: (value, accumulator) => aggregate.add(value, accumulator),
      getResult: (accumulator) => accumulator,
    };
    this.#panes = this.#keyed.getNamespacedState(
      'window-contents',
      aggregatingState(schema, accumulate),
      t.int64(),
    );
    const kind = fixedWindows(sizeMs) as unknown as WindowKind<never>; // the host sees only windows of this kind
    this.#functions = new WindowFunctionHost({
      keyed: this.#keyed,
      kind,
      window,
      shell: this.#shell,
    });
    this.#lateDropped = context.metrics.counter('numLateRecordsDropped');
  }

  /** @hot bench/runtime.ts */
  processBatch({ values, timestamps }: RecordBatch<unknown>): void {
    const { keyOf, sizeMs, slideMs, offsetMs } = this.#params;
    const panes = this.#panes;
    const watermark = this.#timers.currentWatermark;
    let pane = Number.NaN;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        if (timestamp === NO_TIMESTAMP) throw withoutTimestamp();
        const paneOf = windowStart(timestamp, offsetMs, this.#paneMs);
        const last = slideMs === this.#paneMs ? paneOf : windowStart(timestamp, offsetMs, slideMs);
        if (last + sizeMs - 1 <= watermark) {
          this.#late(value, timestamp);
          continue;
        }
        this.#keyed.setCurrentKey(keyOf(value));
        if (paneOf !== pane) {
          pane = paneOf;
          panes.setNamespace(paneOf);
        }
        if (!panes.exists) this.#openPane(paneOf, watermark);
        panes.add(value);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }

  /** A window ends. */
  onEventTime(timestamp: number, start: number): void {
    const { slideMs, sizeMs } = this.#params;
    try {
      const end = start + sizeMs;
      const merged = sizeMs === this.#paneMs ? this.#single(start) : this.#mergePanes(start, end);
      for (let pane = start; pane < Math.min(start + slideMs, end); pane += this.#paneMs) {
        this.#panes.setNamespace(pane);
        this.#panes.clear();
      }
      if (slideMs < sizeMs) this.#succeed(start);
      if (merged === undefined) return;
      const window = new TimeWindow(start, end);
      this.#shell.out.timestamp = window.maxTimestamp;
      this.#functions.process(window, [this.#params.aggregate.getResult(merged)]);
      this.#functions.clear(window);
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { timer: timestamp });
    }
  }

  onProcessingTime(): void {}

  processWatermark(watermark: number): void {
    this.#shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#shell.forwardStatus(idle);
  }

  flush(): void {
    this.#shell.flush();
  }

  #late(value: unknown, timestamp: number): void {
    const { lateTag } = this.#params;
    if (lateTag === undefined) this.#lateDropped.inc(1);
    else this.#shell.emitSide(lateTag, value, timestamp);
  }

  /** P1: the first window that contains the pane and has not ended. */
  #openPane(pane: number, watermark: number): void {
    const { sizeMs, slideMs, offsetMs } = this.#params;
    // The first window start above pane + paneMs - sizeMs - 1, on the grid of slides.
    let start = windowStart(pane + this.#paneMs - sizeMs + slideMs - 1, offsetMs, slideMs);
    while (start + sizeMs - 1 <= watermark) start += slideMs;
    this.#timers.registerEventTimeTimer(start, start + sizeMs - 1);
  }

  /** P1: the next window, if any pane that it shares with the one that fired holds something. */
  #succeed(start: number): void {
    const { sizeMs, slideMs } = this.#params;
    for (let pane = start + slideMs; pane < start + sizeMs; pane += this.#paneMs) {
      this.#panes.setNamespace(pane);
      if (!this.#panes.exists) continue;
      this.#timers.registerEventTimeTimer(start + slideMs, start + slideMs + sizeMs - 1);
      return;
    }
  }

  #single(start: number): unknown {
    this.#panes.setNamespace(start);
    return this.#panes.exists ? this.#panes.get() : undefined;
  }

  /** `merge` may change its first argument, so it starts from a fresh accumulator. */
  #mergePanes(start: number, end: number): unknown {
    let merged: unknown;
    for (let pane = start; pane < end; pane += this.#paneMs) {
      this.#panes.setNamespace(pane);
      if (!this.#panes.exists) continue;
      merged = this.#merge!(
        merged === undefined ? this.#params.aggregate.createAccumulator() : merged,
        this.#panes.get(),
      );
    }
    return merged;
  }
}

const withoutTimestamp = (): unknown =>
  invalid(
    'RECORD_WITHOUT_TIMESTAMP',
    'a record without an event time reached an event-time window; give the source a WatermarkStrategy with withTimestampAssigner, or call assignTimestampsAndWatermarks before the window',
  );
