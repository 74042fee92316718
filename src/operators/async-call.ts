/**
 * One call of an async function: the context and the collector that user code is given, for this record or timer alone.
 *
 * What it collects is kept until it has ended. What is used of it afterwards is a mistake that is told, since by then the key belongs to
 * another call.
 */
import { invalid, type MillraceError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import type { InternalTimerService, KeyedStateBackend } from '../state/keyed-state-backend.ts';
import { awaitedState, type WaitingOwner } from './awaited-states.ts';
import { boundState, type StateOfCall } from './bound-states.ts';
import type { Suspensions } from './contract.ts';
import type {
  Collector,
  DeclaredState,
  OnTimerContext,
  StateDeclaration,
  TimerService,
} from './functions.ts';
import type { OperatorShell } from './operator-shell.ts';
import type { OutputTag } from './output-tag.ts';

/** What calls of one operator share. */
export interface CallScope {
  readonly shell: OperatorShell;
  readonly keyed: KeyedStateBackend;
  readonly timers: InternalTimerService<number>;
  readonly suspensions: Suspensions;
  readonly states: readonly (StateOfCall & { readonly awaited: boolean })[];
}

export type CallKind = 'record' | 'event-time' | 'processing-time';

const NO_NAMESPACE = 0;

export class AsyncCall
  implements
    OnTimerContext<unknown, StateDeclaration>,
    Collector<unknown>,
    TimerService,
    WaitingOwner
{
  readonly key: unknown;
  readonly timestamp: number;
  readonly kind: CallKind;
  readonly #scope: CallScope;
  #state: DeclaredState<StateDeclaration> | undefined;
  #over = false;
  /** Reads that have not come. */
  #pending = 0;
  #values: unknown[] = [];
  #sides: (readonly [OutputTag<unknown>, unknown])[] = [];

  constructor(scope: CallScope, key: unknown, timestamp: number, kind: CallKind) {
    this.#scope = scope;
    this.key = key;
    this.timestamp = timestamp;
    this.kind = kind;
  }

  get timeDomain(): 'event-time' | 'processing-time' {
    return this.kind === 'processing-time' ? 'processing-time' : 'event-time';
  }

  get state(): DeclaredState<StateDeclaration> {
    return (this.#state ??= this.#bind());
  }

  get timers(): TimerService {
    return this;
  }

  get currentWatermark(): number {
    return this.#scope.timers.currentWatermark;
  }

  get currentProcessingTime(): number {
    return this.#scope.shell.context.processingTime.now();
  }

  get signal(): AbortSignal {
    return this.#scope.shell.context.signal;
  }

  collect(value: unknown): void {
    if (this.#over) throw this.#tooLate('OUTPUT_AFTER_RECORD', 'something was collected');
    this.#values.push(value);
  }

  output<T>(tag: OutputTag<T>, value: T): void {
    if (this.#over) throw this.#tooLate('OUTPUT_AFTER_RECORD', 'something was collected');
    this.#sides.push([tag as OutputTag<unknown>, value]); // a tag's schema accepts what it types
  }

  registerEventTimeTimer(timestamp: number): void {
    this.#timers().registerEventTimeTimer(NO_NAMESPACE, timestamp);
  }

  deleteEventTimeTimer(timestamp: number): void {
    this.#timers().deleteEventTimeTimer(NO_NAMESPACE, timestamp);
  }

  registerProcessingTimeTimer(timestamp: number): void {
    this.#timers().registerProcessingTimeTimer(NO_NAMESPACE, timestamp);
  }

  deleteProcessingTimeTimer(timestamp: number): void {
    this.#timers().deleteProcessingTimeTimer(NO_NAMESPACE, timestamp);
  }

  enter(state: string): void {
    if (this.#over) throw this.#tooLate('STATE_AFTER_RECORD', `state "${state}" was used`);
    const { keyed } = this.#scope;
    if (keyed.currentKey !== this.key) keyed.setCurrentKey(this.key);
  }

  async ready(state: string, prepare: () => boolean): Promise<void> {
    this.enter(state);
    while (!prepare()) {
      await this.during(state, this.#loaded());
      this.enter(state);
    }
  }

  async during<T>(_state: string, work: Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await work;
    } finally {
      this.#pending--;
    }
  }

  /** It has returned: what it collected leaves. @throws `invalid` STATE_NOT_AWAITED */
  finish(): void {
    this.#over = true;
    if (this.#pending > 0)
      throw invalid(
        'STATE_NOT_AWAITED',
        `it ended while it was still reading state of key ${printable(this.key)}: await every read before it returns`,
      );
    const { shell } = this.#scope;
    shell.out.timestamp = this.timestamp;
    for (const value of this.#values) shell.out.collect(value);
    for (const [tag, value] of this.#sides) shell.emitSide(tag, value, this.timestamp);
  }

  /** It has failed, or will never be resumed. */
  abandon(): void {
    this.#over = true;
  }

  #timers(): InternalTimerService<number> {
    if (this.#over) throw this.#tooLate('STATE_AFTER_RECORD', 'a timer was set or deleted');
    this.enter('timers');
    return this.#scope.timers;
  }

  #bind(): DeclaredState<StateDeclaration> {
    const state: Record<string, unknown> = {};
    for (const one of this.#scope.states)
      state[one.name] = one.awaited ? awaitedState(this, one) : boundState(this, one);
    return state as DeclaredState<StateDeclaration>; // of the kinds that the declaration names
  }

  #loaded(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#scope.suspensions.afterLoad((error) => {
        if (error === undefined) resolve();
        else reject(error as Error); // what the load failed with
      });
    });
  }

  #tooLate(code: string, what: string): MillraceError {
    const call = this.kind === 'record' ? 'the record' : `the ${this.kind} timer`;
    return invalid(
      code,
      `${what} by the call for ${call} of key ${printable(this.key)} after that call had ended. State, timers and the collector belong to one call: await all that it does before it returns, and keep none of them for later`,
    );
  }
}
