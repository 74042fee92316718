/**
 * The windows of one key that may still merge, each with the *state window* its content is stored under: the namespace of its first
 * member, so that growing a session moves no state.
 *
 * Loaded per key from a value state, saved when changed. (Flink's MergingWindowSet.)
 */
import type {
  KeyedStateBackend,
  Namespaced,
  VOID_NAMESPACE,
} from '../../state/keyed-state-backend.ts';
import { valueState, type ValueState } from '../../state/descriptor.ts';
import { t } from '../../types/t.ts';
import { TimeWindow, type Window } from './window.ts';

type Stored = readonly (readonly [number, number, number, number])[];

export interface Mapping {
  readonly window: TimeWindow;
  readonly state: TimeWindow;
}

/** `merged` became `result`; what `stateMerged` hold belongs under `stateResult` now. */
export type Merged = (
  result: Window,
  merged: readonly Window[],
  stateResult: unknown,
  stateMerged: readonly unknown[],
) => void;

const STORED = t.array(t.tuple(t.int64(), t.int64(), t.int64(), t.int64()));

export class MergingWindows {
  readonly #keyed: KeyedStateBackend;
  readonly #stored: ValueState<Stored | undefined> & Namespaced<typeof VOID_NAMESPACE>;
  #key: unknown;
  #loaded = false;
  #dirty = false;
  #mappings: Mapping[] = [];

  constructor(keyed: KeyedStateBackend) {
    this.#keyed = keyed;
    this.#stored = keyed.getState('merging-windows', valueState<Stored>(STORED));
  }

  /** Whether the current key's set can be loaded. */
  prepare(): boolean {
    return this.#stored.prepare();
  }

  /** The current key's windows that one touches, each with its state window. */
  touching(window: Window): readonly Mapping[] {
    this.#loaded = false;
    this.load();
    this.#loaded = false;
    const added = window as TimeWindow; // only time windows merge
    return this.#mappings.filter((mapping) => mapping.window.intersects(added));
  }

  /** Makes the set that of the current key. */
  load(): void {
    if (this.#loaded && this.#key === this.#keyed.currentKey) return;
    this.#key = this.#keyed.currentKey;
    this.#mappings = (this.#stored.value ?? []).map(([start, end, stateStart, stateEnd]) => ({
      window: new TimeWindow(start, end),
      state: new TimeWindow(stateStart, stateEnd),
    }));
    this.#loaded = true;
    this.#dirty = false;
  }

  save(): void {
    this.#loaded = false;
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#stored.value =
      this.#mappings.length === 0
        ? undefined
        : this.#mappings.map(
            ({ window, state }) => [window.start, window.end, state.start, state.end] as const,
          );
  }

  stateWindowOf(window: Window): Window | undefined {
    return this.#find(window)?.state;
  }

  retire(window: Window): void {
    this.load();
    const mapping = this.#find(window);
    if (mapping === undefined) return;
    this.#mappings = this.#mappings.filter((other) => other !== mapping);
    this.#dirty = true;
  }

  /** Adds a window; returns the one it is part of now. */
  add(window: Window, merged: Merged): Window {
    this.load();
    const added = window as TimeWindow; // only time windows merge
    // By time, so that what merged lists hold does not depend on which session came first.
    const touching = this.#mappings
      .filter((mapping) => mapping.window.intersects(added))
      .toSorted((a, b) => a.window.start - b.window.start);
    const result = touching.reduce((cover, mapping) => cover.cover(mapping.window), added);
    const same = touching.find(
      (mapping) => mapping.window.start === result.start && mapping.window.end === result.end,
    );
    if (touching.length === 1 && same !== undefined) return same.window;
    this.#dirty = true;
    const state = touching[0]?.state ?? result;
    this.#mappings = [
      ...this.#mappings.filter((mapping) => !touching.includes(mapping)),
      { window: result, state },
    ];
    const old = touching.filter((mapping) => mapping !== same);
    if (old.length > 0) {
      const stateMerged = touching.slice(1).map((mapping) => namespaceOf(mapping.state));
      merged(
        result,
        old.map((mapping) => mapping.window),
        namespaceOf(state),
        stateMerged,
      );
    }
    return result;
  }

  #find(window: Window): Mapping | undefined {
    const { start, end } = window as TimeWindow; // only time windows merge
    return this.#mappings.find(
      (mapping) => mapping.window.start === start && mapping.window.end === end,
    );
  }
}

const namespaceOf = ({ start, end }: TimeWindow): readonly [number, number] => [start, end];
