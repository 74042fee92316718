/**
 * One state's (or timer service's) entries in the hashmap backend.
 *
 * Two views of the same cells. By key: one Map for all tables of the backend, from key identity to the key's cells, so that what a record
 * does with several states and timers of its key costs one lookup. Cells of one table, one per namespace, hang together by `next`, the
 * newest first, so that the window that is being filled is found at once; the first cells of the tables hang together by `sibling`.
 * By key group: buckets of each table, the units in which snapshots capture.
 *
 *   maps[i]   keyIdentity -> Cell -sibling-> Cell -sibling-> ...        table A, table B, ...
 *                             |next           |next
 *   buckets[(keyGroup - start) >> shift]  -> [Cell, Cell, ...]
 *
 * Looking a key up needs no hash of ours: its key group is computed only when it gets its first cell.
 *
 * Invariants
 *  T1  Before a cell changes, or joins or leaves its bucket, the bucket has been captured for every running snapshot.
 *  T2  A key in a map has a cell: the map entry goes with its last one.
 *  T3  bucket.cells[cell.slot] is the cell.
 *  T4  Only the first cell of its table has a `sibling`.
 *
 * Cost: a lookup is one Map access a record, a step for each table that holds something for the key, and one comparison where there are
 * no namespaces. Numbers are looked up in tables of our own (`base/number-map.ts`). A JavaScript Map ends at 2^24 entries: beyond
 * MAP_ENTRIES_MAX keys go into a further map. Guarded by `bench/runtime.ts` and `bench/nexmark`.
 */
import type { KeyGroupRange } from '../../types/key-group.ts';
import type { CellTable, StoredCell, TimerTable } from '../cells/cell-table.ts';
import { KeyContext, type KeySpace } from '../cells/key-context.ts';
import { NumberMap } from '../../base/number-map.ts';

const MAP_ENTRIES_MAX = 2 ** 23;

export class Cell implements StoredCell {
  readonly key: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  /** Equal for equal namespaces; undefined for none. */
  readonly namespaceId: unknown;
  value: unknown;
  next: Cell | undefined = undefined;
  /** Of the first cell of a table: the first of another table. */
  sibling: Cell | undefined = undefined;
  table: StateTable | undefined = undefined;
  bucket: Bucket | undefined = undefined;
  slot = -1;

  constructor(
    key: unknown,
    keyGroup: number,
    namespace: unknown,
    namespaceId: unknown,
    value: unknown,
  ) {
    this.key = key;
    this.keyGroup = keyGroup;
    this.namespace = namespace;
    this.namespaceId = namespaceId;
    this.value = value;
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

interface KeyMap extends Pick<Map<unknown, Cell>, 'get' | 'has' | 'delete' | 'size'> {
  set(keyId: unknown, cell: Cell): unknown;
}

/** Keys whose identities are numbers; pairs of them and texts mostly are. */
const NUMBERS: ReadonlySet<string> = new Set([
  'int8',
  'int16',
  'int32',
  'int64',
  'timestamp',
  'float',
  'double',
]);

/** The key and its cells, and the snapshot clock. */
export class SnapshotContext extends KeyContext {
  /** Grows with every snapshot. */
  epoch = 0;
  readonly #newMap: () => KeyMap;
  readonly #map: KeyMap;
  readonly #maps: KeyMap[];
  #first: Cell | undefined;
  #firstVersion = -1;

  constructor(space: KeySpace) {
    super(space);
    const { keySchema } = space;
    const numbers =
      NUMBERS.has(keySchema.kind) ||
      (keySchema.kind === 'tuple' &&
        keySchema.elements.every(({ kind }) => kind === 'string' || NUMBERS.has(kind)));
    this.#newMap = () => (numbers ? new NumberMap<Cell>() : new Map<unknown, Cell>());
    this.#map = this.#newMap();
    this.#maps = [this.#map];
  }

  /** Captures a bucket for the snapshots that still miss it, before it changes (T1). */
  capture: (table: StateTable, bucket: Bucket) => void = () => {};

  /** A key with a cell needs no hashing. */
  override get keyGroup(): number {
    return this.first()?.keyGroup ?? super.keyGroup;
  }

  /** @hot The first cell of the current key, of whatever table. */
  first(): Cell | undefined {
    if (this.#firstVersion === this.version) return this.#first;
    this.#firstVersion = this.version;
    this.#first = this.firstOf(this.keyId);
    return this.#first;
  }

  firstOf(keyId: unknown): Cell | undefined {
    const cell = this.#map.get(keyId);
    if (cell !== undefined || this.#maps.length === 1) return cell;
    return this.#mapOf(keyId)?.get(keyId);
  }

  /** Without a cell, the key is forgotten. */
  setFirst(keyId: unknown, cell: Cell | undefined): void {
    if (cell === undefined) this.#mapOf(keyId)?.delete(keyId);
    else (this.#mapOf(keyId) ?? this.#roomyMap()).set(keyId, cell);
    this.#firstVersion = -1;
  }

  /** The map that has the key; while there is one and it has room, that one. */
  #mapOf(keyId: unknown): KeyMap | undefined {
    if (this.#maps.length === 1 && this.#map.size < MAP_ENTRIES_MAX) return this.#map;
    return this.#maps.find((map) => map.has(keyId));
  }

  #roomyMap(): KeyMap {
    const last = this.#maps.at(-1)!;
    if (last.size < MAP_ENTRIES_MAX) return last;
    const map = this.#newMap();
    this.#maps.push(map);
    return map;
  }
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
    let cell = this.context.first();
    while (cell !== undefined && cell.table !== this) cell = cell.sibling;
    return cell;
  }

  /** @hot The cell of the current key in that namespace. */
  find(namespaceId: unknown, _namespace?: unknown): Cell | undefined {
    if (this.#version === this.context.version && this.#namespaceId === namespaceId)
      return this.#cell;
    let cell = this.head();
    while (cell !== undefined && cell.namespaceId !== namespaceId) cell = cell.next;
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
    const cell = new Cell(context.key, context.keyGroup, namespace, namespaceId, value);
    this.#join(cell);
    this.#link(context.keyId, context.first(), cell);
    return cell;
  }

  /** Takes a cell of the current key out. */
  drop(cell: Cell): void {
    this.touch(cell);
    this.#unlink(cell);
    const { cells } = cell.bucket!;
    const last = cells.pop()!;
    if (last !== cell) {
      cells[cell.slot] = last;
      last.slot = cell.slot;
    }
    this.#version = -1;
  }

  /** Adds a restored entry. */
  restore(keyId: unknown, cell: Cell): void {
    this.#join(cell);
    this.#link(keyId, this.context.firstOf(keyId), cell);
    this.#version = -1;
  }

  restoreCell(keyId: unknown, from: Omit<StoredCell, 'next'>): void {
    this.restore(
      keyId,
      new Cell(from.key, from.keyGroup, from.namespace, from.namespaceId, from.value),
    );
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

  /** In front of the other cells of its table; a table's first cell at the end of the siblings, which leaves the map alone. */
  #link(keyId: unknown, first: Cell | undefined, cell: Cell): void {
    cell.table = this;
    let before: Cell | undefined;
    let head = first;
    while (head !== undefined && head.table !== this) {
      before = head;
      head = head.sibling;
    }
    if (head !== undefined) {
      cell.next = head;
      cell.sibling = head.sibling;
      head.sibling = undefined;
    }
    if (before === undefined) this.context.setFirst(keyId, cell);
    else before.sibling = cell;
  }

  /** The cell is one of the current key. */
  #unlink(cell: Cell): void {
    let before: Cell | undefined;
    let head = this.context.first()!;
    while (head.table !== this) {
      before = head;
      head = head.sibling!;
    }
    if (head !== cell) {
      let earlier = head;
      while (earlier.next !== cell) earlier = earlier.next!;
      earlier.next = cell.next;
      return;
    }
    const after = cell.next ?? cell.sibling;
    if (cell.next !== undefined) cell.next.sibling = cell.sibling;
    if (before === undefined) this.context.setFirst(this.context.keyId, after);
    else before.sibling = after;
  }
}
