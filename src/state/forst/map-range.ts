/**
 * Reads a map of any size in order of its user keys, a part at a time: what the tree holds, under what the object cache knows better.
 * What is read is not cached.
 *
 * Invariant: every change since the scan began is in the cell, which is not evicted meanwhile (`Residency.trim`), so that looking there
 * when a part has come makes the part current.
 */
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { compareKeys } from '../../lsm/key-order.ts';
import type { MergedScan, ScannedEntry } from '../../lsm/merged-scan.ts';
import type { ByteRange, OrderedEntry, UserKeyOrder } from '../cells/user-key-order.ts';
import type { MapRange, UserEntry } from '../keyed-state-backend.ts';

/** Entries of a part. */
const PART_ENTRIES = 256;

/** What the cache knows of a map. */
export interface KnownEntries {
  /** There are no others. */
  readonly complete: boolean;
  readonly entries: Iterable<{
    readonly key: unknown;
    readonly value: unknown;
    readonly present: boolean;
  }>;
}

export interface MapRangeParams {
  readonly tree: LsmTree;
  /** Of the map; all its keys begin with it. */
  readonly prefix: Uint8Array;
  readonly range: ByteRange;
  readonly order: UserKeyOrder;
  readonly known: () => KnownEntries;
  readonly decode: (scanned: ScannedEntry) => OrderedEntry | undefined;
  readonly signal: AbortSignal;
}

const ONE_MORE = Uint8Array.of(0);

export class ForstMapRange implements MapRange {
  readonly #params: MapRangeParams;
  /** What is left. */
  #range: ByteRange;
  #scan: MergedScan | undefined;
  #scanned: readonly ScannedEntry[] = [];
  /** The scan has come to its end. */
  #scannedAll = false;
  #ended = false;

  constructor(params: MapRangeParams) {
    this.#params = params;
    this.#range = params.range;
  }

  load(): Promise<void> | undefined {
    return this.#ended || this.#params.known().complete ? undefined : this.#read();
  }

  take(): readonly UserEntry[] | undefined {
    if (this.#ended) return undefined;
    const scanned = this.#scanned;
    this.#scanned = [];
    const known = this.#params.known();
    // Complete: what was scanned is no news, or was cleared meanwhile.
    if (known.complete || this.#scannedAll) {
      this.#ended = true;
      return this.#merge(known.complete ? [] : scanned, known, this.#range);
    }
    const { from, to } = this.#range;
    const after = join(scanned.at(-1)!.key.subarray(this.#params.prefix.length), ONE_MORE);
    this.#range = { from: after, to };
    return this.#merge(scanned, known, { from, to: after });
  }

  async #read(): Promise<void> {
    const { prefix, tree, signal } = this.#params;
    const { from, to } = this.#range;
    this.#scan ??= await tree.scanPrefix(prefix, signal, {
      from: join(prefix, from),
      ...(to === undefined ? {} : { to: join(prefix, to) }),
    });
    this.#scanned = await this.#scan.next(PART_ENTRIES);
    this.#scannedAll = this.#scanned.length < PART_ENTRIES;
  }

  #merge(
    scanned: readonly ScannedEntry[],
    known: KnownEntries,
    range: ByteRange,
  ): readonly UserEntry[] {
    const { order, decode } = this.#params;
    const better = [...known.entries];
    const knownBytes = new Set(better.map(({ key }) => nameOf(order.bytesOf(key))));
    const merged = order.within(
      better.filter(({ present }) => present),
      range,
    );
    for (const entry of scanned) {
      const decoded = decode(entry);
      if (decoded === undefined || knownBytes.has(nameOf(decoded.bytes))) continue;
      if (compareKeys(decoded.bytes, range.from) < 0) continue;
      if (range.to !== undefined && compareKeys(decoded.bytes, range.to) >= 0) continue;
      merged.push(decoded);
    }
    merged.sort((a, b) => compareKeys(a.bytes, b.bytes));
    return merged.map(({ key, value }): UserEntry => [key, value]);
  }
}

const nameOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
