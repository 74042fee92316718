/**
 * One state's (or timer service's) entries in the hashmap backend.
 *
 * A table is an array of buckets; a bucket holds the entries of a run of key groups in a Map from key identity to a cell. The cells of
 * one key, one per namespace, form a list with the newest first: the window that is being filled is found at once.
 *
 *   buckets[(keyGroup - start) >> shift] -> Map { keyIdentity -> Cell -> Cell -> ... }
 *
 * Invariants
 *  T1  Before a bucket changes, `touch` has been called for it: a snapshot that has not captured the bucket yet does so then.
 *  T2  A key's list is never empty: the map entry goes with its last cell.
 *
 * Cost: a lookup is one Map access and, without namespaces, one comparison. Guarded by `bench/state.ts`.
 */
import type { KeyGroupRange } from '../../types/key-group.ts';

export class Cell {
  readonly key: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  /** Equal for equal namespaces; undefined for none. */
  readonly namespaceId: unknown;
  value: unknown;
  next: Cell | undefined = undefined;

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
  readonly cells = new Map<unknown, Cell>();
  /** The last snapshot that has seen this bucket as it was. */
  capturedEpoch: number;

  constructor(epoch: number) {
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

/** The key that states refer to, and the snapshot clock: one per backend, shared by its tables. */
export class KeyContext {
  key: unknown = undefined;
  keyId: unknown = undefined;
  keyGroup = -1;
  bucket = -1;
  /** Grows with every `setCurrentKey`: what was found for an earlier version is stale. */
  version = 0;
  /** Grows with every snapshot. */
  epoch = 0;
  /** Captures a bucket for the snapshots that still miss it, before it changes (T1). */
  capture: (table: StateTable, bucket: number) => void = () => {};
}

export class StateTable {
  readonly name: string;
  readonly layout: BucketLayout;
  readonly context: KeyContext;
  readonly buckets: (Bucket | undefined)[];
  #cell: Cell | undefined;
  #version = -1;
  #namespaceId: unknown = undefined;

  constructor(name: string, layout: BucketLayout, context: KeyContext) {
    this.name = name;
    this.layout = layout;
    this.context = context;
    this.buckets = Array.from({ length: layout.count }, () => undefined);
  }

  /** @hot The cell of the current key in that namespace. */
  find(namespaceId: unknown): Cell | undefined {
    if (this.#version === this.context.version && this.#namespaceId === namespaceId)
      return this.#cell;
    let cell = this.buckets[this.context.bucket]?.cells.get(this.context.keyId);
    while (cell !== undefined && cell.namespaceId !== namespaceId) cell = cell.next;
    this.#cell = cell;
    this.#version = this.context.version;
    this.#namespaceId = namespaceId;
    return cell;
  }

  /** @hot Must be called before a cell of the current key, or what its value refers to, is changed (T1). */
  touch(): Bucket {
    const index = this.context.bucket;
    let bucket = this.buckets[index];
    if (bucket === undefined) {
      bucket = new Bucket(this.context.epoch);
      this.buckets[index] = bucket;
    } else if (bucket.capturedEpoch !== this.context.epoch) {
      this.context.capture(this, index);
    }
    return bucket;
  }

  /** @hot Stores a value for the current key. */
  put(namespace: unknown, namespaceId: unknown, value: unknown): void {
    const cell = this.find(namespaceId);
    const bucket = this.touch();
    if (cell !== undefined) {
      cell.value = value;
      return;
    }
    const { context } = this;
    const added = new Cell(context.key, context.keyGroup, namespace, namespaceId, value);
    added.next = bucket.cells.get(context.keyId);
    bucket.cells.set(context.keyId, added);
    this.#cell = added;
  }

  remove(namespaceId: unknown): void {
    const cell = this.find(namespaceId);
    if (cell === undefined) return;
    const bucket = this.touch();
    const { keyId } = this.context;
    const head = bucket.cells.get(keyId)!;
    if (head === cell) {
      if (cell.next === undefined) bucket.cells.delete(keyId);
      else bucket.cells.set(keyId, cell.next);
    } else {
      let before = head;
      while (before.next !== cell) before = before.next!;
      before.next = cell.next;
    }
    this.#cell = undefined;
  }

  /** Adds a restored entry; no snapshot is running then. */
  restore(keyId: unknown, cell: Cell): void {
    const index = this.layout.bucketOf(cell.keyGroup);
    const bucket = (this.buckets[index] ??= new Bucket(this.context.epoch));
    cell.next = bucket.cells.get(keyId);
    bucket.cells.set(keyId, cell);
  }

  /** Every cell; the table must not change meanwhile but through the visited key. */
  *cells(): Iterable<Cell> {
    for (const bucket of this.buckets) {
      if (bucket === undefined) continue;
      for (const head of [...bucket.cells.values()]) {
        for (let cell: Cell | undefined = head; cell !== undefined; cell = cell.next) yield cell;
      }
    }
  }
}
