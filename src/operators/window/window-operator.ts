/**
 * The general window operator: any assigner, trigger, evictor and function, per key (Flink's WindowOperator).
 *
 * Owns the content of windows (a namespaced state), the triggers' states, the window timers and, for merging assigners, each key's set of
 * windows (`merging-windows.ts`).
 *
 * Invariants
 *  W1  A window is late when its end plus the allowed lateness is at or below the watermark; its elements go to the late
 *      output, or are dropped and counted.
 *  W2  What a window holds is removed by its cleanup timer, at its end plus lateness, and not before.
 *  W3  Results carry the window's maximum timestamp.
 */
import { NO_TIMESTAMP, type RecordBatch } from '../../types/record-batch.ts';
import type { Counter, OneInputOperator, OperatorContext } from '../contract.ts';
import type { TimerTarget } from '../../state/keyed-state-backend.ts';
import type { AnyKeySelector } from '../keyed-shell.ts';
import { OperatorShell } from '../operator-shell.ts';
import type { OutputTag } from '../output-tag.ts';
import { userCodeError } from '../user-code-error.ts';
import { requireKeyed } from '../keyed-shell.ts';
import type { AnyWindowAssigner } from './assigner.ts';
import type { Evictor } from './evictor.ts';
import { MergingWindows } from './merging-windows.ts';
import type { AnyTrigger, TriggerResult } from './trigger.ts';
import { TriggerHost } from './trigger-host.ts';
import { WindowContents } from './window-contents.ts';
import type { AnyProcessWindowFunction, WindowContent } from './window-function.ts';
import { WindowFunctionHost } from './window-function-host.ts';
import type { Window } from './window.ts';

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

export class WindowOperator implements OneInputOperator, TimerTarget<unknown> {
  readonly #params: WindowOperatorParams;
  readonly #assigner: AnyWindowAssigner;
  #shell!: OperatorShell;
  #contents!: WindowContents;
  #triggers!: TriggerHost;
  #functions!: WindowFunctionHost;
  #merging: MergingWindows | undefined;
  #lateDropped!: Counter;

  constructor(params: WindowOperatorParams) {
    this.#params = params;
    this.#assigner = params.assigner;
  }

  open(context: OperatorContext): void {
    const keyed = requireKeyed(context);
    this.#shell = new OperatorShell(context);
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

  #processElement(value: unknown, timestamp: number): void {
    const now = this.#shell.context.processingTime.now();
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
    if (!accepted) this.#late(value, timestamp);
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
      if (this.#contents.exists)
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
    if (result !== 'purge' && this.#contents.exists) {
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

  /** +Infinity where the sum would be: such a window is never cleaned up. */
  #cleanupTime(window: Window): number {
    return this.#assigner.isEventTime
      ? window.maxTimestamp + this.#params.allowedLatenessMs
      : window.maxTimestamp;
  }

  #registerCleanup(window: Window): void {
    this.#triggers.registerTimer(
      this.#assigner.isEventTime ? 'event' : 'processing',
      window,
      this.#cleanupTime(window),
    );
  }

  #deleteCleanup(window: Window): void {
    this.#triggers.deleteTimer(
      this.#assigner.isEventTime ? 'event' : 'processing',
      window,
      this.#cleanupTime(window),
    );
  }
}
