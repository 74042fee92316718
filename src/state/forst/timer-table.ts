/**
 * Timers of one service and time domain: the next ones in memory, the head, in front of a tree in which they lie in the order they are due.
 *
 * A timer that fires or is deleted before the next barrier never reaches the tree. Those beyond the head are written to the tree and
 * deleted from it without reading, and take no memory.
 *
 * Invariants
 *  T1  Memory holds every live timer up to `end`, and none after it.
 *  T2  What changes beyond `end` while the next head is being read is noted, and counts more than what was read.
 */
import { copyOf } from '../../base/bytes.ts';
import { compareKeys } from '../../lsm/key-order.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { ENTRY } from '../../lsm/table-meta.ts';
import type { StoredCell, TimerTable } from '../cells/cell-table.ts';
import type { KeyContext } from '../cells/key-context.ts';
import type { Timer } from '../cells/timer-queue.ts';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import type { StateKeyWriter } from './state-key.ts';
import { comparePlaces, type StoredTimer, type TimerHead, type TimerPlace } from './timer-head.ts';
import type { WriteBack } from './write-back.ts';

const NO_VALUE = new Uint8Array(0);
const BEFORE_ALL: TimerPlace = {
  timestamp: Number.NEGATIVE_INFINITY,
  keyGroup: -1,
  bytes: undefined,
};

/** Estimate of the memory that a timer in the head takes. */
export const TIMER_BYTES = 320;

export class ForstTimerTable implements TimerTable, CellOwner {
  readonly #context: KeyContext;
  readonly #tree: LsmTree;
  readonly #writeBack: WriteBack;
  readonly #keys: StateKeyWriter;
  readonly #first = new Map<unknown, ForstCell>();
  /** T1; undefined: all timers are in memory. */
  #end: TimerPlace | undefined;
  headEnd: number;
  /** Timers in memory. */
  size = 0;
  /** The next head is waited for. */
  needed = false;
  /** T2, while a head is being read; undefined: deleted. By their bytes. */
  #since: Map<string, StoredTimer | undefined> | undefined;

  constructor(params: {
    context: KeyContext;
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

  /** @hot */
  head(): StoredCell | undefined {
    return this.#first.get(this.#context.keyId);
  }

  add(namespace: unknown, namespaceId: unknown, value: unknown): StoredCell {
    const { key, keyId, keyGroup } = this.#context;
    const cell = new ForstCell(this, { key, keyId, keyGroup, namespace, namespaceId }, value);
    cell.inTree = false;
    this.#join(cell);
    this.#writeBack.touch(cell);
    return cell;
  }

  drop(stored: StoredCell): void {
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
    this.#since?.set(nameOf(bytes), { timestamp, keyGroup, bytes: copyOf(bytes) });
    return true;
  }

  dropBeyond(namespace: unknown, timestamp: number): boolean {
    const { key, keyGroup } = this.#context;
    if (!this.#isBeyond(keyGroup, timestamp, namespace)) return false;
    const bytes = this.#keys.writeTimer(keyGroup, timestamp, key, namespace);
    this.#tree.delete(bytes);
    this.#since?.set(nameOf(bytes), undefined);
    return true;
  }

  noteHead(): void {
    this.needed = true;
  }

  cells(): readonly StoredCell[] {
    const cells: StoredCell[] = [];
    for (const head of this.#first.values())
      for (let cell: ForstCell | undefined = head; cell !== undefined; cell = cell.next)
        cells.push(cell);
    return cells;
  }

  restoreCell(keyId: unknown, from: Omit<StoredCell, 'next'>): void {
    this.#join(new ForstCell(this, { ...from, keyId }, from.value));
  }

  /** T1: the latest timers leave for the tree, all that come after `end`. */
  spill(keyIdOf: (key: unknown) => unknown, timers: readonly Timer[], end: TimerPlace): void {
    for (const timer of timers) {
      let cell = this.#first.get(keyIdOf(timer.key))!;
      while (cell.value !== timer) cell = cell.next!;
      if (cell.dirtyEpoch !== 0) this.writeCell(cell, cell.dirtyEpoch !== this.#writeBack.epoch);
      this.forgetCell(cell);
    }
    this.#setEnd(end);
  }

  /** T2. Until `endReading` the tree is read as it is now. */
  beginReading(): void {
    this.#since = new Map();
  }

  endReading(): void {
    this.#since = undefined;
  }

  /** Whether that timer has changed since reading began. */
  hasChanged(bytes: Uint8Array): boolean {
    return this.#since!.has(nameOf(bytes));
  }

  /** Registered since reading began, up to `end`. */
  addedSince(end: TimerPlace | undefined): readonly StoredTimer[] {
    return [...this.#since!.values()].filter(
      (timer) => timer !== undefined && (end === undefined || comparePlaces(timer, end) <= 0),
    ) as StoredTimer[]; // undefined is filtered out
  }

  /** T1. What was read up to its end has been restored to memory. */
  extend({ end }: Pick<TimerHead, 'end'>): void {
    this.#setEnd(end);
    this.needed = false;
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
    const head = this.#first.get(cell.keyId)!;
    if (head === cell) {
      if (cell.next === undefined) this.#first.delete(cell.keyId);
      else this.#first.set(cell.keyId, cell.next);
      return;
    }
    let before = head;
    while (before.next !== cell) before = before.next!;
    before.next = cell.next;
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
    cell.next = this.#first.get(cell.keyId);
    this.#first.set(cell.keyId, cell);
  }

  #keyOf(cell: ForstCell): Uint8Array {
    const { timestamp } = cell.value as Timer; // timer tables hold nothing else
    return this.#keys.writeTimer(cell.keyGroup, timestamp, cell.key, cell.namespace);
  }
}

const nameOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
