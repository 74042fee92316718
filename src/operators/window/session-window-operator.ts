/**
 * Event-time session windows with the default trigger and no lateness: the common case, made cheap.
 *
 * All sessions of a key are one value, ordered by time, that grows in place: a record that extends a session costs one lookup. Timers are
 * lazy: a session that grows leaves its timer where it is, and the timer, when its turn comes too early, moves on.
 *
 * Invariants
 *  S1  While a key has sessions, a timer of it is set at or before the last millisecond of the one that ends first.
 *  S2  Sessions of a key neither touch nor overlap; those at or below the watermark have fired and are gone.
 *  S3  Whatever a running snapshot may still have to read is stored anew before it changes in place: the backend captures it then.
 *
 * Results equal the general operator's (property-tested). Cost per record: one key hash, one state lookup; per firing: one timer, and one
 * for each time that timers moved on, at most one a gap. Guarded by `bench/nexmark` (q11).
 */
import type { RecordGate } from '../../state/async-execution-controller.ts';
import type {
  InternalTimerService,
  KeyedStateBackend,
  Namespaced,
  TimerTarget,
  VOID_NAMESPACE,
} from '../../state/keyed-state-backend.ts';
import { type AggregateFunction, valueState, type ValueState } from '../../state/descriptor.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../../types/record-batch.ts';
import type { Schema } from '../../types/schema.ts';
import { t } from '../../types/t.ts';
import type { Counter, OneInputOperator, OperatorContext } from '../contract.ts';
import { type AnyKeySelector, prepareEach, requireKeyed } from '../keyed-shell.ts';
import { OperatorShell } from '../operator-shell.ts';
import type { OutputTag } from '../output-tag.ts';
import { userCodeError } from '../user-code-error.ts';
import { recordWithoutTimestamp } from './assigner.ts';
import { foldOf } from './pane-contents.ts';
import type { AnyProcessWindowFunction, WindowContent } from './window-function.ts';
import { WindowFunctionHost } from './window-function-host.ts';
import { TimeWindow, VARIABLE_WINDOWS, type Window, type WindowKind } from './window.ts';

export interface SessionWindowParams {
  /** The gap after a record, in milliseconds. */
  readonly gapOf: (value: unknown) => number;
  /** An aggregate needs `merge`. */
  readonly content: WindowContent;
  readonly window: AnyProcessWindowFunction;
  readonly keyOf: AnyKeySelector;
  readonly lateTag?: OutputTag<unknown>;
}

interface Session {
  start: number;
  end: number;
  content: unknown;
}

type Fold = AggregateFunction<unknown, unknown, unknown>;

const NO_NAMESPACE = 0;
const NO_WINDOW = new TimeWindow(0, 0);

/** Elements as a fold: the list grows in place. */
const ELEMENTS: Fold = {
  createAccumulator: () => [],
  add: (value, list) => {
    (list as unknown[]).push(value); // made above
    return list;
  },
  getResult: (list) => list,
  merge: (a, b) => [...(a as readonly unknown[]), ...(b as readonly unknown[])], // as above
};

const touches = ({ start, end }: Session, from: number, to: number): boolean =>
  start <= to && end >= from;

export class SessionWindowOperator implements OneInputOperator, TimerTarget<number> {
  readonly #params: SessionWindowParams;
  readonly #fold: Fold;
  readonly #isList: boolean;
  #shell!: OperatorShell;
  #keyed!: KeyedStateBackend;
  #sessions!: ValueState<Session[] | undefined> & Namespaced<typeof VOID_NAMESPACE>;
  #timers!: InternalTimerService<number>;
  #functions!: WindowFunctionHost;
  #lateDropped!: Counter;

  constructor(params: SessionWindowParams) {
    this.#params = params;
    this.#isList = params.content.kind === 'list';
    this.#fold = foldOf(params.content) ?? ELEMENTS;
  }

  open(context: OperatorContext): void {
    const { content, window } = this.#params;
    this.#keyed = requireKeyed(context);
    this.#shell = new OperatorShell(context);
    this.#timers = this.#keyed.getTimerService('session-timers', t.int8(), this);
    const held = content.kind === 'list' ? t.array(content.schema) : content.schema;
    const schema = t.array(t.struct({ start: t.int64(), end: t.int64(), content: held }));
    this.#sessions = this.#keyed.getState(
      'sessions',
      valueState(schema as Schema<Session[]>), // the same three fields, and lists that grow: S3
    );
    this.#functions = new WindowFunctionHost({
      keyed: this.#keyed,
      kind: VARIABLE_WINDOWS as unknown as WindowKind<Window>, // sees only windows of this kind
      window,
      shell: this.#shell,
      timers: this.#timers,
    });
    this.#lateDropped = context.metrics.counter('numLateRecordsDropped');
  }

  /** @hot bench/nexmark */
  processBatch({ values, timestamps }: RecordBatch<unknown>): void {
    const { keyOf, gapOf } = this.#params;
    const keyed = this.#keyed;
    const watermark = this.#timers.currentWatermark;
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const value = values[i];
        const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        if (!Number.isFinite(timestamp)) throw recordWithoutTimestamp(timestamp);
        const start = Math.floor(timestamp);
        const end = start + gapOf(value);
        keyed.setCurrentKey(keyOf(value));
        const held = this.#sessions.value;
        // A record that is late by itself may still join a session that is not.
        if (end - 1 <= watermark && !held?.some((session) => touches(session, start, end)))
          this.#late(value, timestamp);
        else this.#add(held, value, start, end);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }

  prepareBatch(batch: RecordBatch<unknown>, gate: RecordGate): void {
    const prepare = (): boolean => this.#sessions.prepare();
    prepareEach(this.#keyed, this.#params.keyOf, batch, { gate, prepare });
  }

  prepareTimer(): boolean {
    const ready = this.#functions.prepare(NO_WINDOW); // there are no states by window
    return this.#sessions.prepare() && ready;
  }

  onEventTime(timestamp: number): void {
    const held = this.#sessions.value;
    if (held === undefined) return;
    const due = held.filter(({ end }) => end - 1 <= timestamp);
    const rest = held.filter(({ end }) => end - 1 > timestamp);
    if (due.length > 0) this.#sessions.value = rest.length === 0 ? undefined : rest;
    if (rest.length > 0) this.#setTimer(rest);
    try {
      for (const session of due) this.#fire(session);
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

  #add(held: Session[] | undefined, value: unknown, start: number, end: number): void {
    const only = held?.length === 1 ? held[0]! : undefined;
    if (held !== undefined && only !== undefined && touches(only, start, end)) {
      this.#sessions.value = held; // S3
      if (start < only.start) only.start = start;
      if (end > only.end) only.end = end;
      only.content = this.#fold.add(value, only.content);
      return;
    }
    this.#merge(held ?? [], value, { start, end });
  }

  #merge(
    held: readonly Session[],
    value: unknown,
    { start, end }: { readonly start: number; readonly end: number },
  ): void {
    const touching = held.filter((session) => touches(session, start, end));
    const merged: Session = {
      start: Math.min(start, touching[0]?.start ?? start),
      end: Math.max(end, touching.at(-1)?.end ?? end),
      content: undefined,
    };
    const others = held.filter((session) => !touching.includes(session));
    const sessions = [...others, merged].toSorted((a, b) => a.start - b.start);
    this.#sessions.value = sessions; // S3: before contents are merged in place
    const contents = touching.map(({ content }) => content);
    const base =
      contents.length === 0
        ? this.#fold.createAccumulator()
        : contents.reduce((a, b) => this.#fold.merge!(a, b)); // checked when the operator was made
    merged.content = this.#fold.add(value, base);
    if (touching.length === 0) this.#setTimer(sessions);
  }

  /** S1 */
  #setTimer(sessions: readonly Session[]): void {
    // They do not overlap: the one that starts first ends first.
    this.#timers.registerEventTimeTimer(NO_NAMESPACE, sessions[0]!.end - 1);
  }

  #fire({ start, end, content }: Session): void {
    const window = new TimeWindow(start, end);
    this.#shell.out.timestamp = window.maxTimestamp;
    const elements = this.#isList
      ? (content as readonly unknown[]) // made by ELEMENTS
      : [this.#fold.getResult(content)];
    this.#functions.process(window, elements);
    if (this.#functions.clears) this.#functions.clear(window);
  }

  #late(value: unknown, timestamp: number): void {
    const { lateTag } = this.#params;
    if (lateTag === undefined) this.#lateDropped.inc(1);
    else this.#shell.emitSide(lateTag, value, timestamp);
  }
}
