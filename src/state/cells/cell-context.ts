/**
 * The current key and its cells: one table of keys for all states and timers of a backend, so that what a record does with several of them
 * costs one lookup.
 *
 * Cells of one owner, one per namespace or timer, hang together by `next`, the newest first, so that the window that is being filled is
 * found at once; the first cells of the owners hang together by `sibling`.
 *
 *   maps[i]   keyIdentity -> Cell -sibling-> Cell -sibling-> ...        owner A, owner B, ...
 *                             |next           |next
 *
 * Looking a key up needs no hash of ours: its key group is computed only when it gets its first cell.
 *
 * Invariants
 *  K1  A key in a map has a cell: the map entry goes with its last one.
 *  K2  Only the first cell of its owner has a `sibling`.
 *
 * Cost: a lookup is one Map access a record, and a step for each owner that holds something for the key. Numbers are looked up in tables of
 * our own (`base/number-map.ts`). A JavaScript Map ends at 2^24 entries: beyond MAP_ENTRIES_MAX keys go into a further map. Guarded by
 * `bench/runtime.ts` and `bench/nexmark`.
 */
import { NumberMap } from '../../base/number-map.ts';
import { NUMBER_KINDS } from '../../types/schema-kinds.ts';
import type { StoredCell } from './cell-table.ts';
import { KeyContext, type KeySpace } from './key-context.ts';

const MAP_ENTRIES_MAX = 2 ** 23;

export interface LinkedCell<C> extends Omit<StoredCell, 'next'> {
  /** The table of a state or of timers that it belongs to. */
  readonly owner: object;
  next: C | undefined;
  /** Of the first cell of an owner: the first of another owner. */
  sibling: C | undefined;
}

interface KeyMap<C> extends Pick<Map<unknown, C>, 'get' | 'has' | 'delete' | 'size'> {
  set(keyId: unknown, cell: C): unknown;
  values(): Iterable<C>;
}

export class CellContext<C extends LinkedCell<C>> extends KeyContext {
  readonly #newMap: () => KeyMap<C>;
  readonly #map: KeyMap<C>;
  readonly #maps: KeyMap<C>[];
  #first: C | undefined;
  #firstVersion = -1;
  constructor(space: KeySpace) {
    super(space);
    const { keySchema } = space;
    // Identities are numbers; of pairs of integers and texts mostly.
    const numbers =
      NUMBER_KINDS.has(keySchema.kind) ||
      (keySchema.kind === 'tuple' &&
        keySchema.elements.every(({ kind }) => kind === 'string' || NUMBER_KINDS.has(kind)));
    this.#newMap = () => (numbers ? new NumberMap<C>() : new Map<unknown, C>());
    this.#map = this.#newMap();
    this.#maps = [this.#map];
  }

  /** A key with a cell needs no hashing. */
  override get keyGroup(): number {
    return this.#firstOfCurrent()?.keyGroup ?? super.keyGroup;
  }

  /** @hot The newest cell of the current key that the owner has. */
  head(owner: object): C | undefined {
    let cell = this.#firstOfCurrent();
    while (cell !== undefined && cell.owner !== owner) cell = cell.sibling;
    return cell;
  }

  /** The same for any key. */
  headOf(owner: object, keyId: unknown): C | undefined {
    let cell = this.#firstOf(keyId);
    while (cell !== undefined && cell.owner !== owner) cell = cell.sibling;
    return cell;
  }

  /** Every cell of an owner. */
  *cellsOf(owner: object): Iterable<C> {
    for (const map of this.#maps)
      for (const first of map.values()) {
        let cell: C | undefined = first;
        while (cell !== undefined && cell.owner !== owner) cell = cell.sibling;
        for (; cell !== undefined; cell = cell.next) yield cell;
      }
  }

  /** In front of the other cells of its owner; an owner's first cell at the end of the siblings, which leaves the map alone. */
  link(keyId: unknown, cell: C): void {
    const { owner } = cell;
    let before: C | undefined;
    let head = this.#firstOf(keyId);
    while (head !== undefined && head.owner !== owner) {
      before = head;
      head = head.sibling;
    }
    if (head !== undefined) {
      cell.next = head;
      cell.sibling = head.sibling;
      head.sibling = undefined;
    }
    if (before === undefined) this.#setFirst(keyId, cell);
    else before.sibling = cell;
  }

  unlink(keyId: unknown, cell: C): void {
    const { owner } = cell;
    let before: C | undefined;
    let head = this.#firstOf(keyId)!;
    while (head.owner !== owner) {
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
    if (before === undefined) this.#setFirst(keyId, after);
    else before.sibling = after;
  }

  /** @hot The first cell of the current key, of whatever owner. */
  #firstOfCurrent(): C | undefined {
    if (this.#firstVersion === this.version) return this.#first;
    this.#firstVersion = this.version;
    this.#first = this.#lookUp(this.keyId);
    return this.#first;
  }

  #firstOf(keyId: unknown): C | undefined {
    return keyId === this.keyId ? this.#firstOfCurrent() : this.#lookUp(keyId);
  }

  #lookUp(keyId: unknown): C | undefined {
    const cell = this.#map.get(keyId);
    if (cell !== undefined || this.#maps.length === 1) return cell;
    return this.#mapOf(keyId)?.get(keyId);
  }

  /** Without a cell, the key is forgotten. */
  #setFirst(keyId: unknown, cell: C | undefined): void {
    if (cell === undefined) this.#mapOf(keyId)?.delete(keyId);
    else (this.#mapOf(keyId) ?? this.#roomyMap()).set(keyId, cell);
    if (keyId === this.keyId) {
      this.#first = cell;
      this.#firstVersion = this.version;
    }
  }

  /** The map that has the key; while there is one and it has room, that one. */
  #mapOf(keyId: unknown): KeyMap<C> | undefined {
    if (this.#maps.length === 1 && this.#map.size < MAP_ENTRIES_MAX) return this.#map;
    return this.#maps.find((map) => map.has(keyId));
  }

  #roomyMap(): KeyMap<C> {
    const last = this.#maps.at(-1)!;
    if (last.size < MAP_ENTRIES_MAX) return last;
    const map = this.#newMap();
    this.#maps.push(map);
    return map;
  }
}

/** @hot Of the cells of one key and owner, the newest first, the one of that namespace. */
export function inNamespace<C extends LinkedCell<C>>(
  newest: C | undefined,
  namespaceId: unknown,
): C | undefined {
  let cell = newest;
  while (cell !== undefined && cell.namespaceId !== namespaceId) cell = cell.next;
  return cell;
}
