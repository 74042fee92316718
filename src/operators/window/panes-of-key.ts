/**
 * All panes of a key as one value that changes in place, for windows of few panes: a firing window looks its key up once, not once a pane,
 * and panes that hold nothing cost nothing.
 *
 * Invariants
 *  K1  Panes of a key are ordered by start, and each holds something; a key without panes has no value.
 *  K2  Whatever a running snapshot may still have to read is stored anew before it changes in place: the backend captures it then.
 *
 * Cost: a value is written whole to a tree of state when any of its panes has changed. Guarded by `bench/nexmark` (q5).
 */
import { valueState, type ValueState } from '../../state/descriptor.ts';
import type {
  KeyedStateBackend,
  Namespaced,
  VOID_NAMESPACE,
} from '../../state/keyed-state-backend.ts';
import type { Schema } from '../../types/schema.ts';
import { t } from '../../types/t.ts';
import type { Fold, FoldedPanesParams, PaneContents, PaneState } from './pane-contents.ts';
import type { PaneLayout } from './panes.ts';

interface Pane {
  readonly start: number;
  /** The accumulator. */
  held: unknown;
}

export class PanesOfKey implements PaneContents, PaneState {
  readonly together = true;
  readonly #panes: ValueState<Pane[] | undefined> & Namespaced<typeof VOID_NAMESPACE>;
  readonly #layout: PaneLayout;
  readonly #fold: Fold;
  readonly #copy: ((value: unknown) => unknown) | undefined;
  #start = Number.NaN;

  constructor(keyed: KeyedStateBackend, { name, schema, layout, fold, copy }: FoldedPanesParams) {
    this.#layout = layout;
    this.#fold = fold;
    this.#copy = copy;
    const panes = t.array(t.struct({ start: t.int64(), held: schema }));
    this.#panes = keyed.getState(
      name,
      valueState(panes as Schema<Pane[]>), // the same two fields, and lists that change: K2
    );
  }

  get state(): PaneState {
    return this;
  }

  setNamespace(pane: number): void {
    this.#start = pane;
  }

  prepare(): boolean {
    return this.#panes.prepare();
  }

  /** @hot */
  get exists(): boolean {
    const panes = this.#panes.value;
    return panes !== undefined && paneAt(panes, this.#start) !== undefined;
  }

  /** @hot */
  add(value: unknown): void {
    const panes = this.#panes.value;
    const pane = panes === undefined ? undefined : paneAt(panes, this.#start);
    if (pane === undefined) {
      this.#insert(panes, value);
      return;
    }
    this.#panes.value = panes; // K2
    pane.held = this.#fold.add(value, pane.held);
  }

  clear(): void {
    const panes = this.#panes.value;
    const at = panes?.findIndex(({ start }) => start === this.#start) ?? -1;
    if (panes === undefined || at < 0) return;
    if (panes.length === 1) {
      this.#panes.value = undefined;
      return;
    }
    this.#panes.value = panes; // K2
    panes.splice(at, 1);
  }

  read(windowStart: number): readonly unknown[] | undefined {
    const end = windowStart + this.#layout.sizeMs;
    const fold = this.#fold;
    let merged: unknown;
    let found = false;
    for (const { start, held } of this.#panes.value ?? []) {
      if (start < windowStart || start >= end) continue;
      if (!found) merged = fold.createAccumulator();
      found = true;
      // Other windows need the pane as it is, so `merge`, checked where panes are chosen, is given a copy.
      merged = fold.merge!(merged, this.#copy === undefined ? held : this.#copy(held));
    }
    return found ? [fold.getResult(merged)] : undefined;
  }

  save(): void {}

  /** K1: mostly at the end. */
  #insert(panes: Pane[] | undefined, value: unknown): void {
    const fold = this.#fold;
    const pane = { start: this.#start, held: fold.add(value, fold.createAccumulator()) };
    if (panes === undefined) {
      this.#panes.value = [pane];
      return;
    }
    this.#panes.value = panes; // K2
    let at = panes.length;
    while (at > 0 && panes[at - 1]!.start > pane.start) at--;
    panes.splice(at, 0, pane);
  }
}

/** @hot Records come roughly in order: mostly the last one. */
function paneAt(panes: readonly Pane[], start: number): Pane | undefined {
  for (let i = panes.length - 1; i >= 0; i--) {
    const pane = panes[i]!;
    if (pane.start <= start) return pane.start === start ? pane : undefined;
  }
  return undefined;
}
