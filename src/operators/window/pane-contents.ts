/** What panes hold per key: folded accumulators that merge, or lists of elements. */
import {
  aggregatingState,
  type AggregateFunction,
  listState,
  type ListState,
} from '../../state/descriptor.ts';
import type { KeyedStateBackend, Namespaced } from '../../state/keyed-state-backend.ts';
import type { Schema } from '../../types/schema.ts';
import { t } from '../../types/t.ts';
import type { OperatorContext } from '../contract.ts';
import type { PaneLayout } from './panes.ts';
import type { WindowContent } from './window-function.ts';

/** The state of panes; `setNamespace` takes the start of one. */
export interface PaneState {
  readonly exists: boolean;
  setNamespace(pane: number): void;
  prepare(): boolean;
  add(value: unknown): void;
  clear(): void;
}

export interface PaneContents {
  readonly state: PaneState;
  /** All panes of a key are one value: what is prepared for one of them is prepared for all. */
  readonly together: boolean;
  /** For the window function: what the window holds; undefined for nothing. Moves the namespace. */
  read(windowStart: number): readonly unknown[] | undefined;
  /** Writes what is held in fields. */
  save(): void;
}

export const STATE = 'window-contents';
export type Fold = AggregateFunction<unknown, unknown, unknown>;

/** A reduce as an aggregate whose accumulator is `undefined` or the value so far. */
function reduceAsFold(reduce: (a: unknown, b: unknown) => unknown): Fold {
  const fold = (a: unknown, b: unknown): unknown => (a === undefined ? b : reduce(a, b));
  return {
    createAccumulator: () => undefined,
    add: (value, accumulator) => fold(accumulator, value),
    getResult: (accumulator) => accumulator,
    merge: fold,
  };
}

/** The content as a fold; undefined for elements. */
export function foldOf(content: WindowContent): Fold | undefined {
  if (content.kind === 'list') return undefined;
  return content.kind === 'aggregate' ? content.aggregate : reduceAsFold(content.reduce);
}

export interface FoldedPanesParams {
  /** Of the state. */
  readonly name: string;
  readonly schema: Schema<unknown>;
  readonly layout: PaneLayout;
  readonly fold: Fold;
  /** Copies an accumulator that `merge` may change; undefined where none can change. */
  readonly copy: ((value: unknown) => unknown) | undefined;
}

export class FoldedPanes implements PaneContents {
  readonly together = false;
  readonly state: PaneState & { get(): unknown };
  readonly #layout: PaneLayout;
  readonly #fold: Fold;
  readonly #copy: ((value: unknown) => unknown) | undefined;

  constructor(keyed: KeyedStateBackend, params: FoldedPanesParams) {
    const { fold } = params;
    this.#layout = params.layout;
    this.#fold = fold;
    this.#copy = params.copy;
    // Panes keep accumulators: results are made of merged ones.
    const accumulate: Fold = {
      createAccumulator: () => fold.createAccumulator(),
      add: (value, accumulator) => fold.add(value, accumulator),
      getResult: (accumulator) => accumulator,
    };
    this.state = keyed.getNamespacedState(
      params.name,
      aggregatingState(params.schema, accumulate),
      t.int64(),
    );
  }

  read(windowStart: number): readonly unknown[] | undefined {
    const { state } = this;
    const { tumbling, sizeMs } = this.#layout;
    if (tumbling) {
      state.setNamespace(windowStart);
      return state.exists ? [this.#fold.getResult(state.get())] : undefined;
    }
    let merged: unknown;
    let found = false;
    const end = windowStart + sizeMs;
    for (let pane = windowStart; pane < end; pane = this.#layout.after(pane)) {
      state.setNamespace(pane);
      if (!state.exists) continue;
      if (!found) merged = this.#fold.createAccumulator();
      found = true;
      merged = this.#fold.merge!(merged, this.#held()); // checked where panes are chosen
    }
    return found ? [this.#fold.getResult(merged)] : undefined;
  }

  save(): void {}

  /** Other windows need the pane as it is, so `merge` is given a copy. */
  #held(): unknown {
    const held = this.state.get();
    return this.#copy === undefined ? held : this.#copy(held);
  }
}

/** Windows that are one pane: a plain list. */
export class SinglePaneElements implements PaneContents {
  readonly together = false;
  readonly state: ListState<unknown> & Namespaced<number>;

  constructor(keyed: KeyedStateBackend, schema: Schema<unknown>) {
    this.state = keyed.getNamespacedState(STATE, listState(schema), t.int64());
  }

  read(windowStart: number): readonly unknown[] | undefined {
    this.state.setNamespace(windowStart);
    // A copy: late elements make the list grow, and the function may have emitted what it was given.
    return this.state.exists ? this.state.get().slice() : undefined;
  }

  save(): void {}
}

interface Numbered {
  readonly order: number;
  readonly value: unknown;
}

/**
 * Elements of shared panes, each with its place in the order of arrival, which the elements of a window keep.
 *
 * The numbers grow over all keys of the subtask. The next one is operator state that every subtask is given on restore, and goes on from the
 * greatest: so numbers of a key grow also when the key has moved.
 */
export class PaneElements implements PaneContents, PaneState {
  readonly together = false;
  readonly #list: ListState<Numbered> & Namespaced<number>;
  readonly #layout: PaneLayout;
  readonly #saved: { update(values: readonly number[]): void };
  #next: number;

  constructor(
    keyed: KeyedStateBackend,
    context: OperatorContext,
    params: { schema: Schema<unknown>; layout: PaneLayout },
  ) {
    this.#layout = params.layout;
    const element = t.struct({ order: t.int64(), value: params.schema });
    this.#list = keyed.getNamespacedState(
      STATE,
      listState(element as Schema<Numbered>), // the same two fields
      t.int64(),
    );
    const saved = context.operatorState.getUnionListState('window-order', t.int64());
    this.#next = saved.get().reduce((a, b) => Math.max(a, b), 0);
    this.#saved = saved;
  }

  get state(): PaneState {
    return this;
  }

  get exists(): boolean {
    return this.#list.exists;
  }

  setNamespace(pane: number): void {
    this.#list.setNamespace(pane);
  }

  prepare(): boolean {
    return this.#list.prepare();
  }

  add(value: unknown): void {
    this.#list.add({ order: this.#next++, value });
  }

  clear(): void {
    this.#list.clear();
  }

  read(windowStart: number): readonly unknown[] | undefined {
    const all: Numbered[] = [];
    const end = windowStart + this.#layout.sizeMs;
    for (let pane = windowStart; pane < end; pane = this.#layout.after(pane)) {
      this.#list.setNamespace(pane);
      for (const element of this.#list.get()) all.push(element);
    }
    if (all.length === 0) return undefined;
    return all.sort((a, b) => a.order - b.order).map(({ value }) => value);
  }

  save(): void {
    this.#saved.update([this.#next]);
  }
}
