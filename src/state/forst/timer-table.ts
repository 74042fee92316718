/**
 * Timers of one service and time domain: all in memory, in front of a tree of their own in which they lie in the order they are due.
 *
 * A timer that fires or is deleted before the next barrier never reaches the tree. Those of a restored checkpoint are read in the
 * background; until they are all there (`loaded`), nothing fires, and what is deleted is deleted blindly.
 */
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { ENTRY } from '../../lsm/table-meta.ts';
import type { StoredCell, TimerTable } from '../cells/cell-table.ts';
import type { KeyContext } from '../cells/key-context.ts';
import type { Timer } from '../cells/timer-queue.ts';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import type { StateKeyWriter } from './state-key.ts';
import type { WriteBack } from './write-back.ts';

const NO_VALUE = new Uint8Array(0);

export class ForstTimerTable implements TimerTable, CellOwner {
  readonly #context: KeyContext;
  readonly #tree: LsmTree;
  readonly #writeBack: WriteBack;
  readonly #keys: StateKeyWriter;
  readonly #first = new Map<unknown, ForstCell>();
  /** Deleted before `loaded`, by their keys in the tree. */
  #unknown: Set<string> | undefined;

  constructor(params: {
    context: KeyContext;
    tree: LsmTree;
    writeBack: WriteBack;
    keys: StateKeyWriter;
    loaded: boolean;
  }) {
    this.#context = params.context;
    this.#tree = params.tree;
    this.#writeBack = params.writeBack;
    this.#keys = params.keys;
    this.#unknown = params.loaded ? undefined : new Set();
  }

  get loaded(): boolean {
    return this.#unknown === undefined;
  }

  /** Everything restored is there. */
  setLoaded(): void {
    this.#unknown = undefined;
  }

  /** @hot */
  head(): StoredCell | undefined {
    return this.#first.get(this.#context.keyId);
  }

  add(namespace: unknown, namespaceId: unknown, value: unknown): StoredCell {
    const { key, keyId, keyGroup } = this.#context;
    const cell = new ForstCell(this, { key, keyId, keyGroup, namespace, namespaceId }, value);
    // Before everything is loaded, it may be one that the tree has.
    cell.inTree = !this.loaded;
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

  /** A timer that is not here, but may be in what is not loaded yet. */
  dropUnknown(namespace: unknown, timestamp: number): void {
    if (this.loaded) return;
    const { key, keyGroup } = this.#context;
    const bytes = this.#keys.writeTimer(keyGroup, timestamp, key, namespace);
    this.#unknown!.add(nameOf(bytes));
    this.#tree.delete(bytes);
  }

  /** Whether a timer that a scan found has been deleted meanwhile. */
  wasDropped(bytes: Uint8Array): boolean {
    return this.#unknown?.has(nameOf(bytes)) === true;
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

  writeCell(cell: ForstCell, closing: boolean): void {
    const key = this.#keyOf(cell);
    if (closing) this.#tree.writeClosing(ENTRY.put, key, NO_VALUE);
    else this.#tree.put(key, NO_VALUE);
    cell.inTree = true;
  }

  forgetCell(cell: ForstCell): void {
    this.#writeBack.release(cell);
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

  #join(cell: ForstCell): void {
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
