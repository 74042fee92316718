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
import { ByteReader, ByteWriter, copyOf } from '../../base/bytes.ts';
import type { Codec } from '../../types/codec.ts';
import { notResident } from './not-resident.ts';
import type { OrderedEntry, UserKeyOrder } from '../cells/user-key-order.ts';
import { MapEntries, MARK } from './map-entries.ts';
import { ForstMapRange, type KnownEntries } from './map-range.ts';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import type { Address, Loads, LoadTarget } from './loads.ts';
import { parseStateKey, type StateKeyWriter } from './state-key.ts';
import type { StateValues } from './state-values.ts';
import type { WriteBack } from './write-back.ts';

/** Of a cell, the Map entry that leads to it, and its columns while they hold a few entries. */
const CELL_BYTES = 800;
/** Live objects take a few times their encoded size. */
const LIVE_FACTOR = 3;
/** Until a value has been encoded. */
const VALUE_BYTES_GUESS = 32;
const NO_VALUE = new Uint8Array(0);
/** Of a map that nobody has put anything into. */
const NO_ENTRIES = new MapEntries(true);

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
  /** User keys are integers. */
  readonly integerKeys: boolean;
  /** Values are numbers or booleans: they take no memory beside that of their entry. */
  readonly plainValues: boolean;
  readonly identifyNamespace: (namespace: unknown) => unknown;
  readonly expiryOf?: (value: unknown) => number;
}

export class MapCache
  implements MapState<unknown, unknown>, Namespaced<unknown>, CellOwner, LoadTarget
{
  readonly #params: MapCacheParams;
  #valueBytes = VALUE_BYTES_GUESS;
  /** Where the entry is that was looked for last. */
  #found = NO_ENTRIES;
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
    const known = this.#cached();
    if ((known ?? this.#add()).complete) return true;
    const prefix = this.#prefix();
    // Of a new one this has been asked.
    if (known !== undefined && this.#params.tree.prefixIsAbsent(prefix)) {
      known.complete = true;
      return true;
    }
    this.#params.loads.noteAll(this, this.#address(copyOf(prefix)));
    return false;
  }

  prepareEntry(userKey: unknown): boolean {
    const cell = this.#cached() ?? this.#add();
    if (cell.complete) return true;
    if (entriesOf(cell).find(this.#params.identifyUserKey(userKey)) !== -1) return true;
    const key = this.#entryKey(userKey);
    const lookup = this.#params.tree.lookupResident(key);
    if (lookup !== undefined) {
      this.#know(cell, userKey, lookup);
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

  /** @hot */
  get(userKey: unknown): unknown {
    const at = this.#find(userKey);
    return at === -1 ? undefined : this.#found.valueAt(at);
  }

  contains(userKey: unknown): boolean {
    const at = this.#find(userKey);
    return at !== -1 && this.#found.is(at, MARK.present);
  }

  put(userKey: unknown, value: unknown): void {
    this.#change(userKey, value, true);
  }

  remove(userKey: unknown): void {
    this.#change(userKey, undefined, false);
  }

  isEmpty(): boolean {
    return this.#all().isEmpty;
  }

  *keys(): Iterable<unknown> {
    for (const [key] of this.#snapshot()) yield key;
  }

  *values(): Iterable<unknown> {
    for (const [, value] of this.#snapshot()) yield value;
  }

  *entries(): Iterable<readonly [unknown, unknown]> {
    yield* this.#snapshot();
  }

  /** P3 */
  clear(): void {
    const { tree, writeBack } = this.#params;
    const cell = this.#cached() ?? this.#add();
    // What the closed epoch knew of it goes there first.
    writeBack.writeEarly(cell);
    const prefix = this.#prefix();
    if (!tree.prefixIsAbsent(prefix)) tree.deletePrefix(prefix);
    writeBack.grow(cell, CELL_BYTES - cell.bytes);
    entriesOf(cell).clear();
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
    const entries = entriesOf(cell);
    const prefixLength = keys.write(cell.keyGroup, cell.namespace, cell.key).length;
    for (const at of entries.takeDirty()) {
      const key = keys.withUserKey(prefixLength, entries.keyAt(at));
      if (entries.is(at, MARK.present)) {
        const live = entries.valueAt(at);
        const value = values.encode(live);
        this.#valueBytes += (value.length - this.#valueBytes) / 16;
        const expiryMs = expiryOf === undefined ? Number.POSITIVE_INFINITY : expiryOf(live);
        if (closing) tree.writeClosing(ENTRY.put, key, value, expiryMs);
        else tree.put(key, value, expiryMs);
        entries.mark(at, MARK.inTree);
      } else if (entries.is(at, MARK.inTree)) {
        if (closing) tree.writeClosing(ENTRY.delete, key, NO_VALUE);
        else tree.delete(key);
        entries.unmark(at, MARK.inTree);
      }
    }
  }

  forgetCell(cell: ForstCell): void {
    this.#params.writeBack.release(cell);
    this.#params.context.unlink(cell.keyId, cell);
  }

  #known(address: Address): KnownEntries {
    const cell = this.#cellOf(address);
    if (cell === undefined) return { complete: false, entries: [] };
    return { complete: cell.complete, entries: knownIn(entriesOf(cell)) };
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

  /** @hot The place of an entry in `#found`; -1: the map has no such entry. @throws `internal` STATE_NOT_RESIDENT */
  #find(userKey: unknown): number {
    const { identifyUserKey, tree, name, writeBack } = this.#params;
    const known = this.#cached();
    if (known === undefined && writeBack.holdsAll) return -1;
    const cell = known ?? this.#add();
    this.#found = entriesOf(cell);
    const at = this.#found.find(identifyUserKey(userKey));
    if (at !== -1 || cell.complete) return at;
    const lookup = tree.lookupResident(this.#entryKey(userKey));
    if (lookup === undefined) throw notResident(name);
    return this.#know(cell, userKey, lookup);
  }

  #all(): MapEntries {
    const known = this.#cached();
    if (known === undefined && this.#params.writeBack.holdsAll) return NO_ENTRIES;
    const cell = known ?? this.#add();
    if (cell.complete) return entriesOf(cell);
    if (known === undefined || !this.#params.tree.prefixIsAbsent(this.#prefix()))
      throw notResident(this.#params.name);
    cell.complete = true;
    return entriesOf(cell);
  }

  /** User code may put and remove, or move to another key, while it iterates. */
  #snapshot(): readonly (readonly [unknown, unknown])[] {
    const entries = this.#all();
    return entries.presentPlaces().map((at) => [entries.keyAt(at), entries.valueAt(at)]);
  }

  /** @hot */
  #change(userKey: unknown, value: unknown, present: boolean): void {
    const { writeBack, identifyUserKey } = this.#params;
    const cell = this.#cached() ?? this.#add();
    writeBack.touch(cell);
    const entries = entriesOf(cell);
    const id = identifyUserKey(userKey);
    let at = entries.find(id);
    if (at === -1) {
      at = this.#addEntry(cell, id, userKey);
      if (!cell.complete) entries.mark(at, MARK.inTree);
    }
    entries.setValue(at, value, present);
    entries.touch(at);
  }

  /** What the tree says of an entry, unless something newer is known. @returns its place */
  #know(cell: ForstCell, userKey: unknown, lookup: Lookup): number {
    const entries = entriesOf(cell);
    const id = this.#params.identifyUserKey(userKey);
    const known = entries.find(id);
    if (known !== -1) return known;
    const at = this.#addEntry(cell, id, userKey);
    const { base } = lookup;
    if (base === undefined) return at;
    entries.setValue(at, this.#params.values.decode(base), true);
    entries.mark(at, MARK.inTree);
    return at;
  }

  #addEntry(cell: ForstCell, id: unknown, userKey: unknown): number {
    const { integerKeys, plainValues, userKeyCodec, writeBack } = this.#params;
    // Throws what the codec has to say of it.
    if (integerKeys && typeof userKey !== 'number') userKeyCodec.encode(userKey, new ByteWriter(8));
    const entries = entriesOf(cell);
    const valueBytes = plainValues ? 0 : LIVE_FACTOR * this.#valueBytes;
    writeBack.grow(cell, entries.bytesPerEntry + valueBytes);
    return entries.add(id, userKey);
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

  /** P1: of a map that is new, everything is known, and nothing need be looked for. */
  #add(): ForstCell {
    const { context, tree, writeBack } = this.#params;
    const cell = this.#join({
      key: context.key,
      keyId: context.keyId,
      keyGroup: context.keyGroup,
      namespace: this.#namespace,
      namespaceId: this.#namespaceId,
    });
    cell.complete = writeBack.holdsAll || tree.prefixIsAbsent(this.#prefix());
    return cell;
  }

  #join(address: Omit<Address, 'bytes'>): ForstCell {
    const cell = new ForstCell(this, address, new MapEntries(this.#params.integerKeys));
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

const entriesOf = (cell: ForstCell): MapEntries => cell.value as MapEntries; // cells of map state hold nothing else

function* knownIn(entries: MapEntries): KnownEntries['entries'] {
  for (let at = 0; at < entries.size; at++) {
    const present = entries.is(at, MARK.present);
    yield { key: entries.keyAt(at), value: entries.valueAt(at), present };
  }
}
