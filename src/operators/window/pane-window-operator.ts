/**
 * Tumbling and sliding event-time windows, and tumbling processing-time windows, with the default trigger: the common case, made cheap.
 *
 * Time is cut into panes (`panes.ts`). A record goes into its one pane; what a window holds is put together from its panes when it fires.
 * For tumbling windows the pane is the window.
 *
 * Two chains of timers run along the windows of a key, one at the windows' last milliseconds, which fires them, and one `allowedLatenessMs`
 * later, which forgets them; without lateness they are one.
 *
 * Invariants
 *  P1  For every window with a non-empty pane that has not fired (been forgotten), a timer of the chain is set for it, or for an earlier
 *      window of the key whose turn will set it: a new pane sets the timer of its first open window, a window whose turn has come
 *      that of its successor.
 *  P2  A pane is removed when the last window that contains it is forgotten.
 *  P3  A record that comes while a window of its is fired but not forgotten fires that window at once.
 *
 * Results equal the general operator's (property-tested). Cost per record: one key hash, one state lookup; per firing: a lookup per pane, or
 * one where all panes of a key are one value (`panes-of-key.ts`).
 * Guarded by `bench/runtime.ts`.
 */
import type { RecordGate } from '../../state/async-execution-controller.ts';
import type {
  InternalTimerService,
  KeyedStateBackend,
  TimerTarget,
} from '../../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../../types/record-batch.ts';
import { t } from '../../types/t.ts';
import type { Counter, OneInputOperator, OperatorContext } from '../contract.ts';
import { type AnyKeySelector, prepareEach, requireKeyed } from '../keyed-shell.ts';
import { OperatorShell } from '../operator-shell.ts';
import type { OutputTag } from '../output-tag.ts';
import { userCodeError } from '../user-code-error.ts';
import { recordWithoutTimestamp } from './assigner.ts';
import { openPanes } from './open-panes.ts';
import type { PaneContents, PaneState } from './pane-contents.ts';
import { PaneLayout, type WindowShape } from './panes.ts';
import type { AnyProcessWindowFunction, WindowContent } from './window-function.ts';
import { WindowFunctionHost } from './window-function-host.ts';
import { fixedWindows, TimeWindow, type Window, type WindowKind } from './window.ts';

export interface PaneWindowParams {
  /** Processing time: tumbling windows without lateness. Nothing is late. */
  readonly time: 'event' | 'processing';
  readonly shape: WindowShape;
  /** An aggregate needs `merge` where panes are smaller than windows. */
  readonly content: WindowContent;
  readonly window: AnyProcessWindowFunction;
  readonly keyOf: AnyKeySelector;
  readonly allowedLatenessMs: number;
  readonly lateTag?: OutputTag<unknown>;
}

export class PaneWindowOperator implements OneInputOperator, TimerTarget<number> {
  readonly #params: PaneWindowParams;
  readonly #layout: PaneLayout;
  /** From a window's start to its last millisecond, and to the moment it is forgotten. */
  readonly #fireAfterMs: number;
  readonly #forgetAfterMs: number;
  #shell!: OperatorShell;
  #keyed!: KeyedStateBackend;
  #panes!: PaneState;
  #contents!: PaneContents;
  #timers!: InternalTimerService<number>;
  #functions!: WindowFunctionHost;
  #lateDropped!: Counter;
  /** What a record is processed by is what it was prepared by. */
  #preparedAtMs: number | undefined;

  constructor(params: PaneWindowParams) {
    this.#params = params;
    this.#layout = new PaneLayout(params.shape);
    this.#fireAfterMs = params.shape.sizeMs - 1;
    this.#forgetAfterMs = this.#fireAfterMs + params.allowedLatenessMs;
  }

  open(context: OperatorContext): void {
    const { content, window } = this.#params;
    this.#keyed = requireKeyed(context);
    this.#shell = new OperatorShell(context);
    this.#timers = this.#keyed.getTimerService('window-timers', t.int64(), this);
    this.#contents = openPanes(this.#keyed, context, {
      content,
      layout: this.#layout,
      allowedLatenessMs: this.#params.allowedLatenessMs,
    });
    this.#panes = this.#contents.state;
    this.#functions = new WindowFunctionHost({
      keyed: this.#keyed,
      kind: fixedWindows(this.#layout.sizeMs) as unknown as WindowKind<Window>, // sees only windows of this kind
      window,
      shell: this.#shell,
      timers: this.#timers,
    });
    this.#lateDropped = context.metrics.counter('numLateRecordsDropped');
  }

  processBatch(batch: RecordBatch<unknown>): void {
    if (this.#params.time === 'event') this.#processByEventTime(batch);
    else this.#processNow(batch);
  }

  /** @hot bench/runtime.ts */
  #processByEventTime({ values, timestamps }: RecordBatch<unknown>): void {
    const { keyOf } = this.#params;
    const layout = this.#layout;
    const panes = this.#panes;
    const watermark = this.#timers.currentWatermark;
    // Panes that start later have no window that has fired. Without lateness such a window is forgotten too.
    const firedTo = this.#forgetAfterMs === this.#fireAfterMs ? Number.NaN : watermark;
    const { slideMs } = layout;
    let selected = Number.NaN;
    // Records come roughly in order: most have the last window of the one before, and a remainder of doubles is dear.
    let last = Number.NaN;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        if (!Number.isFinite(timestamp)) throw recordWithoutTimestamp(timestamp);
        if (!(timestamp >= last && timestamp < last + slideMs)) last = layout.lastWindow(timestamp);
        if (last + this.#forgetAfterMs <= watermark) {
          this.#late(value, timestamp);
          continue;
        }
        const pane = layout.paneOf(timestamp, last);
        this.#keyed.setCurrentKey(keyOf(value));
        if (pane !== selected) {
          selected = pane;
          panes.setNamespace(pane);
        }
        if (!panes.exists) this.#openPane(pane, watermark);
        panes.add(value);
        if (pane <= firedTo && this.#fireLate(pane, last, watermark)) selected = Number.NaN;
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }

  /** @hot bench/nexmark (q12): the clock is read once a batch. */
  #processNow({ values }: RecordBatch<unknown>): void {
    const { keyOf } = this.#params;
    const now = this.#preparedAtMs ?? this.#shell.context.processingTime.now();
    const pane = this.#layout.lastWindow(now);
    const panes = this.#panes;
    panes.setNamespace(pane);
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        this.#keyed.setCurrentKey(keyOf(value));
        if (!panes.exists) this.#timers.registerProcessingTimeTimer(pane, pane + this.#fireAfterMs);
        panes.add(value);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }

  prepareBatch(batch: RecordBatch<unknown>, gate: RecordGate): void {
    let prepare = this.#prepareByEventTime;
    if (this.#params.time === 'processing') {
      const now = this.#shell.context.processingTime.now();
      this.#preparedAtMs = now;
      const pane = this.#layout.lastWindow(now);
      prepare = () => this.#preparePanes(pane, pane + 1);
    }
    prepareEach(this.#keyed, this.#params.keyOf, batch, { gate, prepare });
  }

  readonly #prepareByEventTime = (_value: unknown, timestamp: number): boolean => {
    if (!Number.isFinite(timestamp)) return true; // refused when it is processed
    const watermark = this.#timers.currentWatermark;
    const last = this.#layout.lastWindow(timestamp);
    if (last + this.#forgetAfterMs <= watermark) return true;
    const pane = this.#layout.paneOf(timestamp, last);
    // A late record fires what it is in: all panes of its windows are read.
    if (this.#forgetAfterMs !== this.#fireAfterMs && pane <= watermark)
      return this.#prepareLate(this.#layout.firstWindow(pane), last);
    return this.#preparePanes(pane, pane + 1);
  };

  prepareTimer(_timestamp: number, start: number): boolean {
    const ready = this.#preparePanes(start, start + this.#layout.sizeMs);
    if (!this.#functions.prepares) return ready;
    return this.#functions.prepare(this.#windowAt(start)) && ready;
  }

  onEventTime(timestamp: number, start: number): void {
    this.#onTurn(timestamp, start);
  }

  onProcessingTime(timestamp: number, start: number): void {
    this.#onTurn(timestamp, start);
  }

  /** The turn of a window: to fire, to be forgotten, or both. */
  #onTurn(timestamp: number, start: number): void {
    const fires = timestamp === start + this.#fireAfterMs;
    const forgets = timestamp === start + this.#forgetAfterMs;
    try {
      const held = fires ? this.#contents.read(start) : undefined;
      if (forgets) this.#dropPanes(start);
      if (!this.#layout.tumbling) this.#succeed(start, timestamp);
      if (held !== undefined) this.#fire(start, held);
      if (forgets && this.#functions.clears) this.#functions.clear(this.#windowAt(start));
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { timer: timestamp });
    }
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

  snapshotState(): void {
    this.#contents.save();
  }

  #preparePanes(start: number, end: number): boolean {
    if (this.#contents.together) return this.#panes.prepare();
    let ready = true;
    for (let pane = start; pane < end; pane = this.#layout.after(pane)) {
      this.#panes.setNamespace(pane);
      if (!this.#panes.prepare()) ready = false;
    }
    return ready;
  }

  /** The windows from the one that starts at `first` to the one at `last`. */
  #prepareLate(first: number, last: number): boolean {
    let ready = this.#preparePanes(first, last + this.#layout.sizeMs);
    for (let start = first; start <= last; start += this.#layout.slideMs)
      if (!this.#functions.prepare(this.#windowAt(start))) ready = false;
    return ready;
  }

  #windowAt(start: number): TimeWindow {
    return new TimeWindow(start, start + this.#layout.sizeMs);
  }

  #fire(start: number, held: readonly unknown[]): void {
    const window = this.#windowAt(start);
    this.#shell.out.timestamp = window.maxTimestamp;
    this.#functions.process(window, held);
  }

  #late(value: unknown, timestamp: number): void {
    const { lateTag } = this.#params;
    if (lateTag === undefined) this.#lateDropped.inc(1);
    else this.#shell.emitSide(lateTag, value, timestamp);
  }

  /** P1: the pane's first windows that have not fired, and that are not forgotten. */
  #openPane(pane: number, watermark: number): void {
    this.#setTimer(pane, this.#fireAfterMs, watermark);
    if (this.#forgetAfterMs !== this.#fireAfterMs)
      this.#setTimer(pane, this.#forgetAfterMs, watermark);
  }

  #setTimer(pane: number, afterMs: number, watermark: number): void {
    const { slideMs } = this.#layout;
    let start = this.#layout.firstWindow(pane);
    if (start + afterMs <= watermark)
      start += (Math.floor((watermark - start - afterMs) / slideMs) + 1) * slideMs;
    if (start <= pane) this.#timers.registerEventTimeTimer(start, start + afterMs);
  }

  /** P3, latest window first, as the general operator does. True if anything fired: the namespace has moved then. */
  #fireLate(pane: number, last: number, watermark: number): boolean {
    const { slideMs } = this.#layout;
    const first = this.#layout.firstWindow(pane);
    let fired = false;
    for (let start = last; start >= first; start -= slideMs) {
      if (start + this.#forgetAfterMs <= watermark) break; // the earlier ones too
      if (start + this.#fireAfterMs > watermark) continue;
      this.#fire(start, this.#contents.read(start)!); // holds the record that came
      fired = true;
    }
    return fired;
  }

  /** P2: those that are in no later window. */
  #dropPanes(start: number): void {
    const next = start + this.#layout.slideMs;
    for (let pane = start; pane < next; pane = this.#layout.after(pane)) {
      this.#panes.setNamespace(pane);
      this.#panes.clear();
    }
  }

  /** P1: the next window, if any pane that it shares with this one holds something. */
  #succeed(start: number, timestamp: number): void {
    const { slideMs, sizeMs } = this.#layout;
    const next = start + slideMs;
    for (let pane = next; pane < start + sizeMs; pane = this.#layout.after(pane)) {
      this.#panes.setNamespace(pane);
      if (!this.#panes.exists) continue;
      this.#timers.registerEventTimeTimer(next, timestamp + slideMs);
      return;
    }
  }
}
