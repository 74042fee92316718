/**
 * Runs a trigger for one key and window: its context, states and timers.
 *
 * Backends keep no timers at +Infinity, where global windows end. Such event-time timers are kept at the last finite moment and handed back
 * as +Infinity: they fire with the last watermark.
 */
import { internal } from '../../base/errors.ts';
import type {
  InternalTimerService,
  KeyedStateBackend,
  Namespaced,
} from '../../state/keyed-state-backend.ts';
import type { DeclaredState, StateDeclaration } from '../functions.ts';
import { prepareAll } from '../keyed-shell.ts';
import { refuseAwaited } from '../prefetch.ts';
import type { AnyTrigger, OnMergeContext, TriggerResult } from './trigger.ts';
import type { Window, WindowKind } from './window.ts';

const LAST_MOMENT = Number.MAX_VALUE;

export interface TriggerHostParams {
  readonly keyed: KeyedStateBackend;
  readonly kind: WindowKind<Window>;
  readonly trigger: AnyTrigger;
  readonly timers: InternalTimerService<unknown>;
  readonly now: () => number;
}

export class TriggerHost implements OnMergeContext<StateDeclaration> {
  readonly #params: TriggerHostParams;
  readonly #trigger: AnyTrigger;
  readonly #timers: InternalTimerService<unknown>;
  readonly #states: Readonly<Record<string, Namespaced<unknown>>>;
  readonly #all: readonly Namespaced<unknown>[];
  readonly state: DeclaredState<StateDeclaration>;
  #namespace: unknown;
  #merged: readonly unknown[] = [];

  constructor(params: TriggerHostParams) {
    this.#params = params;
    this.#trigger = params.trigger;
    this.#timers = params.timers;
    const states: Record<string, Namespaced<unknown>> = {};
    for (const [name, descriptor] of Object.entries(params.trigger.state ?? {})) {
      refuseAwaited(name, descriptor);
      states[name] = params.keyed.getNamespacedState(
        `trigger-${name}`,
        descriptor,
        params.kind.schema,
      );
    }
    this.#states = states;
    this.#all = Object.values(states);
    this.state = states as unknown as DeclaredState<StateDeclaration>; // the backend returned the StateOf each descriptor
  }

  get watermark(): number {
    return this.#timers.currentWatermark;
  }

  get currentWatermark(): number {
    return this.#timers.currentWatermark;
  }

  get currentProcessingTime(): number {
    return this.#params.now();
  }

  /** Whether the trigger's states of a window are resident. */
  prepare(window: Window): boolean {
    this.#select(window);
    return prepareAll(this.#all);
  }

  mayFire(window: Window): boolean {
    return this.#trigger.mayFire?.(window, this.watermark) ?? true;
  }

  onElement(value: unknown, timestamp: number, window: Window): TriggerResult {
    this.#select(window);
    return this.#trigger.onElement(value, timestamp, window, this);
  }

  onTimer(domain: 'event' | 'processing', timestamp: number, window: Window): TriggerResult {
    this.#select(window);
    return domain === 'event'
      ? this.#trigger.onEventTime(
          timestamp === LAST_MOMENT ? Number.POSITIVE_INFINITY : timestamp,
          window,
          this,
        )
      : this.#trigger.onProcessingTime(timestamp, window, this);
  }

  onMerge(window: Window, merged: readonly Window[]): void {
    this.#merged = merged.map((old) => this.#params.kind.toNamespace(old));
    this.#select(window);
    this.#trigger.onMerge!(window, this); // checked when the operator was made
    for (const old of merged) this.clear(old);
    this.#select(window);
  }

  clear(window: Window): void {
    this.#select(window);
    this.#trigger.clear(window, this);
  }

  mergeState(name: string): void {
    const state = this.#states[name];
    if (state === undefined)
      throw internal(
        'UNKNOWN_STATE',
        `a trigger merges the state "${name}", which it has not declared`,
      );
    state.mergeNamespaces(this.#namespace, this.#merged);
  }

  registerTimer(domain: 'event' | 'processing', window: Window, timestamp: number): void {
    const namespace = this.#params.kind.toNamespace(window);
    if (domain === 'event') this.#timers.registerEventTimeTimer(namespace, finite(timestamp));
    else this.#timers.registerProcessingTimeTimer(namespace, timestamp);
  }

  deleteTimer(domain: 'event' | 'processing', window: Window, timestamp: number): void {
    const namespace = this.#params.kind.toNamespace(window);
    if (domain === 'event') this.#timers.deleteEventTimeTimer(namespace, finite(timestamp));
    else this.#timers.deleteProcessingTimeTimer(namespace, timestamp);
  }

  registerEventTimeTimer(timestamp: number): void {
    this.#timers.registerEventTimeTimer(this.#namespace, finite(timestamp));
  }

  deleteEventTimeTimer(timestamp: number): void {
    this.#timers.deleteEventTimeTimer(this.#namespace, finite(timestamp));
  }

  registerProcessingTimeTimer(timestamp: number): void {
    this.#timers.registerProcessingTimeTimer(this.#namespace, timestamp);
  }

  deleteProcessingTimeTimer(timestamp: number): void {
    this.#timers.deleteProcessingTimeTimer(this.#namespace, timestamp);
  }

  #select(window: Window): void {
    this.#namespace = this.#params.kind.toNamespace(window);
    for (const state of this.#all) state.setNamespace(this.#namespace);
  }
}

const finite = (timestamp: number): number => Math.min(timestamp, LAST_MOMENT);
