/**
 * A model of the tree: a sorted map and the obvious semantics. `runTreeModel` plays random operations against both and compares every
 * answer; seeds replay.
 *
 * Keys are `<group u8><name>/<rest>`; their prefix is all up to the slash. Merging appends.
 */
import assert from 'node:assert/strict';
import type { BlockSource } from '../lsm/block-source.ts';
import { LsmTree, type TreeOptions } from '../lsm/lsm-tree.ts';
import type { Lookup } from '../lsm/lookup.ts';
import type { TableFiles } from '../lsm/table-files.ts';
import { ENTRY } from '../lsm/table-meta.ts';
import { TABLE_DEFAULTS } from '../lsm/table-writer.ts';
import {
  clipVersion,
  joinVersions,
  type TreeVersion,
  versionFromJson,
  versionToJson,
} from '../lsm/tree-version.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { SeededRandom } from './seeded-random.ts';

const SLASH = 0x2f;

export const modelPrefixLength = (key: Uint8Array, start: number, end: number): number => {
  for (let i = start + 1; i < end; i++) if (key[i] === SLASH) return i + 1 - start;
  return 0;
};

export interface TreeWorld {
  readonly store: ObjectStore;
  readonly blocks: BlockSource;
  readonly files: TableFiles;
  /** Compacts something, if there is a compaction to test. */
  readonly compact?: (tree: LsmTree) => Promise<void>;
}

export interface TreeModelParams {
  readonly seed: number;
  readonly operations: number;
  readonly keys: number;
  readonly world: TreeWorld;
  /** How often operations come that cost thousands of others: scans, flushes, crashes. Default 1; a tenth suits long runs. */
  readonly rarities?: number;
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytesOf = (name: string): Uint8Array => new Uint8Array(Buffer.from(name, 'latin1'));

export function foldText(lookup: Lookup): string | undefined {
  if (!lookup.exists) return undefined;
  const parts = [...(lookup.base === undefined ? [] : [lookup.base]), ...lookup.operands()];
  return parts.map(text).join('');
}

export async function runTreeModel(params: TreeModelParams): Promise<void> {
  await new TreeModel(params).run();
}

class TreeModel {
  readonly #random: () => number;
  readonly #params: TreeModelParams;
  #tree: LsmTree;
  #model = new Map<string, string>();
  /** What a crash goes back to. */
  #durable: { readonly version: string; readonly model: ReadonlyMap<string, string> };
  #epoch = 1;

  constructor(params: TreeModelParams) {
    this.#params = params;
    const random = new SeededRandom(params.seed);
    this.#random = () => random.next();
    this.#tree = this.#open({ runs: [] });
    this.#durable = { version: '[]', model: new Map() };
  }

  async run(): Promise<void> {
    const { operations } = this.#params;
    for (let i = 0; i < operations; i++) {
      const waiting = this.#step();
      if (waiting !== undefined) await waiting;
    }
    await this.#checkAll();
    this.#tree.close();
  }

  #step(): Promise<void> | undefined {
    const die = this.#random();
    if (die < 0.04) {
      if (this.#random() >= (this.#params.rarities ?? 1)) return undefined;
      return this.#rare(this.#key());
    }
    const key = this.#key();
    if (die < 0.45) this.#put(key);
    else if (die < 0.6) this.#merge(key);
    else if (die < 0.7) this.#delete(key);
    else if (die < 0.71) this.#deletePrefix(key);
    else this.#checkResident(key);
    return undefined;
  }

  async #rare(key: string): Promise<void> {
    const die = this.#random();
    if (die < 0.5) await this.#checkSome();
    else if (die < 0.62) await this.#checkPrefix(key);
    else if (die < 0.8) this.#tree.seal();
    else if (die < 0.9) await this.#checkpoint();
    else if (die < 0.95) await this.#params.world.compact?.(this.#tree);
    else if (die < 0.97) this.#crash();
    else if (die < 0.99) await this.#rescale();
    else await this.#checkAll();
  }

  #put(key: string): void {
    const value = this.#value();
    this.#tree.put(bytesOf(key), bytesOf(value));
    this.#model.set(key, value);
  }

  #merge(key: string): void {
    const value = this.#value();
    this.#tree.merge(bytesOf(key), bytesOf(value));
    this.#model.set(key, (this.#model.get(key) ?? '') + value);
  }

  #delete(key: string): void {
    this.#tree.delete(bytesOf(key));
    this.#model.delete(key);
  }

  #deletePrefix(key: string): void {
    const prefix = key.slice(0, key.indexOf('/', 1) + 1);
    this.#tree.deletePrefix(bytesOf(prefix));
    for (const other of this.#model.keys()) if (other.startsWith(prefix)) this.#model.delete(other);
  }

  #checkResident(key: string): void {
    const lookup = this.#tree.lookupResident(bytesOf(key));
    if (lookup !== undefined) assert.equal(foldText(lookup), this.#model.get(key), key);
  }

  async #checkSome(): Promise<void> {
    const keys = Array.from({ length: 1 + Math.floor(this.#random() * 20) }, () => this.#key());
    const lookups = await this.#tree.lookupAll(keys.map(bytesOf));
    for (const [i, key] of keys.entries())
      assert.equal(foldText(lookups[i]!), this.#model.get(key), key);
  }

  async #checkPrefix(key: string): Promise<void> {
    const prefix = key.slice(0, key.indexOf('/', 1) + 1);
    const scan = await this.#tree.scanPrefix(bytesOf(prefix));
    await this.#compare(scan, (name) => name.startsWith(prefix));
  }

  async #checkAll(): Promise<void> {
    await this.#compare(await this.#tree.scanRange(new Uint8Array(0), undefined), () => true);
  }

  async #compare(
    scan: { next(limit: number): Promise<readonly { key: Uint8Array; lookup: Lookup }[]> },
    wanted: (key: string) => boolean,
  ): Promise<void> {
    const found: [string, string | undefined][] = [];
    for (;;) {
      const batch = await scan.next(7);
      if (batch.length === 0) break;
      for (const { key, lookup } of batch) found.push([text(key), foldText(lookup)]);
    }
    const expected = [...this.#model].filter(([key]) => wanted(key));
    assert.deepEqual(
      found,
      expected.toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  }

  /** Some writes of the closed epoch come late, some of the next one early, as with a cache that writes back. */
  async #checkpoint(): Promise<void> {
    const key = this.#key();
    const value = this.#value();
    this.#tree.beginEpoch();
    const late = this.#random() < 0.5;
    if (late) {
      this.#tree.writeClosing(ENTRY.put, bytesOf(key), bytesOf(value));
      this.#model.set(key, value);
    }
    const model = new Map(this.#model);
    for (let i = Math.floor(this.#random() * 200); i > 0; i--) {
      const other = this.#key();
      if (this.#random() < 0.7) this.#put(other);
      else this.#deletePrefix(other);
    }
    if (this.#random() < 0.3) await this.#checkAll();
    const ended = this.#tree.endEpoch();
    for (let i = 0; i < 20; i++) this.#put(this.#key());
    if (this.#random() < 0.5) this.#tree.seal();
    const version = await ended;
    this.#durable = { version: JSON.stringify(versionToJson(version)), model };
  }

  #crash(): void {
    this.#tree.close();
    this.#model = new Map(this.#durable.model);
    this.#tree = this.#open(versionFromJson(JSON.parse(this.#durable.version)));
  }

  /** Two clips of the durable version, joined again: nothing may be lost or doubled. */
  async #rescale(): Promise<void> {
    await this.#checkpoint();
    this.#crash();
    const version = versionFromJson(JSON.parse(this.#durable.version));
    const cut = 1 + Math.floor(this.#random() * 254);
    const low = clipVersion(
      version,
      bytesOf('\0'),
      bytesOf(`${String.fromCharCode(cut - 1)}\u00ff`),
    );
    const high = clipVersion(version, bytesOf(String.fromCharCode(cut)), bytesOf('\u00ff\u00ff'));
    this.#tree.close();
    this.#tree = this.#open(joinVersions([high, low]));
  }

  #open(version: TreeVersion): LsmTree {
    const { world } = this.#params;
    this.#epoch += 1000;
    const options: Partial<TreeOptions> = {
      // Where flushes are rare, small memtables would pile up.
      memtableBytes: 4096 / (this.#params.rarities ?? 1),
      table: { ...TABLE_DEFAULTS, blockBytes: 512, prefixLength: modelPrefixLength },
    };
    return new LsmTree({
      store: world.store,
      blocks: world.blocks,
      files: world.files,
      yieldToLoop: () => Promise.resolve(),
      options,
      version,
      epoch: this.#epoch,
    });
  }

  #key(): string {
    const n = Math.floor(this.#random() * this.#params.keys);
    const group = String.fromCharCode((n * 7919) % 256);
    // A slash as the first byte would be no prefix.
    return `${group}n${n % 50}/${n}`;
  }

  #value(): string {
    const length = Math.floor(this.#random() * (this.#random() < 0.02 ? 3000 : 20));
    return String.fromCharCode(65 + Math.floor(this.#random() * 26)).repeat(length);
  }
}
