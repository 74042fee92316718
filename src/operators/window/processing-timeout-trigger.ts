/** A trigger that fires when another does, or when that takes too long by processing time (Flink's ProcessingTimeoutTrigger). */
import { type Duration, durationMs } from '../../base/duration.ts';
import { invalid } from '../../base/errors.ts';
import { type ValueState, valueState } from '../../state/descriptor.ts';
import { t } from '../../types/t.ts';
import type { StateDeclaration } from '../functions.ts';
import { fires, type Trigger, type TriggerContext, type TriggerResult } from './trigger.ts';
import type { Window } from './window.ts';

export interface TimeoutOptions {
  /** Each element starts the timeout again. Default false: it runs from the first element. */
  readonly restartOnElement?: boolean;
  /** The inner trigger is cleared when time runs out. Default true. */
  readonly clearOnTimeout?: boolean;
}

const TIMEOUT = 'processing-timeout';

class TimeoutTrigger<T, W extends Window> implements Trigger<T, W> {
  readonly state: StateDeclaration;
  readonly #inner: Trigger<T, W>;
  readonly #timeoutMs: number;
  readonly #restarts: boolean;
  readonly #clears: boolean;

  constructor(inner: Trigger<T, W>, timeoutMs: number, options: TimeoutOptions) {
    if (inner.state !== undefined && TIMEOUT in inner.state)
      throw invalid('BAD_TRIGGER', 'a ProcessingTimeoutTrigger cannot hold another one');
    this.#inner = inner;
    this.#timeoutMs = timeoutMs;
    this.#restarts = options.restartOnElement ?? false;
    this.#clears = options.clearOnTimeout ?? true;
    this.state = { ...inner.state, [TIMEOUT]: valueState(t.int64()) };
  }

  onElement(
    value: T,
    timestamp: number,
    window: W,
    context: TriggerContext<StateDeclaration>,
  ): TriggerResult {
    const result = this.#inner.onElement(value, timestamp, window, context);
    if (fires(result)) {
      this.clear(window, context);
      return result;
    }
    const due = dueOf(context);
    if (due.value !== undefined) {
      if (!this.#restarts) return result;
      context.deleteProcessingTimeTimer(due.value);
    }
    due.value = context.currentProcessingTime + this.#timeoutMs;
    context.registerProcessingTimeTimer(due.value);
    return result;
  }

  onEventTime(
    timestamp: number,
    window: W,
    context: TriggerContext<StateDeclaration>,
  ): TriggerResult {
    return this.#timeUp(this.#inner.onEventTime(timestamp, window, context), window, context);
  }

  onProcessingTime(
    timestamp: number,
    window: W,
    context: TriggerContext<StateDeclaration>,
  ): TriggerResult {
    return this.#timeUp(this.#inner.onProcessingTime(timestamp, window, context), window, context);
  }

  clear(window: W, context: TriggerContext<StateDeclaration>): void {
    const due = dueOf(context);
    if (due.value !== undefined) context.deleteProcessingTimeTimer(due.value);
    due.clear();
    this.#inner.clear(window, context);
  }

  #timeUp(
    result: TriggerResult,
    window: W,
    context: TriggerContext<StateDeclaration>,
  ): TriggerResult {
    if (this.#clears) this.clear(window, context);
    return result === 'purge' || result === 'fire-and-purge' ? 'fire-and-purge' : 'fire';
  }
}

const dueOf = (context: TriggerContext<StateDeclaration>): ValueState<number | undefined> =>
  context.state[TIMEOUT] as unknown as ValueState<number | undefined>; // declared by the constructor

export const ProcessingTimeoutTrigger = {
  /**
   * Fires with `inner`, or `timeout` of processing time after the first element. As in Flink any timer of the window fires it, its end too.
   * @throws `invalid` BAD_TRIGGER
   */
  of<T, W extends Window, S extends StateDeclaration>(
    inner: Trigger<T, W, S>,
    timeout: Duration,
    options: TimeoutOptions = {},
  ): Trigger<T, W> {
    const timeoutMs = durationMs(timeout);
    if (timeoutMs <= 0)
      throw invalid('BAD_TRIGGER', `the timeout is ${timeoutMs} ms; it must be positive`);
    // The inner trigger finds the states it declared among those of the outer one.
    return new TimeoutTrigger(inner as unknown as Trigger<T, W>, timeoutMs, options);
  },
};
