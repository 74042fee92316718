/**
 * Timers of one service and time domain: the next ones in memory, the head, in front of a tree in which they lie in the order they are due.
 *
 * A timer that fires or is deleted before the next barrier never reaches the tree. Those beyond the head are written to the tree and
 * deleted from it without reading, and take no memory.
 *
 * Invariants
 *  T1  Memory holds every live timer up to `end`, and none after it.
 *  T2  `stage` holds, as bytes, the timers from `end` up to its own end as they were when reading it began. What has changed there
 *      since is noted, and counts more.
 */
import { copyOf } from '../../base/bytes.ts';
import { compareKeys } from '../../lsm/key-order.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { ENTRY } from '../../lsm/table-meta.ts';
import {
  type StoredCell,
  type TimerCell,
  type TimerTable,
  timestampOf,
} from '../cells/cell-table.ts';
import type { CellContext } from '../cells/cell-context.ts';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import type { StateKeyWriter } from './state-key.ts';
import { comparePlaces, type NextTimers, placeOf, type TimerPlace } from './timer-head.ts';
import type { WriteBack } from './write-back.ts';

const NO_VALUE = new Uint8Array(0);
const BEFORE_ALL: TimerPlace = {
  timestamp: Number.NEGATIVE_INFINITY,
  keyGroup: -1,
  bytes: undefined,
};

/** Estimate of the memory that a timer in the head takes. */
export const TIMER_BYTES = 250;
/** Of a change within the stage. */
const CHANGE_BYTES = 200;
/** So many changes are worth less stage: passing over them would cost more than reading again. */
const CHANGES_MAX = 8192;
const CHANGES_SAMPLED = 64;

interface Change extends TimerPlace {
  readonly bytes: Uint8Array;
  /** Registered, not deleted. */
  readonly lives: boolean;
}

export class ForstTimerTable implements TimerTable, CellOwner {
  readonly #context: CellContext<ForstCell>;
  readonly #tree: LsmTree;
  readonly #writeBack: WriteBack;
  readonly #keys: StateKeyWriter;
  /** T1; undefined: all timers are in memory. */
  #end: TimerPlace | undefined;
  headEnd: number;
  /** Timers in memory. */
  size = 0;
  /** The next head is waited for. */
  needed = false;
  /** T2 */
  #stage: NextTimers | undefined;
  /** T2, by their bytes; from when reading begins. */
  #changes: Map<string, Change> | undefined;

  constructor(params: {
    context: CellContext<ForstCell>;
    tree: LsmTree;
    writeBack: WriteBack;
    keys: StateKeyWriter;
    /** The tree has no timers yet. */
    fresh: boolean;
  }) {
    this.#context = params.context;
    this.#tree = params.tree;
    this.#writeBack = params.writeBack;
    this.#keys = params.keys;
    this.#end = params.fresh ? undefined : BEFORE_ALL;
    this.headEnd = this.#end?.timestamp ?? Number.POSITIVE_INFINITY;
  }

  get end(): TimerPlace | undefined {
    return this.#end;
  }

  get staged(): boolean {
    return this.#stage !== undefined;
  }

  /** Memory that they take. */
  get bytes(): number {
    const changes = this.#changes?.size ?? 0;
    return this.size * TIMER_BYTES + (this.#stage?.timers.bytes ?? 0) + changes * CHANGE_BYTES;
  }

  /** @hot */
  head(): ForstCell | undefined {
    return this.#context.head(this);
  }

  add(namespace: unknown, namespaceId: unknown, timestamp: number): ForstCell {
    const { key, keyId, keyGroup } = this.#context;
    const cell = new ForstCell(this, { key, keyId, keyGroup, namespace, namespaceId }, timestamp);
    cell.inTree = false;
    this.#join(cell);
    this.#writeBack.touch(cell);
    return cell;
  }

  drop(stored: TimerCell): void {
    const cell = stored as ForstCell; // cells of this table
    this.#writeBack.writeEarly(cell);
    if (cell.inTree) this.#tree.delete(this.#keyOf(cell));
    this.forgetCell(cell);
  }

  addBeyond(namespace: unknown, timestamp: number): boolean {
    const { key, keyGroup } = this.#context;
    if (!this.#isBeyond(keyGroup, timestamp, namespace)) return false;
    const bytes = this.#keys.writeTimer(keyGroup, timestamp, key, namespace);
    this.#tree.put(bytes, NO_VALUE);
    if (this.#changes !== undefined) this.#note(bytes, true);
    return true;
  }

  dropBeyond(namespace: unknown, timestamp: number): boolean {
    const { key, keyGroup } = this.#context;
    if (!this.#isBeyond(keyGroup, timestamp, namespace)) return false;
    const bytes = this.#keys.writeTimer(keyGroup, timestamp, key, namespace);
    this.#tree.delete(bytes);
    if (this.#changes !== undefined) this.#note(bytes, false);
    return true;
  }

  noteHead(): void {
    this.needed = true;
  }

  cells(): readonly ForstCell[] {
    return [...this.#context.cellsOf(this)];
  }

  restoreCell(keyId: unknown, from: Omit<StoredCell, 'next'>): ForstCell {
    const cell = new ForstCell(this, { ...from, keyId }, from.value);
    this.#join(cell);
    return cell;
  }

  /** T1: the latest timers leave for the tree, all that come after `end`. */
  spill(timers: readonly TimerCell[], end: TimerPlace): void {
    for (const cell of timers as readonly ForstCell[]) {
      // cells of this table
      if (cell.dirtyEpoch !== 0) this.writeCell(cell, cell.dirtyEpoch !== this.#writeBack.epoch);
      this.forgetCell(cell);
    }
    this.#setEnd(end);
  }

  /** T2. The tree is read as it is now. */
  beginReading(): void {
    this.#changes = new Map();
  }

  /** T2. What was read; undefined: nothing. */
  endReading(stage: NextTimers | undefined): void {
    this.#stage = stage;
    if (stage === undefined) this.#changes = undefined;
    else this.#dropChanges(stage.end);
  }

  dropStage(): void {
    this.#stage = undefined;
    this.#changes = undefined;
  }

  /** T1. The next timers, about `count`, come to memory. */
  takeStaged(count: number, restore: (bytes: Uint8Array) => void): void {
    const { timers, end } = this.#stage!;
    let last: TimerPlace | undefined;
    let left = count;
    for (; left > 0 && timers.size > 0; left--) {
      const place = placeOf(timers.first());
      if (end !== undefined && comparePlaces(place, end) > 0) break;
      last = place;
      timers.pop();
      if (this.#changes!.size === 0 || !this.#changes!.has(nameOf(place.bytes)))
        restore(place.bytes);
    }
    const exhausted = left > 0 || timers.size === 0;
    this.#setEnd(exhausted ? end : last);
    this.needed = false;
    this.#restoreChanges(restore);
    if (exhausted) this.dropStage();
  }

  writeCell(cell: ForstCell, closing: boolean): void {
    const key = this.#keyOf(cell);
    if (closing) this.#tree.writeClosing(ENTRY.put, key, NO_VALUE);
    else this.#tree.put(key, NO_VALUE);
    cell.inTree = true;
  }

  forgetCell(cell: ForstCell): void {
    this.#writeBack.release(cell);
    this.size--;
    this.#context.unlink(cell.keyId, cell);
  }

  /** Those that memory has to hold now. */
  #restoreChanges(restore: (bytes: Uint8Array) => void): void {
    const end = this.#end;
    for (const [name, change] of this.#changes!) {
      if (end !== undefined && comparePlaces(change, end) > 0) continue;
      this.#changes!.delete(name);
      if (change.lives) restore(change.bytes);
    }
  }

  /** T2 */
  #note(written: Uint8Array, lives: boolean): void {
    const changes = this.#changes!;
    const bytes = copyOf(written);
    const change = { ...placeOf(bytes), lives };
    const stage = this.#stage;
    if (stage?.end !== undefined && comparePlaces(change, stage.end) > 0) return;
    changes.set(nameOf(bytes), change);
    if (stage === undefined || changes.size <= CHANGES_MAX) return;
    // The stage ends earlier, so that about half of them lie beyond.
    const stride = Math.floor(changes.size / CHANGES_SAMPLED);
    const sample = [...changes.values()].filter((_, i) => i % stride === 0).sort(comparePlaces);
    const { timestamp, keyGroup, bytes: middle } = sample[sample.length >> 1]!;
    const end = { timestamp, keyGroup, bytes: middle };
    this.#stage = { timers: stage.timers, end };
    this.#dropChanges(end);
  }

  /** T2. Those beyond the stage do not matter. */
  #dropChanges(end: TimerPlace | undefined): void {
    if (end === undefined) return;
    for (const [name, change] of this.#changes!)
      if (comparePlaces(change, end) > 0) this.#changes!.delete(name);
  }

  #setEnd(end: TimerPlace | undefined): void {
    this.#end = end;
    this.headEnd = end?.timestamp ?? Number.POSITIVE_INFINITY;
  }

  #isBeyond(keyGroup: number, timestamp: number, namespace: unknown): boolean {
    const end = this.#end!; // asked from `headEnd` on only
    if (timestamp !== end.timestamp) return timestamp > end.timestamp;
    if (keyGroup !== end.keyGroup) return keyGroup > end.keyGroup;
    if (end.bytes === undefined) return false;
    const bytes = this.#keys.writeTimer(keyGroup, timestamp, this.#context.key, namespace);
    return compareKeys(bytes, end.bytes) > 0;
  }

  #join(cell: ForstCell): void {
    this.size++;
    this.#context.link(cell.keyId, cell);
  }

  #keyOf(cell: ForstCell): Uint8Array {
    return this.#keys.writeTimer(cell.keyGroup, timestampOf(cell), cell.key, cell.namespace);
  }
}

const nameOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
