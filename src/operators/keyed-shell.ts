/** What keyed operators with user functions share: states and timers of the current key. */
import { internal } from '../base/errors.ts';
import type { RecordGate } from '../state/async-execution-controller.ts';
import type {
  InternalTimerService,
  KeyedStateBackend,
  Namespaced,
  TimerTarget,
} from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { OperatorContext } from './contract.ts';
import type { DeclaredState, OnTimerContext, StateDeclaration, TimerService } from './functions.ts';
import { type OperatorShell, ShellContext } from './operator-shell.ts';
import { type AnyPrefetch, PrefetchPlan, refuseAwaited } from './prefetch.ts';

export function requireKeyed(context: OperatorContext): KeyedStateBackend {
  if (context.keyed === undefined)
    throw internal(
      'NO_KEYED_STATE',
      `operator "${context.operatorName}" needs keyed state and was given none`,
    );
  return context.keyed;
}

/** Registers the declared states under their names. @throws `invalid` ASYNC_STATE_UNSUPPORTED */
export function declareStates<S extends StateDeclaration>(
  keyed: KeyedStateBackend,
  declaration: S | undefined,
): DeclaredState<S> {
  const states: Record<string, unknown> = {};
  for (const [name, descriptor] of Object.entries(declaration ?? {})) {
    refuseAwaited(name, descriptor);
    states[name] = keyed.getState(name, descriptor);
  }
  return states as DeclaredState<S>; // getState returns the StateOf each descriptor
}

/** Tells the gate of each record whether what it reads is resident. */
export function prepareEach(
  keyed: KeyedStateBackend,
  keyOf: AnyKeySelector,
  batch: RecordBatch<unknown>,
  prepared: PrepareRecord,
): void {
  const { gate, byKeyAlone = false } = prepared;
  if (byKeyAlone && !gate.thorough) prepareByKey(keyed, keyOf, batch, prepared);
  else prepareThorough(keyed, keyOf, batch, prepared);
}

/**
 * Records of a key read the same: those of keys that waited before this batch join them, and of a key that is found lacking in it all
 * records are. Of those that lack nothing the gate hears nothing. @hot bench/aec.ts
 */
function prepareByKey(
  keyed: KeyedStateBackend,
  keyOf: AnyKeySelector,
  { values, timestamps }: RecordBatch<unknown>,
  { gate, prepare }: PrepareRecord,
): void {
  const { attentive, waiting } = gate;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const key = keyOf(value);
    if (attentive && waiting.mayHold(key) && gate.joins(i, key)) continue;
    keyed.setCurrentKey(key);
    const timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
    if (!prepare(value, timestamp)) gate.record(i, key, false);
  }
}

function prepareThorough(
  keyed: KeyedStateBackend,
  keyOf: AnyKeySelector,
  { values, timestamps }: RecordBatch<unknown>,
  { gate, prepare, byKeyAlone = false }: PrepareRecord,
): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const key = keyOf(value);
    // What it reads has been noted for the one before it.
    const asked = byKeyAlone && gate.attentive;
    if (asked && gate.joins(i, key)) continue;
    keyed.setCurrentKey(key);
    const ready = prepare(value, timestamps === null ? NO_TIMESTAMP : timestamps[i]!);
    if (!ready || (gate.attentive && (gate.thorough || !asked))) gate.record(i, key, ready);
  }
}

export interface PrepareRecord {
  readonly gate: RecordGate;
  /** All records of a key read the same. Default false. */
  readonly byKeyAlone?: boolean;
  readonly prepare: (value: unknown, timestamp: number) => boolean;
}

/** All of these states, for the current key and their current namespaces. */
export function prepareAll(states: readonly Namespaced<unknown>[]): boolean {
  let ready = true;
  for (const state of states) if (!state.prepare()) ready = false;
  return ready;
}

/** The namespace of timers that user functions register. */
export const USER_TIMERS = t.int8();
const NO_NAMESPACE = 0;

class UserTimers implements TimerService {
  readonly #shell: OperatorShell;
  readonly #timers: InternalTimerService<number>;

  constructor(shell: OperatorShell, timers: InternalTimerService<number>) {
    this.#shell = shell;
    this.#timers = timers;
  }

  get currentWatermark(): number {
    return this.#timers.currentWatermark;
  }

  get currentProcessingTime(): number {
    return this.#shell.context.processingTime.now();
  }

  registerEventTimeTimer(timestamp: number): void {
    this.#timers.registerEventTimeTimer(NO_NAMESPACE, timestamp);
  }

  deleteEventTimeTimer(timestamp: number): void {
    this.#timers.deleteEventTimeTimer(NO_NAMESPACE, timestamp);
  }

  registerProcessingTimeTimer(timestamp: number): void {
    this.#timers.registerProcessingTimeTimer(NO_NAMESPACE, timestamp);
  }

  deleteProcessingTimeTimer(timestamp: number): void {
    this.#timers.deleteProcessingTimeTimer(NO_NAMESPACE, timestamp);
  }
}

/** The context of keyed functions, for records and timers alike. */
export class KeyedShellContext<S extends StateDeclaration>
  extends ShellContext
  implements OnTimerContext<unknown, S>
{
  readonly state: DeclaredState<S>;
  readonly timers: TimerService;
  readonly keyed: KeyedStateBackend;
  timeDomain: 'event-time' | 'processing-time' = 'event-time';
  readonly #declaration: StateDeclaration;

  constructor(shell: OperatorShell, declaration: S | undefined, target: TimerTarget<number>) {
    super(shell);
    this.keyed = requireKeyed(shell.context);
    this.state = declareStates(this.keyed, declaration);
    this.#declaration = declaration ?? {};
    this.timers = new UserTimers(
      shell,
      this.keyed.getTimerService('user-timers', USER_TIMERS, target),
    );
  }

  get key(): unknown {
    return this.keyed.currentKey;
  }

  /** What user code may read: any of its states, or what `prefetch` says of them. */
  plan<V>(prefetch?: AnyPrefetch<V>): PrefetchPlan<V> {
    const states = this.state as unknown as Readonly<Record<string, Namespaced<unknown>>>; // getState returns them so
    return new PrefetchPlan(this.#declaration, states, prefetch);
  }

  override get currentWatermark(): number {
    return this.timers.currentWatermark;
  }
}

/** A key selector of records of any type. */
export type AnyKeySelector = (value: unknown) => unknown;
