/**
 * What a keyed function reads, as a plan: which of its states are made resident before it runs, as a whole or by entries.
 *
 * States that are awaited are left out, but for the entries that `prefetch` names. Of a map that `prefetch` names only those entries.
 */
import type { AsyncAccess, StateDescriptor } from '../state/descriptor.ts';
import { invalid } from '../base/errors.ts';
import type { Namespaced } from '../state/keyed-state-backend.ts';
import type { StateDeclaration } from './functions.ts';

/** By state, which entries a value needs. Erased. */
export type AnyPrefetch<V> = Readonly<Record<string, (value: V) => Iterable<unknown>>>;

interface PrefetchedMap<V> {
  readonly state: Namespaced<unknown>;
  readonly keysOf: (value: V) => Iterable<unknown>;
}

export const isAwaited = (descriptor: StateDescriptor): boolean =>
  (descriptor as Partial<AsyncAccess>).access === 'async'; // the mark that asyncState makes

/** @throws `invalid` ASYNC_STATE_UNSUPPORTED: whoever declares it cannot wait */
export function refuseAwaited(name: string, descriptor: StateDescriptor): void {
  if (!isAwaited(descriptor)) return;
  throw invalid(
    'ASYNC_STATE_UNSUPPORTED',
    `state "${name}" is declared by asyncState; only process functions of keyed and of connected keyed streams can await it, here declare it without`,
  );
}

/** What a function without a way to wait has returned. @throws `invalid` PROMISE_NOT_AWAITED */
export function refusePromise(returned: unknown): void {
  if (!isThenable(returned)) return;
  throw invalid(
    'PROMISE_NOT_AWAITED',
    'a function that is not async returned a promise, which nobody awaits. Process functions of keyed and of connected keyed streams may be async: write `async processElement(...)`; for other streams use AsyncDataStream',
  );
}

export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as { then?: unknown }).then === 'function';

/** Whether calls of a function may wait: it is written `async`, or declares state to be awaited. */
export const mayWait = (
  functions: readonly unknown[],
  declaration: StateDeclaration | undefined,
): boolean =>
  functions.some((one) => Object.prototype.toString.call(one) === '[object AsyncFunction]') ||
  Object.values(declaration ?? {}).some(isAwaited);

export class PrefetchPlan<V> {
  readonly #whole: readonly Namespaced<unknown>[];
  readonly #maps: readonly PrefetchedMap<V>[];

  /** @throws `invalid` BAD_PREFETCH */
  constructor(
    declaration: StateDeclaration,
    states: Readonly<Record<string, Namespaced<unknown>>>,
    prefetch: AnyPrefetch<V> = {},
  ) {
    const named = Object.entries(prefetch);
    for (const [name] of named) {
      if (declaration[name]?.kind === 'map') continue;
      const what = declaration[name] === undefined ? 'no state' : 'no map state';
      throw invalid(
        'BAD_PREFETCH',
        `prefetch names "${name}", which is ${what} of this function; it is for entries of maps, other states are loaded as they are`,
      );
    }
    this.#maps = named.map(([name, keysOf]) => ({ state: states[name]!, keysOf }));
    this.#whole = Object.entries(declaration)
      .filter(([name, descriptor]) => !isAwaited(descriptor) && prefetch[name] === undefined)
      .map(([name]) => states[name]!);
  }

  /** All values of a key need the same. */
  get byKeyAlone(): boolean {
    return this.#maps.length === 0;
  }

  /** Whether all of it is resident for the current key; what is not is noted. @hot bench/aec.ts */
  prepare(value: V): boolean {
    let ready = true;
    const whole = this.#whole;
    for (let i = 0; i < whole.length; i++) if (!whole[i]!.prepare()) ready = false;
    if (this.#maps.length === 0) return ready;
    for (const { state, keysOf } of this.#maps)
      for (const key of keysOf(value)) if (state.prepareEntry?.(key) === false) ready = false;
    return ready;
  }
}
