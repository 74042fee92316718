/**
 * The general window operator: any assigner, trigger, evictor and function, per key (Flink's WindowOperator).
 *
 * Owns the content of windows (a namespaced state), the triggers' states, the window timers and, for merging assigners, each key's set of
 * windows (`merging-windows.ts`).
 *
 * Invariants
 *  W1  A window is late when its maximum timestamp plus the allowed lateness is at or below the watermark. An element that no window
 *      takes goes to the late output, or is dropped and counted, if its own timestamp plus lateness is at or below the watermark.
 *  W2  What a window holds is removed by its cleanup timer, at its maximum timestamp plus lateness, or by a purge; never otherwise.
 *  W3  Results carry the window's maximum timestamp.
 *  W4  A trigger hears of every timer it has set, whether its window holds anything or not; a window that holds nothing does not fire.
 */
import { invalid } from '../../base/errors.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../../types/record-batch.ts';
import type { Counter, OneInputOperator, OperatorContext } from '../contract.ts';
import type { RecordGate } from '../../state/async-execution-controller.ts';
import type { TimerTarget } from '../../state/keyed-state-backend.ts';
import type { AnyKeySelector } from '../keyed-shell.ts';
import { OperatorShell } from '../operator-shell.ts';
import type { OutputTag } from '../output-tag.ts';
import { userCodeError } from '../user-code-error.ts';
import { prepareEach, requireKeyed } from '../keyed-shell.ts';
import type { AnyWindowAssigner } from './assigner.ts';
import type { Evictor } from './evictor.ts';
import { MergingWindows } from './merging-windows.ts';
import { type AnyTrigger, fires, type TriggerResult } from './trigger.ts';
import { TriggerHost } from './trigger-host.ts';
import { WindowContents } from './window-contents.ts';
import type { AnyProcessWindowFunction, WindowContent } from './window-function.ts';
import { WindowFunctionHost } from './window-function-host.ts';
import type { TimeWindow, Window } from './window.ts';

export interface WindowOperatorParams {
  readonly assigner: AnyWindowAssigner;
  readonly trigger: AnyTrigger;
  readonly evictor?: Evictor<unknown>;
  readonly content: WindowContent;
  readonly window: AnyProcessWindowFunction;
  readonly keyOf: AnyKeySelector;
  readonly allowedLatenessMs: number;
  readonly lateTag?: OutputTag<unknown>;
}

/** @throws `invalid` TRIGGER_CANNOT_MERGE, MERGING_WINDOW_STATE, AGGREGATE_CANNOT_MERGE */
export function checkWindow({ assigner, trigger, window, content }: WindowOperatorParams): void {
  if (assigner.merges !== true) return;
  const what = `${assigner.description} windows merge`;
  if (trigger.onMerge === undefined)
    throw invalid('TRIGGER_CANNOT_MERGE', `${what}; their trigger needs onMerge`);
  if (Object.keys(window.windowState ?? {}).length > 0) {
    throw invalid(
      'MERGING_WINDOW_STATE',
      `${what}, and per-window state cannot; keep it in globalState, by key`,
    );
  }
  if (content.kind === 'aggregate' && content.aggregate.merge === undefined)
    throw invalid('AGGREGATE_CANNOT_MERGE', `${what}; their aggregate needs merge`);
}

export class WindowOperator implements OneInputOperator, TimerTarget<unknown> {
  readonly #params: WindowOperatorParams;
  #assigner: AnyWindowAssigner;
  #shell!: OperatorShell;
  #contents!: WindowContents;
  #triggers!: TriggerHost;
  #functions!: WindowFunctionHost;
  #merging: MergingWindows | undefined;
  #lateDropped!: Counter;
  /** What a record is processed by is what it was prepared by. */
  #preparedAtMs: number | undefined;

  constructor(params: WindowOperatorParams) {
    this.#params = params;
    this.#assigner = params.assigner;
  }

  open(context: OperatorContext): void {
    const keyed = requireKeyed(context);
    this.#shell = new OperatorShell(context);
    this.#assigner = this.#params.assigner.forTask?.(context.random) ?? this.#params.assigner;
    const kind = this.#assigner.windows;
    const timers = keyed.getTimerService('window-timers', kind.schema, this);
    this.#contents = new WindowContents(keyed, this.#params);
    this.#triggers = new TriggerHost({
      keyed,
      kind,
      trigger: this.#params.trigger,
      timers,
      now: () => context.processingTime.now(),
    });
    this.#functions = new WindowFunctionHost({
      keyed,
      kind,
      window: this.#params.window,
      shell: this.#shell,
      timers,
    });
    if (this.#assigner.merges === true) this.#merging = new MergingWindows(keyed);
    this.#lateDropped = context.metrics.counter('numLateRecordsDropped');
  }

  processBatch({ values, timestamps }: RecordBatch<unknown>): void {
    const keyed = this.#shell.context.keyed!;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        keyed.setCurrentKey(this.#params.keyOf(value));
        this.#processElement(value, timestamps === null ? NO_TIMESTAMP : timestamps[i]!);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }

  /** What a record reads depends on the windows that those before it have merged. */
  get readsWhatIsWritten(): boolean {
    return this.#merging !== undefined;
  }

  prepareBatch(batch: RecordBatch<unknown>, gate: RecordGate): void {
    const now = this.#shell.context.processingTime.now();
    this.#preparedAtMs = now;
    prepareEach(this.#shell.context.keyed!, this.#params.keyOf, batch, {
      gate,
      prepare: (value, timestamp) => {
        let ready = true;
        for (const window of this.#assigner.assign(value, timestamp, now))
          if (!this.#prepareElement(window)) ready = false;
        return ready;
      },
    });
  }

  prepareTimer(_timestamp: number, namespace: unknown): boolean {
    const window = this.#assigner.windows.fromNamespace(namespace);
    if (this.#merging === undefined) return this.#prepareWindow(window, window, true);
    if (!this.#merging.prepare()) return false;
    return this.#merging
      .touching(window)
      .reduce(
        (ready, mapping) => this.#prepareWindow(mapping.window, mapping.state, true) && ready,
        true,
      );
  }

  onEventTime(timestamp: number, namespace: unknown): void {
    this.#onTimer(timestamp, namespace, 'event');
  }

  onProcessingTime(timestamp: number, namespace: unknown): void {
    this.#onTimer(timestamp, namespace, 'processing');
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

  #prepareElement(window: Window): boolean {
    if (this.#merging === undefined) {
      if (this.#isLate(window)) return true;
      return this.#prepareWindow(window, window, this.#triggers.mayFire(window));
    }
    if (!this.#merging.prepare()) return false;
    const touching = this.#merging.touching(window);
    let ready = this.#prepareWindow(window, window, true);
    const cover = touching.reduce((sum, other) => sum.cover(other.window), window as TimeWindow); // only time windows merge
    if (!this.#prepareWindow(cover, touching[0]?.state ?? window, true)) ready = false;
    for (const { window: other, state } of touching)
      if (!this.#prepareWindow(other, state, true)) ready = false;
    return ready;
  }

  #prepareWindow(window: Window, state: Window, read: boolean): boolean {
    this.#contents.select(this.#assigner.windows.toNamespace(state));
    const contents = read ? this.#contents.prepare() : this.#contents.prepareAdd();
    const functions = !read || this.#functions.prepare(window);
    return this.#triggers.prepare(window) && contents && functions;
  }

  #processElement(value: unknown, timestamp: number): void {
    const now = this.#preparedAtMs ?? this.#shell.context.processingTime.now();
    let accepted = false;
    for (const assigned of this.#assigner.assign(value, timestamp, now)) {
      const window = this.#merging === undefined ? assigned : this.#merge(assigned);
      if (this.#isLate(window)) {
        this.#merging?.retire(window);
        continue;
      }
      accepted = true;
      this.#contents.select(this.#stateWindow(window));
      this.#contents.add(value, timestamp);
      this.#react(window, this.#triggers.onElement(value, timestamp, window));
      this.#registerCleanup(window);
    }
    this.#merging?.save();
    if (!accepted && this.#isLateElement(timestamp)) this.#late(value, timestamp);
  }

  #merge(assigned: Window): Window {
    return this.#merging!.add(assigned, (result, merged, stateResult, stateMerged) => {
      this.#triggers.onMerge(result, merged);
      for (const window of merged) this.#deleteCleanup(window);
      this.#contents.merge(stateResult, stateMerged);
    });
  }

  #late(value: unknown, timestamp: number): void {
    const { lateTag } = this.#params;
    if (lateTag === undefined) this.#lateDropped.inc(1);
    else this.#shell.emitSide(lateTag, value, timestamp);
  }

  #onTimer(timestamp: number, namespace: unknown, domain: 'event' | 'processing'): void {
    const window = this.#assigner.windows.fromNamespace(namespace);
    this.#merging?.load();
    const known = this.#merging === undefined || this.#merging.stateWindowOf(window) !== undefined;
    if (!known) return; // merged away after the timer was set
    try {
      this.#contents.select(this.#stateWindow(window));
      this.#react(window, this.#triggers.onTimer(domain, timestamp, window));
      const cleanupDomain = this.#assigner.isEventTime ? 'event' : 'processing';
      if (domain === cleanupDomain && timestamp === this.#cleanupTime(window)) this.#clear(window);
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { timer: timestamp });
    }
    this.#merging?.save();
  }

  #react(window: Window, result: TriggerResult): void {
    if (result === 'continue') return;
    if (fires(result) && this.#contents.exists) {
      const elements = this.#contents.evictBefore(window);
      this.#shell.out.timestamp = window.maxTimestamp;
      this.#functions.process(window, elements);
      this.#contents.select(this.#stateWindow(window));
      this.#contents.evictAfter(window);
    }
    if (result !== 'fire') this.#contents.clear();
  }

  #clear(window: Window): void {
    this.#contents.clear();
    this.#triggers.clear(window);
    this.#functions.clear(window);
    this.#merging?.retire(window);
  }

  #stateWindow(window: Window): unknown {
    const state = this.#merging?.stateWindowOf(window) ?? window;
    return this.#assigner.windows.toNamespace(state);
  }

  #isLate(window: Window): boolean {
    return this.#assigner.isEventTime && this.#cleanupTime(window) <= this.#triggers.watermark;
  }

  /** Records that fall between windows belong to none and are not late for that. */
  #isLateElement(timestamp: number): boolean {
    return (
      this.#assigner.isEventTime &&
      timestamp + this.#params.allowedLatenessMs <= this.#triggers.watermark
    );
  }

  /** +Infinity where the sum would be: such a window is never cleaned up. */
  #cleanupTime(window: Window): number {
    return this.#assigner.isEventTime
      ? window.maxTimestamp + this.#params.allowedLatenessMs
      : window.maxTimestamp;
  }

  #registerCleanup(window: Window): void {
    const time = this.#cleanupTime(window);
    if (time === Number.POSITIVE_INFINITY) return;
    this.#triggers.registerTimer(this.#assigner.isEventTime ? 'event' : 'processing', window, time);
  }

  #deleteCleanup(window: Window): void {
    this.#triggers.deleteTimer(
      this.#assigner.isEventTime ? 'event' : 'processing',
      window,
      this.#cleanupTime(window),
    );
  }
}
