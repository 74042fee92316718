/**
 * What has been found missing and is to be fetched: `prepare` notes it, one `load` fetches all that is noted by then.
 *
 * Invariant: what arrives is no older than the tree. If a cell was written back while a load was under way, what the load brought may be
 * older; it is looked up again, now in memory, or left to the next `prepare`.
 */
import type { Lookup } from '../../lsm/lookup.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import type { ScannedEntry } from '../../lsm/merged-scan.ts';
import type { WriteBack } from './write-back.ts';

export interface Address {
  readonly key: unknown;
  readonly keyId: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  readonly namespaceId: unknown;
  /** Its key in the tree. */
  readonly bytes: Uint8Array;
}

/** Who noted it. */
export interface LoadTarget {
  arrive(address: Address, lookup: Lookup): void;
  /** All entries of a prefix. */
  arriveAll?(address: Address, entries: readonly ScannedEntry[]): void;
}

interface Note {
  readonly target: LoadTarget;
  readonly address: Address;
}

/** Entries of one map read at once. */
const SCAN_BATCH = 1024;

export class Loads {
  readonly #tree: LsmTree;
  readonly #writeBack: WriteBack;
  #keys = new Map<string, Note>();
  #prefixes = new Map<string, Note>();

  constructor(tree: LsmTree, writeBack: WriteBack) {
    this.#tree = tree;
    this.#writeBack = writeBack;
  }

  get missing(): number {
    return this.#keys.size + this.#prefixes.size;
  }

  note(target: LoadTarget, address: Address): void {
    this.#keys.set(nameOf(address), { target, address });
  }

  /** All that begins with the address's bytes. */
  noteAll(target: LoadTarget, address: Address): void {
    this.#prefixes.set(nameOf(address), { target, address });
  }

  async load(signal: AbortSignal): Promise<void> {
    const keys = [...this.#keys.values()];
    const prefixes = [...this.#prefixes.values()];
    this.#keys = new Map();
    this.#prefixes = new Map();
    await Promise.all([
      keys.length === 0 ? undefined : this.#loadKeys(keys, signal),
      ...prefixes.map((note) => this.#loadPrefix(note, signal)),
    ]);
  }

  async #loadKeys(notes: readonly Note[], signal: AbortSignal): Promise<void> {
    const before = this.#left;
    const bytes = notes.map(({ address }) => address.bytes);
    const lookups = await this.#tree.lookupAll(bytes, signal);
    const stale = this.#left !== before;
    for (const [i, { target, address }] of notes.entries()) {
      const lookup = stale ? this.#tree.lookupResident(address.bytes) : lookups[i]!;
      if (lookup !== undefined) target.arrive(address, lookup);
    }
  }

  /** Cells that have left for the tree. */
  get #left(): number {
    return this.#writeBack.evictions + this.#writeBack.folds;
  }

  async #loadPrefix({ target, address }: Note, signal: AbortSignal): Promise<void> {
    let entries: readonly ScannedEntry[] | undefined;
    while (entries === undefined) {
      const before = this.#writeBack.watch();
      try {
        const scanned = await this.#scanAll(address.bytes, signal);
        if (!this.#writeBack.evictedSince(address.keyId, before)) entries = scanned;
      } finally {
        this.#writeBack.unwatch();
      }
    }
    target.arriveAll!(address, entries);
  }

  async #scanAll(prefix: Uint8Array, signal: AbortSignal): Promise<readonly ScannedEntry[]> {
    const scan = await this.#tree.scanPrefix(prefix, signal);
    const entries: ScannedEntry[] = [];
    for (;;) {
      const batch = await scan.next(SCAN_BATCH);
      if (batch.length === 0) return entries;
      for (const entry of batch) entries.push(entry);
    }
  }
}

const nameOf = ({ bytes }: Address): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
