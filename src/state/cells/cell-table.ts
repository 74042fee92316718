/**
 * Where the states of one name live, as the state objects see it: cells of the current key, by namespace.
 *
 * `hashmap/state-table.ts` holds everything; `forst/cell-cache.ts` holds what is hot and knows where the rest is. A cell that `find`
 * returns has a value; undefined means that there is none.
 */
export interface StoredCell {
  readonly key: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  /** Equal for equal namespaces; undefined for none. */
  readonly namespaceId: unknown;
  value: unknown;
  readonly next: StoredCell | undefined;
}

export interface CellTable {
  readonly name: string;
  /** @hot @throws `internal` STATE_NOT_RESIDENT */
  find(namespaceId: unknown, namespace: unknown): StoredCell | undefined;
  /** @hot The same where there are no namespaces. */
  findOnly(): StoredCell | undefined;
  /** @hot The cell to fold a further value into: its value may be only what was added since, on top of what is elsewhere. */
  findForAdd(namespaceId: unknown, namespace: unknown): StoredCell | undefined;
  /** @hot When `findForAdd` has found none: the value is folded onto whatever is elsewhere. */
  startFold(namespace: unknown, namespaceId: unknown, value: unknown): void;
  /** @hot Must be called before a cell, or what its value refers to, is changed. */
  touch(cell: StoredCell): void;
  /** @hot Stores a value, whatever was there. */
  put(namespace: unknown, namespaceId: unknown, value: unknown): void;
  remove(namespace: unknown, namespaceId: unknown): void;
  /** See `Namespaced.prepare`. */
  prepare(namespace: unknown, namespaceId: unknown): boolean;
  /** The same for `findForAdd`. */
  prepareAdd(namespace: unknown, namespaceId: unknown): boolean;
}

/** A timer. Its value is its timestamp. */
export interface TimerCell extends StoredCell {
  readonly next: TimerCell | undefined;
  /** Out of its table. */
  readonly gone: boolean;
}

/** Timer tables hold nothing else. */
export const timestampOf = ({ value }: Pick<StoredCell, 'value'>): number => value as number;

/** A table of timers: several cells for one key and namespace. */
export interface TimerTable {
  /** The newest cell of the current key. */
  head(): TimerCell | undefined;
  add(namespace: unknown, namespaceId: unknown, timestamp: number): TimerCell;
  /** Takes a cell of the current key out: it is gone. */
  drop(cell: TimerCell): void;
  cells(): readonly TimerCell[];
  /** @hot Timers of this time and later may be elsewhere; +Infinity: all timers are here. */
  readonly headEnd: number;
  /** From `headEnd` on: registers a timer of the current key where it belongs; false: it belongs here. */
  addBeyond?(namespace: unknown, timestamp: number): boolean;
  /** The same for deletion; false: if it exists, it is here. */
  dropBeyond?(namespace: unknown, timestamp: number): boolean;
  /** The timers that come next are elsewhere and may be due: the backend's next load is to bring them. */
  noteHead?(): void;
  /** Adds a cell that was stored. */
  restoreCell(keyId: unknown, cell: Omit<StoredCell, 'next'>): TimerCell;
}
