/**
 * The object cache of one state: live values by key and namespace, in front of the tree. A hit is one Map access; nothing is encoded until
 * a barrier or an eviction.
 *
 * What is not cached is looked for in the tree's memory and on local disk at once; what has to be fetched is noted (`Loads`) and arrives
 * with the backend's next load.
 *
 * Invariants
 *  O1  A cell that is complete says what its key holds. One that is not says what was folded since, and the tree holds what is under it.
 *  O2  A cell that is not complete is dirty; once it is written it is no longer cached.
 *  O3  A cell without a value (`present` false) is kept as knowledge that there is none.
 */
import { copyOf } from '../../base/bytes.ts';
import type { Lookup } from '../../lsm/lookup.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { ENTRY } from '../../lsm/table-meta.ts';
import { type CellContext, inNamespace } from '../cells/cell-context.ts';
import type { CellTable, StoredCell } from '../cells/cell-table.ts';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import type { Address, Loads, LoadTarget } from './loads.ts';
import { notResident } from './not-resident.ts';
import type { StateKeyWriter } from './state-key.ts';
import type { StateValues } from './state-values.ts';
import type { WriteBack } from './write-back.ts';

/** Of a cell and the Map entry that leads to it. */
const CELL_BYTES = 200;
/** Live objects take a few times their encoded size. */
const LIVE_FACTOR = 3;
/** Until something has been encoded. */
const VALUE_BYTES_GUESS = 64;
const NO_VALUE = new Uint8Array(0);

export interface CellCacheParams {
  readonly name: string;
  readonly context: CellContext<ForstCell>;
  readonly tree: LsmTree;
  readonly writeBack: WriteBack;
  readonly loads: Loads;
  readonly keys: StateKeyWriter;
  readonly values: StateValues;
  /** Folds what came later onto what was there; undefined: adding has to read. */
  readonly fold: ((older: unknown, newer: unknown) => unknown) | undefined;
  /** When an entry with that value expires, epoch milliseconds. Default never. */
  readonly expiryOf?: (value: unknown) => number;
}

export class CellCache implements CellTable, CellOwner, LoadTarget {
  readonly name: string;
  readonly context: CellContext<ForstCell>;
  readonly #params: CellCacheParams;
  readonly #tree: LsmTree;
  readonly #writeBack: WriteBack;
  #valueBytes = VALUE_BYTES_GUESS;
  #cell: ForstCell | undefined;
  #version = -1;
  #namespaceId: unknown = undefined;

  constructor(params: CellCacheParams) {
    this.name = params.name;
    this.context = params.context;
    this.#params = params;
    this.#tree = params.tree;
    this.#writeBack = params.writeBack;
  }

  /** @hot */
  findOnly(): StoredCell | undefined {
    return this.find(undefined, undefined);
  }

  /** @hot */
  find(namespaceId: unknown, namespace: unknown): StoredCell | undefined {
    let cell = this.#cached(namespaceId);
    if (cell === undefined || !cell.complete) {
      if (this.#writeBack.holdsAll) return undefined;
      cell = this.#resolve(namespace, namespaceId, cell);
    }
    return cell.present ? cell : undefined;
  }

  /** @hot */
  findForAdd(namespaceId: unknown, namespace: unknown): StoredCell | undefined {
    const cell = this.#cached(namespaceId);
    if (this.#params.fold === undefined) return this.find(namespaceId, namespace);
    if (cell === undefined || !cell.present) return undefined;
    // What was folded in the closed epoch belongs to it: a new fold begins (O2).
    if (!cell.complete && cell.dirtyEpoch !== this.#writeBack.epoch) {
      this.#writeBack.writeEarly(cell);
      return undefined;
    }
    return cell;
  }

  /** @hot */
  startFold(namespace: unknown, namespaceId: unknown, value: unknown): void {
    const cell = this.#cached(namespaceId);
    if (cell !== undefined || this.#params.fold === undefined || this.#writeBack.holdsAll) {
      // Known to be empty: what is added is all there is.
      this.put(namespace, namespaceId, value);
      return;
    }
    const started = this.#add(namespace, namespaceId, value);
    started.complete = false;
    this.#writeBack.touch(started);
  }

  /** @hot */
  touch(cell: StoredCell): void {
    this.#writeBack.touch(cell as ForstCell); // cells of this table
  }

  /** @hot */
  put(namespace: unknown, namespaceId: unknown, value: unknown): void {
    const cell = this.#replaceable(namespace, namespaceId, value);
    this.#writeBack.touch(cell);
    cell.value = value;
    cell.present = true;
    cell.complete = true;
  }

  remove(namespace: unknown, namespaceId: unknown): void {
    const cell = this.#replaceable(namespace, namespaceId, undefined);
    if (!cell.inTree && (cell.dirtyEpoch === 0 || cell.dirtyEpoch === this.#writeBack.epoch)) {
      // Nothing has seen it, and nothing will.
      this.forgetCell(cell);
      return;
    }
    this.#writeBack.touch(cell);
    cell.value = undefined;
    cell.present = false;
    cell.complete = true;
  }

  prepare(namespace: unknown, namespaceId: unknown): boolean {
    const cell = this.#cached(namespaceId);
    if (cell !== undefined && cell.complete) return true;
    if (this.#writeBack.holdsAll) {
      // Kept in mind for a function that is suspended before it reads: the tree may have something of others by then.
      this.#add(namespace, namespaceId, undefined).present = false;
      return true;
    }
    const { context } = this;
    const key = this.#params.keys.write(context.keyGroup, namespace, context.key);
    const lookup = this.#tree.lookupResident(key);
    if (lookup !== undefined) {
      this.#complete(cell ?? this.#add(namespace, namespaceId, undefined), lookup);
      return true;
    }
    this.#params.loads.note(this, {
      key: context.key,
      keyId: context.keyId,
      keyGroup: context.keyGroup,
      namespace,
      namespaceId,
      bytes: copyOf(key),
    });
    return false;
  }

  prepareAdd(namespace: unknown, namespaceId: unknown): boolean {
    return this.#params.fold !== undefined || this.prepare(namespace, namespaceId);
  }

  /** A noted entry has arrived. */
  arrive(address: Address, lookup: Lookup): void {
    let cell = inNamespace(this.context.headOf(this, address.keyId), address.namespaceId);
    if (cell?.complete === true) return;
    if (cell === undefined) cell = this.#join(new ForstCell(this, address, undefined));
    this.#complete(cell, lookup);
  }

  /** O2; a deletion leaves the tree without anything for the key. */
  writeCell(cell: ForstCell, closing: boolean): void {
    const { keys, values, expiryOf } = this.#params;
    if (!cell.present) {
      if (cell.inTree) this.#write(ENTRY.delete, this.#keyOf(cell), NO_VALUE, Infinity, closing);
      cell.inTree = false;
      return;
    }
    const key = keys.write(cell.keyGroup, cell.namespace, cell.key);
    const value = values.encode(cell.value);
    const expiryMs = expiryOf === undefined ? Number.POSITIVE_INFINITY : expiryOf(cell.value);
    this.#write(cell.complete ? ENTRY.put : ENTRY.merge, key, value, expiryMs, closing);
    cell.inTree = true;
    this.#valueBytes += (value.length - this.#valueBytes) / 16;
    if (!cell.complete) this.forgetCell(cell);
  }

  forgetCell(cell: ForstCell): void {
    this.#writeBack.release(cell);
    this.context.unlink(cell.keyId, cell);
    this.#version = -1;
  }

  /** Cached cells that hold something, at the time of the call. */
  cells(): readonly ForstCell[] {
    const cells: ForstCell[] = [];
    for (const cell of this.context.cellsOf(this)) if (cell.present) cells.push(cell);
    return cells;
  }

  /** @hot */
  #cached(namespaceId: unknown): ForstCell | undefined {
    const { context } = this;
    if (this.#version === context.version && this.#namespaceId === namespaceId) return this.#cell;
    const cell = inNamespace(context.head(this), namespaceId);
    if (cell !== undefined) cell.referenced = true;
    this.#cell = cell;
    this.#version = context.version;
    this.#namespaceId = namespaceId;
    return cell;
  }

  /** Looks into the tree now. @throws `internal` STATE_NOT_RESIDENT */
  #resolve(namespace: unknown, namespaceId: unknown, known: ForstCell | undefined): ForstCell {
    const { context } = this;
    const key = this.#params.keys.write(context.keyGroup, namespace, context.key);
    const lookup = this.#tree.lookupResident(key);
    if (lookup === undefined) throw notResident(this.name);
    const cell = known ?? this.#add(namespace, namespaceId, undefined);
    this.#complete(cell, lookup);
    return cell;
  }

  /** O1: puts what the tree holds under what the cell holds. */
  #complete(cell: ForstCell, lookup: Lookup): void {
    const stored = this.#valueOf(lookup);
    cell.inTree = lookup.exists;
    if (cell.complete && cell.dirtyEpoch === 0) {
      cell.value = stored;
      cell.present = stored !== undefined;
    } else if (stored !== undefined) {
      cell.value = this.#params.fold!(stored, cell.value);
    }
    cell.complete = true;
  }

  #valueOf(lookup: Lookup): unknown {
    const { values, fold } = this.#params;
    if (!lookup.exists) return undefined;
    let value: unknown = lookup.base === undefined ? undefined : values.decode(lookup.base);
    for (const operand of lookup.operands()) {
      const decoded = values.decode(operand);
      value = value === undefined ? decoded : fold!(value, decoded);
    }
    return value;
  }

  /** The cell whose value is about to be replaced; one with a fold of the closed epoch leaves first (O2). */
  #replaceable(namespace: unknown, namespaceId: unknown, value: unknown): ForstCell {
    const cell = this.#cached(namespaceId);
    if (cell === undefined) return this.#add(namespace, namespaceId, value);
    if (cell.complete) return cell;
    this.#writeBack.writeEarly(cell);
    return cell.gone ? this.#add(namespace, namespaceId, value) : cell;
  }

  #add(namespace: unknown, namespaceId: unknown, value: unknown): ForstCell {
    const { context } = this;
    const address = {
      key: context.key,
      keyId: context.keyId,
      keyGroup: context.keyGroup,
      namespace,
      namespaceId,
    };
    const cell = this.#join(new ForstCell(this, address, value));
    cell.inTree = !this.#writeBack.holdsAll;
    this.#cell = cell;
    this.#version = context.version;
    this.#namespaceId = namespaceId;
    return cell;
  }

  #join(cell: ForstCell): ForstCell {
    this.context.link(cell.keyId, cell);
    this.#writeBack.admit(cell, CELL_BYTES + LIVE_FACTOR * this.#valueBytes);
    this.#version = -1;
    return cell;
  }

  #keyOf(cell: ForstCell): Uint8Array {
    return this.#params.keys.write(cell.keyGroup, cell.namespace, cell.key);
  }

  #write(
    kind: number,
    key: Uint8Array,
    value: Uint8Array,
    expiryMs: number,
    closing: boolean,
  ): void {
    if (closing) this.#tree.writeClosing(kind, key, value, expiryMs);
    else if (kind === ENTRY.put) this.#tree.put(key, value, expiryMs);
    else if (kind === ENTRY.merge) this.#tree.merge(key, value, expiryMs);
    else this.#tree.delete(key);
  }
}
