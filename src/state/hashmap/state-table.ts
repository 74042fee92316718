/**
 * One state's (or timer service's) entries in the hashmap backend.
 *
 * Two views of the same cells. By key: `cells/cell-context.ts`, one table of keys for all tables of the backend. By key group: buckets of
 * each table, the units in which snapshots capture.
 *
 *   buckets[(keyGroup - start) >> shift]  -> [Cell, Cell, ...]
 *
 * Invariants
 *  T1  Before a cell changes, or joins or leaves its bucket, the bucket has been captured for every running snapshot.
 *  T2  bucket.cells[cell.slot] is the cell.
 *
 * Cost: beside the lookup of the key, one comparison where there are no namespaces. Guarded by `bench/runtime.ts` and `bench/nexmark`.
 */
import type { KeyGroupRange } from '../../types/key-group.ts';
import { CellContext, inNamespace, type LinkedCell } from '../cells/cell-context.ts';
import type { CellTable, StoredCell, TimerCell, TimerTable } from '../cells/cell-table.ts';

export class Cell implements LinkedCell<Cell> {
  readonly owner: StateTable;
  readonly key: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  /** Equal for equal namespaces; undefined for none. */
  readonly namespaceId: unknown;
  value: unknown;
  next: Cell | undefined = undefined;
  sibling: Cell | undefined = undefined;
  bucket: Bucket | undefined = undefined;
  /** -1: it is in no bucket. */
  slot = -1;

  constructor(
    owner: StateTable,
    key: unknown,
    keyGroup: number,
    namespace: unknown,
    namespaceId: unknown,
    value: unknown,
  ) {
    this.owner = owner;
    this.key = key;
    this.keyGroup = keyGroup;
    this.namespace = namespace;
    this.namespaceId = namespaceId;
    this.value = value;
  }

  get gone(): boolean {
    return this.slot === -1;
  }
}

export class Bucket {
  readonly index: number;
  readonly cells: Cell[] = [];
  /** The last snapshot that has seen this bucket as it was. */
  capturedEpoch: number;

  constructor(index: number, epoch: number) {
    this.index = index;
    this.capturedEpoch = epoch;
  }
}

/** Enough buckets that capturing one is short, few enough that small states stay small. */
const BUCKETS_MAX = 512;

/** Where in a backend's range a key group lies. */
export class BucketLayout {
  readonly range: KeyGroupRange;
  readonly shift: number;
  readonly count: number;

  constructor(range: KeyGroupRange) {
    const groups = range.end - range.start + 1;
    let shift = 0;
    while (groups >> shift > BUCKETS_MAX) shift++;
    this.range = range;
    this.shift = shift;
    this.count = ((groups - 1) >> shift) + 1;
  }

  bucketOf(keyGroup: number): number {
    return (keyGroup - this.range.start) >> this.shift;
  }

  /** The key groups of a bucket. */
  groupsOf(bucket: number): KeyGroupRange {
    const start = this.range.start + (bucket << this.shift);
    return { start, end: Math.min(start + (1 << this.shift) - 1, this.range.end) };
  }
}

/** The key and its cells, and the snapshot clock. */
export class SnapshotContext extends CellContext<Cell> {
  /** Grows with every snapshot. */
  epoch = 0;

  /** Captures a bucket for the snapshots that still miss it, before it changes (T1). */
  capture: (table: StateTable, bucket: Bucket) => void = () => {};
}

export class StateTable implements CellTable, TimerTable {
  readonly name: string;
  readonly layout: BucketLayout;
  readonly context: SnapshotContext;
  readonly buckets: (Bucket | undefined)[];
  /** Of timers: all are here. */
  readonly headEnd = Number.POSITIVE_INFINITY;
  #cell: Cell | undefined;
  #version = -1;
  #namespaceId: unknown = undefined;

  constructor(name: string, layout: BucketLayout, context: SnapshotContext) {
    this.name = name;
    this.layout = layout;
    this.context = context;
    this.buckets = Array.from({ length: layout.count }, () => undefined);
  }

  /** @hot The newest cell of the current key. */
  head(): Cell | undefined {
    return this.context.head(this);
  }

  /** @hot The cell of the current key in that namespace. */
  find(namespaceId: unknown, _namespace?: unknown): Cell | undefined {
    if (this.#version === this.context.version && this.#namespaceId === namespaceId)
      return this.#cell;
    const cell = inNamespace(this.head(), namespaceId);
    this.#cell = cell;
    this.#version = this.context.version;
    this.#namespaceId = namespaceId;
    return cell;
  }

  /** @hot The same where there are no namespaces: a key has one cell. */
  findOnly(): Cell | undefined {
    if (this.#version === this.context.version) return this.#cell;
    this.#version = this.context.version;
    this.#cell = this.head();
    return this.#cell;
  }

  /** @hot On the heap everything is there. */
  findForAdd(namespaceId: unknown): Cell | undefined {
    return this.find(namespaceId);
  }

  startFold(namespace: unknown, namespaceId: unknown, value: unknown): void {
    this.put(namespace, namespaceId, value);
  }

  prepare(): boolean {
    return true;
  }

  prepareAdd(): boolean {
    return true;
  }

  /** @hot Must be called before a cell, or what its value refers to, is changed (T1). */
  touch(cell: Cell): void {
    if (cell.bucket!.capturedEpoch !== this.context.epoch) this.context.capture(this, cell.bucket!);
  }

  /** @hot Stores a value for the current key. */
  put(namespace: unknown, namespaceId: unknown, value: unknown): void {
    const cell = namespaceId === undefined ? this.findOnly() : this.find(namespaceId);
    if (cell === undefined) {
      this.#cell = this.add(namespace, namespaceId, value);
      return;
    }
    this.touch(cell);
    cell.value = value;
  }

  remove(_namespace: unknown, namespaceId: unknown): void {
    const cell = this.find(namespaceId);
    if (cell !== undefined) this.drop(cell);
  }

  /** A further cell for the current key. */
  add(namespace: unknown, namespaceId: unknown, value: unknown): Cell {
    const { context } = this;
    const cell = new Cell(this, context.key, context.keyGroup, namespace, namespaceId, value);
    this.#join(cell);
    context.link(context.keyId, cell);
    return cell;
  }

  /** Takes a cell of the current key out. */
  drop(cell: Cell): void {
    this.touch(cell);
    this.context.unlink(this.context.keyId, cell);
    const { cells } = cell.bucket!;
    const last = cells.pop()!;
    if (last !== cell) {
      cells[cell.slot] = last;
      last.slot = cell.slot;
    }
    cell.slot = -1;
    this.#version = -1;
  }

  /** Adds a restored entry. */
  restore(keyId: unknown, cell: Cell): void {
    this.#join(cell);
    this.context.link(keyId, cell);
    this.#version = -1;
  }

  restoreCell(keyId: unknown, from: Omit<StoredCell, 'next'>): TimerCell {
    const { key, keyGroup, namespace, namespaceId, value } = from;
    const cell = new Cell(this, key, keyGroup, namespace, namespaceId, value);
    this.restore(keyId, cell);
    return cell;
  }

  /** Every cell at the time of the call. */
  cells(): readonly Cell[] {
    return this.buckets.flatMap((bucket) => bucket?.cells ?? []);
  }

  #join(cell: Cell): void {
    const index = this.layout.bucketOf(cell.keyGroup);
    const bucket = (this.buckets[index] ??= new Bucket(index, this.context.epoch));
    if (bucket.capturedEpoch !== this.context.epoch) this.context.capture(this, bucket);
    cell.bucket = bucket;
    cell.slot = bucket.cells.push(cell) - 1;
  }
}
