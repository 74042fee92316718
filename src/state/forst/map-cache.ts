/**
 * Map state over the tree: each entry has a key of its own there, and in the object cache a map's known entries are one cell.
 *
 * Puts and removals never read. Reading an entry needs that entry; iterating, and asking whether the map is empty, needs all of them.
 *
 * Invariants
 *  P1  A cell that is complete knows every entry; in others, what is not in `entries` is unknown.
 *  P2  An entry without a value is known to be absent.
 *  P3  `clear` deletes the prefix in the tree at once, in the epoch in which it happens; entries put later are newer than that.
 */
import type { Lookup } from '../../lsm/lookup.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import type { ScannedEntry } from '../../lsm/merged-scan.ts';
import { ENTRY } from '../../lsm/table-meta.ts';
import type { MapState } from '../descriptor.ts';
import type { MapRange, Namespaced, UserKeyRange } from '../keyed-state-backend.ts';
import { type CellContext, inNamespace } from '../cells/cell-context.ts';
import { MillraceError } from '../../base/errors.ts';
import { ByteReader, copyOf } from '../../base/bytes.ts';
import type { Codec } from '../../types/codec.ts';
import { notResident } from './not-resident.ts';
import type { OrderedEntry, UserKeyOrder } from '../cells/user-key-order.ts';
import { ForstMapRange, type KnownEntries } from './map-range.ts';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import type { Address, Loads, LoadTarget } from './loads.ts';
import { parseStateKey, type StateKeyWriter } from './state-key.ts';
import type { StateValues } from './state-values.ts';
import type { WriteBack } from './write-back.ts';

const CELL_BYTES = 300;
const ENTRY_BYTES = 200;
const NO_VALUE = new Uint8Array(0);

interface Entry {
  readonly key: unknown;
  value: unknown;
  present: boolean;
  dirty: boolean;
  /** False: the tree certainly has nothing for it. */
  inTree: boolean;
}

/** What a cell of map state holds. */
interface Contents {
  readonly entries: Map<unknown, Entry>;
  dirty: Entry[];
}

export interface MapCacheParams {
  readonly name: string;
  readonly context: CellContext<ForstCell>;
  readonly tree: LsmTree;
  readonly writeBack: WriteBack;
  readonly loads: Loads;
  readonly keys: StateKeyWriter;
  readonly values: StateValues;
  readonly userKeyCodec: Codec<unknown>;
  readonly userKeyOrder: UserKeyOrder;
  readonly identifyUserKey: (key: unknown) => unknown;
  readonly identifyNamespace: (namespace: unknown) => unknown;
  readonly expiryOf?: (value: unknown) => number;
}

export class MapCache
  implements MapState<unknown, unknown>, Namespaced<unknown>, CellOwner, LoadTarget
{
  readonly #params: MapCacheParams;
  #namespace: unknown = undefined;
  #namespaceId: unknown = undefined;

  constructor(params: MapCacheParams) {
    this.#params = params;
  }

  get exists(): boolean {
    return !this.isEmpty();
  }

  setNamespace(namespace: unknown): void {
    this.#namespace = namespace;
    this.#namespaceId = this.#params.identifyNamespace(namespace);
  }

  prepareAdd(): boolean {
    return true;
  }

  prepare(): boolean {
    const cell = this.#cached();
    if (cell?.complete === true) return true;
    const prefix = this.#prefix();
    if (this.#params.tree.prefixIsAbsent(prefix)) {
      (cell ?? this.#add()).complete = true;
      return true;
    }
    this.#params.loads.noteAll(this, this.#address(copyOf(prefix)));
    return false;
  }

  prepareEntry(userKey: unknown): boolean {
    const cell = this.#cached();
    if (cell?.complete === true) return true;
    if (cell !== undefined && contentsOf(cell).entries.has(this.#params.identifyUserKey(userKey)))
      return true;
    const key = this.#entryKey(userKey);
    const lookup = this.#params.tree.lookupResident(key);
    if (lookup !== undefined) {
      this.#know(cell ?? this.#add(), userKey, lookup);
      return true;
    }
    this.#params.loads.note(this, this.#address(copyOf(key)));
    return false;
  }

  openRange(range: UserKeyRange, signal: AbortSignal): MapRange {
    const { tree, userKeyOrder } = this.#params;
    const address = this.#address(copyOf(this.#prefix()));
    return new ForstMapRange({
      tree,
      prefix: address.bytes,
      range: userKeyOrder.boundsOf(range),
      order: userKeyOrder,
      known: () => this.#known(address),
      decode: (scanned) => this.#decode(scanned),
      signal,
    });
  }

  get(userKey: unknown): unknown {
    const entry = this.#find(userKey);
    return entry?.present === true ? entry.value : undefined;
  }

  contains(userKey: unknown): boolean {
    return this.#find(userKey)?.present === true;
  }

  put(userKey: unknown, value: unknown): void {
    this.#change(userKey, value, true);
  }

  remove(userKey: unknown): void {
    this.#change(userKey, undefined, false);
  }

  isEmpty(): boolean {
    for (const entry of this.#all().values()) if (entry.present) return false;
    return true;
  }

  *keys(): Iterable<unknown> {
    for (const { key } of this.#snapshot()) yield key;
  }

  *values(): Iterable<unknown> {
    for (const { value } of this.#snapshot()) yield value;
  }

  *entries(): Iterable<readonly [unknown, unknown]> {
    for (const { key, value } of this.#snapshot()) yield [key, value];
  }

  /** P3 */
  clear(): void {
    const { tree, writeBack } = this.#params;
    const cell = this.#cached() ?? this.#add();
    // What the closed epoch knew of it goes there first.
    writeBack.writeEarly(cell);
    const prefix = this.#prefix();
    if (!tree.prefixIsAbsent(prefix)) tree.deletePrefix(prefix);
    const contents = contentsOf(cell);
    writeBack.grow(cell, -ENTRY_BYTES * contents.entries.size);
    contents.entries.clear();
    contents.dirty = [];
    cell.complete = true;
  }

  mergeNamespaces(): void {
    throw new MillraceError(
      'internal',
      'STATE_NOT_MERGEABLE',
      `state ${this.#params.name} cannot merge namespaces; use list, reducing or aggregating state (with merge)`,
    );
  }

  /** A noted entry has arrived. */
  arrive(address: Address, lookup: Lookup): void {
    const cell = this.#cellAt(address);
    if (cell.complete) return;
    const { userKeyCodec } = this.#params;
    const userKey = userKeyCodec.decode(new ByteReader(parseStateKey(address.bytes).userKey));
    this.#know(cell, userKey, lookup);
  }

  /** All entries have arrived: what is known already is newer. */
  arriveAll(address: Address, found: readonly ScannedEntry[]): void {
    const cell = this.#cellAt(address);
    if (cell.complete) return;
    const { userKeyCodec } = this.#params;
    for (const { key, lookup } of found) {
      const userKey = userKeyCodec.decode(new ByteReader(parseStateKey(key).userKey));
      this.#know(cell, userKey, lookup);
    }
    cell.complete = true;
  }

  writeCell(cell: ForstCell, closing: boolean): void {
    const { keys, values, tree, expiryOf } = this.#params;
    const contents = contentsOf(cell);
    const prefixLength = keys.write(cell.keyGroup, cell.namespace, cell.key).length;
    for (const entry of contents.dirty) {
      // An entry may be listed twice.
      if (!entry.dirty) continue;
      entry.dirty = false;
      const key = keys.withUserKey(prefixLength, entry.key);
      if (entry.present) {
        const value = values.encode(entry.value);
        const expiryMs = expiryOf === undefined ? Number.POSITIVE_INFINITY : expiryOf(entry.value);
        if (closing) tree.writeClosing(ENTRY.put, key, value, expiryMs);
        else tree.put(key, value, expiryMs);
        entry.inTree = true;
      } else if (entry.inTree) {
        if (closing) tree.writeClosing(ENTRY.delete, key, NO_VALUE);
        else tree.delete(key);
        entry.inTree = false;
      }
    }
    contents.dirty = [];
  }

  forgetCell(cell: ForstCell): void {
    this.#params.writeBack.release(cell);
    this.#params.context.unlink(cell.keyId, cell);
  }

  #known(address: Address): KnownEntries {
    const cell = this.#cellOf(address);
    if (cell === undefined) return { complete: false, entries: [] };
    return { complete: cell.complete, entries: contentsOf(cell).entries.values() };
  }

  #decode({ key, lookup }: ScannedEntry): OrderedEntry | undefined {
    if (lookup.base === undefined) return undefined;
    const bytes = parseStateKey(key).userKey;
    const { userKeyCodec, values } = this.#params;
    return {
      bytes,
      key: userKeyCodec.decode(new ByteReader(bytes)),
      value: values.decode(lookup.base),
    };
  }

  #find(userKey: unknown): Entry | undefined {
    const id = this.#params.identifyUserKey(userKey);
    const cell = this.#cached();
    if (cell !== undefined) {
      const entry = contentsOf(cell).entries.get(id);
      if (entry !== undefined || cell.complete) return entry;
    }
    const lookup = this.#params.tree.lookupResident(this.#entryKey(userKey));
    if (lookup === undefined) throw notResident(this.#params.name);
    return this.#know(cell ?? this.#add(), userKey, lookup);
  }

  #all(): ReadonlyMap<unknown, Entry> {
    const cell = this.#cached();
    if (cell?.complete === true) return contentsOf(cell).entries;
    if (!this.#params.tree.prefixIsAbsent(this.#prefix())) throw notResident(this.#params.name);
    const known = cell ?? this.#add();
    known.complete = true;
    return contentsOf(known).entries;
  }

  #snapshot(): readonly Entry[] {
    return [...this.#all().values()].filter(({ present }) => present);
  }

  #change(userKey: unknown, value: unknown, present: boolean): void {
    const { writeBack, identifyUserKey } = this.#params;
    const cell = this.#cached() ?? this.#add();
    writeBack.touch(cell);
    const contents = contentsOf(cell);
    const id = identifyUserKey(userKey);
    let entry = contents.entries.get(id);
    if (entry === undefined) {
      entry = { key: userKey, value, present, dirty: false, inTree: !cell.complete };
      contents.entries.set(id, entry);
      writeBack.grow(cell, ENTRY_BYTES);
    }
    entry.value = value;
    entry.present = present;
    if (entry.dirty) return;
    entry.dirty = true;
    contents.dirty.push(entry);
  }

  /** What the tree says of an entry, unless something newer is known. */
  #know(cell: ForstCell, userKey: unknown, lookup: Lookup): Entry {
    const { entries } = contentsOf(cell);
    const id = this.#params.identifyUserKey(userKey);
    const known = entries.get(id);
    if (known !== undefined) return known;
    const { base } = lookup;
    const value = base === undefined ? undefined : this.#params.values.decode(base);
    const present = base !== undefined;
    const entry = { key: userKey, value, present, dirty: false, inTree: present };
    entries.set(id, entry);
    this.#params.writeBack.grow(cell, ENTRY_BYTES);
    return entry;
  }

  #cached(): ForstCell | undefined {
    const cell = inNamespace(this.#params.context.head(this), this.#namespaceId);
    if (cell !== undefined) cell.referenced = true;
    return cell;
  }

  #cellOf({ keyId, namespaceId }: Address): ForstCell | undefined {
    return inNamespace(this.#params.context.headOf(this, keyId), namespaceId);
  }

  #cellAt(address: Address): ForstCell {
    return this.#cellOf(address) ?? this.#join(address);
  }

  #add(): ForstCell {
    const { context } = this.#params;
    return this.#join({
      key: context.key,
      keyId: context.keyId,
      keyGroup: context.keyGroup,
      namespace: this.#namespace,
      namespaceId: this.#namespaceId,
    });
  }

  #join(address: Omit<Address, 'bytes'>): ForstCell {
    const contents: Contents = { entries: new Map(), dirty: [] };
    const cell = new ForstCell(this, address, contents);
    cell.complete = false;
    this.#params.context.link(cell.keyId, cell);
    this.#params.writeBack.admit(cell, CELL_BYTES);
    return cell;
  }

  #address(bytes: Uint8Array): Address {
    const { context } = this.#params;
    return {
      key: context.key,
      keyId: context.keyId,
      keyGroup: context.keyGroup,
      namespace: this.#namespace,
      namespaceId: this.#namespaceId,
      bytes,
    };
  }

  #prefix(): Uint8Array {
    const { context, keys } = this.#params;
    return keys.write(context.keyGroup, this.#namespace, context.key);
  }

  #entryKey(userKey: unknown): Uint8Array {
    return this.#params.keys.withUserKey(this.#prefix().length, userKey);
  }
}

const contentsOf = (cell: ForstCell): Contents => cell.value as Contents; // cells of map state hold nothing else
