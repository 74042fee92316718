/**
 * Runs async functions of a keyed operator: starts a call when its key is free, lets it wait, and emits what it collected when it has
 * ended.
 *
 * Invariants
 *  S1  Of one key one call runs at a time; timers that come due meanwhile follow it, records wait in the execution controller.
 *  S2  What a call collects leaves in a mail of the task, or in the call of the operator that began it; so do its effects on order.
 *  S3  Before a barrier leaves, every call that has begun has ended.
 */
import { internal } from '../base/errors.ts';
import type { Namespaced, TimerTarget } from '../state/keyed-state-backend.ts';
import { NO_TIMESTAMP } from '../types/record-batch.ts';
import { AsyncCall, type CallKind, type CallScope } from './async-call.ts';
import type { OperatorContext, Suspensions } from './contract.ts';
import type { StateDeclaration } from './functions.ts';
import { requireKeyed, USER_TIMERS } from './keyed-shell.ts';
import { OperatorShell } from './operator-shell.ts';
import { type AnyPrefetch, isAwaited, isThenable, PrefetchPlan } from './prefetch.ts';
import { userCodeError } from './user-code-error.ts';

type Run = (call: AsyncCall) => unknown;

interface Ended {
  readonly call: AsyncCall;
  readonly failure: { readonly error: unknown } | undefined;
}

export class AsyncFunctions {
  readonly shell: OperatorShell;
  readonly #scope: CallScope;
  readonly #declaration: StateDeclaration;
  readonly #states: Readonly<Record<string, Namespaced<unknown>>>;
  /** Calls whose promise has settled. */
  #ended: Ended[] = [];

  constructor(
    context: OperatorContext,
    declaration: StateDeclaration | undefined,
    target: TimerTarget<number>,
  ) {
    this.shell = new OperatorShell(context);
    this.#declaration = declaration ?? {};
    const keyed = requireKeyed(context);
    const states = Object.entries(this.#declaration).map(([name, descriptor]) => ({
      name,
      kind: descriptor.kind,
      inner: keyed.getState(name, descriptor),
      awaited: isAwaited(descriptor),
    }));
    this.#states = Object.fromEntries(
      states.map(({ name, inner }) => [name, inner as unknown as Namespaced<unknown>]), // getState returns them so
    );
    this.#scope = {
      shell: this.shell,
      keyed,
      timers: keyed.getTimerService('user-timers', USER_TIMERS, target),
      suspensions: requireSuspensions(context),
      states,
    };
  }

  get keyed(): CallScope['keyed'] {
    return this.#scope.keyed;
  }

  plan<V>(prefetch: AnyPrefetch<V> | undefined): PrefetchPlan<V> {
    return new PrefetchPlan(this.#declaration, this.#states, prefetch);
  }

  /** Begins a call for the current key. */
  begin(run: Run, timestamp: number, kind: CallKind): void {
    const key = this.keyed.currentKey;
    const call = new AsyncCall(this.#scope, key, timestamp, kind);
    this.#scope.suspensions.begin(key, () => this.#start(run, call));
  }

  /** Begins a call of `onTimer`. */
  beginTimer(run: Run, timestamp: number, domain: 'event-time' | 'processing-time'): void {
    this.begin(run, domain === 'event-time' ? timestamp : NO_TIMESTAMP, domain);
  }

  /** S3 */
  async finish(): Promise<void> {
    await this.#scope.suspensions.finishFunctions();
    this.shell.flush();
  }

  #start(run: Run, call: AsyncCall): void {
    this.keyed.setCurrentKey(call.key);
    let returned: unknown;
    try {
      returned = run(call);
    } catch (error) {
      this.#fail(call, error);
      return;
    }
    if (isThenable(returned))
      returned.then(
        () => this.#settled(call, undefined),
        (error: unknown) => this.#settled(call, { error }),
      );
    else this.#end(call);
  }

  /** S2: one mail for all that have settled by then. */
  #settled(call: AsyncCall, failure: Ended['failure']): void {
    this.#ended.push({ call, failure });
    if (this.#ended.length > 1) return;
    this.shell.context.mailbox(() => {
      for (const ended of this.#ended.splice(0)) {
        if (ended.failure === undefined) this.#end(ended.call);
        else this.#fail(ended.call, ended.failure.error);
      }
    });
  }

  #end(call: AsyncCall): void {
    try {
      call.finish();
    } catch (error) {
      this.#fail(call, error);
      return;
    }
    this.#scope.suspensions.end(call.key);
  }

  #fail(call: AsyncCall, error: unknown): void {
    call.abandon();
    const place = call.kind === 'record' ? {} : { timer: call.timestamp };
    const { shell } = this;
    shell.context.fail(
      userCodeError(error, shell.culprit, { timestamp: call.timestamp, ...place }),
    );
  }
}

function requireSuspensions({ suspensions, operatorName }: OperatorContext): Suspensions {
  if (suspensions !== undefined) return suspensions;
  throw internal(
    'NO_SUSPENSIONS',
    `operator "${operatorName}" has async functions and was given no way to suspend them`,
  );
}
