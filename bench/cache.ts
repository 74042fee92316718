/**
 * What the disk cache saves: requests, bytes and dollars per million read-modify-writes of Zipf-distributed keys (exponent 0.99), with a disk cache
 * of 5 to 100 % of the state, beside none and beside caching whole files; and what a lookup costs.
 *
 * The tree, its flushes and compactions and all caches are the real ones; the store is memory that counts. Files and levels are as much
 * smaller than the defaults as the state is smaller than 10 GB, and so are batches: in a small state large ones would find neighbours to
 * share requests with that a large state does not have. Memory for blocks is what a budget of a twentieth of the state leaves for them.
 * Caches start cold and are warmed by eight times the records that are then measured. Whole-file caching is simulated over the requests
 * of the run without a disk cache. Not included: the cache of live values above the tree, which takes most reads of hot keys away from all
 * sides alike, and puts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { realDisk } from '../src/base/real-disk.ts';
import type { StoredFile } from '../src/lsm/block-source.ts';
import { sealBlock, TRAILER_BYTES } from '../src/lsm/block-trailer.ts';
import { BlockCache } from '../src/lsm/cache/block-cache.ts';
import { CachingBlockSource } from '../src/lsm/cache/caching-block-source.ts';
import { DiskCache } from '../src/lsm/cache/disk-cache.ts';
import { COMPACTION_DEFAULTS } from '../src/lsm/compaction/pick-compaction.ts';
import { runCompaction } from '../src/lsm/compaction/run-compaction.ts';
import { TreeCompactor } from '../src/lsm/compaction/tree-compactor.ts';
import { LsmTree } from '../src/lsm/lsm-tree.ts';
import type { TableFiles } from '../src/lsm/table-files.ts';
import { TABLE_DEFAULTS } from '../src/lsm/table-writer.ts';
import type { TreeVersion } from '../src/lsm/tree-version.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import type { ByteRange } from '../src/storage/object-store.ts';
import { type StoreEvent, type Traffic, wholeFileTraffic } from './cache/whole-files.ts';
import { keyAt, writeKey, Zipf } from './state/keys.ts';
import { plainFiles, yieldToLoop } from './state/stores.ts';

export const USAGE =
  '  --state MB    of keys and values (200; quick 50)\n  --records N   read-modify-writes that are measured, after eight times as many that warm up (250,000; quick 50,000)\n  --rate N      records a second, for the dollars (10,000)\n  --percents    disk caches, of the state (5,10,25,50,100; quick 50)';

const VALUE = Buffer.alloc(64, 0x5a);
/** Of a key and its value in the tree. */
const ENTRY_BYTES = 85;
const BATCH = 32;
/** Of a twentieth of the state. */
const MEMORY_SHARE = 3 / 8 / 20;
const WARM_UP = 8;
const DOLLARS_PER_GET = 0.4e-6;
const SECONDS_PER_MONTH = 30 * 24 * 3600;
const FULL_SIZE = 10e9;

class TracingStore extends MemoryStore {
  events: StoreEvent[] = [];
  bytesRead = 0;
  readonly sizes = new Map<string, number>();

  override async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    this.events.push({ kind: 'get', object: key });
    const bytes = await super.get(key, range, signal);
    this.bytesRead += bytes.length;
    return bytes;
  }

  override put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<string> {
    this.events.push({ kind: 'put', object: key, bytes: bytes.length });
    this.sizes.set(key, bytes.length);
    return super.put(key, bytes, signal);
  }
}

interface Setting {
  readonly folder: string;
  readonly store: TracingStore;
  readonly stateBytes: number;
  readonly keys: number;
  readonly records: number;
  /** Disk caches, of the state. */
  readonly percents: readonly number[];
}

interface Engine {
  readonly tree: LsmTree;
  readonly compactor: TreeCompactor;
}

function openEngine(
  { store, stateBytes }: Setting,
  blocks: CachingBlockSource,
  version?: TreeVersion,
): Engine {
  const scale = stateBytes / FULL_SIZE;
  const files: TableFiles = plainFiles(store);
  const level1Bytes = Math.max(1 << 20, 256e6 * scale);
  const fileBytes = Math.max(256 << 10, 64e6 * scale);
  const options = { ...COMPACTION_DEFAULTS, level1Bytes, fileBytes };
  const tree = new LsmTree({
    store,
    blocks,
    files,
    yieldToLoop,
    options: { memtableBytes: Math.max(128 << 10, 8e6 * scale) },
    ...(version === undefined ? {} : { version, epoch: 1 << 20 }),
  });
  const compactor = new TreeCompactor({
    tree,
    options,
    nowMs: () => 0,
    run: (job, signal, written) =>
      runCompaction(job, {
        store,
        blocks,
        files,
        table: TABLE_DEFAULTS,
        fileBytes,
        nowMs: 0,
        yieldToLoop,
        signal,
        written,
      }),
    failed: (error) => {
      throw error;
    },
  });
  return { tree, compactor };
}

async function keepUp({ tree, compactor }: Engine): Promise<void> {
  if (tree.sealedMemtables > 0) await tree.flush();
  compactor.start();
  if (compactor.stalled) await compactor.running;
  await yieldToLoop();
}

async function load(setting: Setting): Promise<TreeVersion> {
  const blocks = new CachingBlockSource({ store: setting.store, memoryBytes: 64 << 20 });
  const engine = openEngine(setting, blocks);
  const key = Buffer.alloc(16);
  for (let i = 0; i < setting.keys; i++) {
    writeKey(key, 0, i);
    engine.tree.put(key, VALUE);
    if ((i & 4095) === 0) await keepUp(engine);
  }
  engine.tree.seal();
  await engine.tree.flush();
  engine.compactor.start();
  await engine.compactor.running;
  const { version } = engine.tree;
  engine.compactor.close();
  engine.tree.close();
  return version;
}

async function updates(
  engine: Engine,
  setting: Setting,
  records: number,
  seed: number,
): Promise<void> {
  const zipf = new Zipf(setting.keys, seed);
  for (let done = 0; done < records; done += BATCH) {
    const keys = Array.from({ length: BATCH }, () => keyAt(zipf.next() % setting.keys));
    await engine.tree.lookupAll(keys);
    for (const key of keys) engine.tree.put(key, VALUE);
    await keepUp(engine);
  }
}

interface Run extends Traffic {
  readonly events: readonly StoreEvent[];
  /** Where the measured half begins. */
  readonly from: number;
  readonly seconds: number;
}

async function runWith(setting: Setting, version: TreeVersion, percent: number): Promise<Run> {
  const { store, stateBytes, folder } = setting;
  const disk =
    percent === 0
      ? undefined
      : new DiskCache({
          disk: realDisk(`${folder}/cache-${percent}`),
          budgetBytes: (stateBytes * percent) / 100,
          failed: (error) => {
            throw error;
          },
        });
  const blocks = new CachingBlockSource({ store, memoryBytes: stateBytes * MEMORY_SHARE, disk });
  const engine = openEngine(setting, blocks, version);
  await engine.tree.openTables();
  store.events = [];
  await updates(engine, setting, WARM_UP * setting.records, 11);
  const from = store.events.length;
  const bytesBefore = store.bytesRead;
  const started = performance.now();
  await updates(engine, setting, setting.records, 12);
  const { events } = store;
  const seconds = (performance.now() - started) / 1000;
  await engine.compactor.running;
  engine.compactor.close();
  engine.tree.close();
  await blocks.close();
  for (const { kind, object } of events) if (kind === 'put') await store.delete(object);
  return {
    events,
    from,
    seconds,
    gets: events.slice(from).filter(({ kind }) => kind === 'get').length,
    bytes: store.bytesRead - bytesBefore,
  };
}

export async function run({
  quick,
  args,
}: {
  quick: boolean;
  args: readonly string[];
}): Promise<Readonly<Record<string, number>>> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      state: { type: 'string', default: quick ? '50' : '200' },
      records: { type: 'string', default: quick ? '50000' : '250000' },
      rate: { type: 'string', default: '10000' },
      percents: { type: 'string', default: quick ? '50' : '5,10,25,50,100' },
    },
  });
  const folder = await mkdtemp(`${tmpdir()}/millrace-bench-cache-`);
  const stateBytes = Number(values.state) * 1e6;
  const setting: Setting = {
    folder,
    store: new TracingStore(),
    stateBytes,
    keys: Math.floor(stateBytes / ENTRY_BYTES),
    records: Number(values.records),
    percents: values.percents.split(',').map(Number),
  };
  const version = await load(setting);
  const traffic = await measureTraffic(setting, version, Number(values.rate));
  const lookups = await lookupCosts(`${folder}/lookups`);
  await rm(folder, { recursive: true });
  return { ...traffic, ...lookups };
}

async function measureTraffic(
  setting: Setting,
  version: TreeVersion,
  rate: number,
): Promise<Record<string, number>> {
  const millions = setting.records / 1e6;
  const months = (rate * SECONDS_PER_MONTH) / setting.records;
  const none = await runWith(setting, version, 0);
  const figures: Record<string, number> = {};
  const report = (name: string, { gets, bytes }: Traffic): void => {
    figures[`gets_per_million_${name}`] = gets / millions;
    figures[`mb_per_million_${name}`] = bytes / 1e6 / millions;
    figures[`dollars_a_month_${name}`] = gets * months * DOLLARS_PER_GET;
  };
  report('no_cache', none);
  const ratios: number[] = [];
  let half = none;
  for (const percent of setting.percents) {
    const ours = await runWith(setting, version, percent);
    const budgetBytes = (setting.stateBytes * percent) / 100;
    const whole = wholeFileTraffic(none.events, setting.store.sizes, {
      budgetBytes,
      from: none.from,
    });
    report(`cache_${percent}`, ours);
    report(`whole_files_${percent}`, whole);
    if (percent === 50) half = ours;
    if (whole.bytes > 0) ratios.push(ours.bytes / whole.bytes);
    figures[`records_per_s_cache_${percent}`] = setting.records / ours.seconds;
  }
  return {
    gets_saved_by_cache: 1 - half.gets / none.gets,
    bytes_vs_whole_files: Math.max(...ratios),
    ...figures,
  };
}

/** Nanoseconds of a hit in memory and on local disk (pages that the operating system holds), blocks of 16 KiB. */
async function lookupCosts(folder: string): Promise<Record<string, number>> {
  const files = 64;
  const blocksPerFile = 256;
  const memory = new BlockCache(1 << 30);
  const bytes = new Uint8Array(64);
  for (let file = 0; file < files; file++)
    for (let block = 0; block < blocksPerFile; block++) memory.insert(file, block, bytes);
  const rounds = 2_000_000;
  let found = 0;
  const memoryNs = timePer(rounds, (i) => {
    const at = Math.imul(i, 0x9e3779b1) >>> 0;
    if (memory.get(at & 63, (at >>> 8) & 255, true) !== undefined) found++;
  });
  const block = { index: 0, offset: 0, length: 16 << 10 };
  const stored = new Uint8Array(block.length);
  sealBlock(stored, block.length - TRAILER_BYTES, 0);
  const disk = new DiskCache({
    disk: realDisk(folder),
    budgetBytes: 256 << 20,
    failed: (error) => {
      throw error;
    },
  });
  const file: StoredFile = { fileNo: 1, object: 'o', offset: 0, length: 1024 * block.length };
  const blocks = Array.from({ length: 1024 }, (_, index) => ({
    index,
    offset: index * block.length,
    length: block.length,
  }));
  for (const address of blocks) disk.putBlock(file, address, stored);
  for (let turn = 0; turn < 1000; turn++) await yieldToLoop();
  const diskNs = timePer(20_000, (i) => {
    if (disk.read(file, blocks[i & 1023]!) !== undefined) found++;
  });
  await disk.close();
  if (found < 2 * rounds) throw new RangeError('blocks are missing');
  return { memory_hit_ns: memoryNs, disk_hit_ns: diskNs };
}

function timePer(rounds: number, once: (i: number) => void): number {
  for (let i = 0; i < rounds; i++) once(i);
  const started = performance.now();
  for (let i = 0; i < rounds; i++) once(i);
  return ((performance.now() - started) * 1e6) / rounds;
}
