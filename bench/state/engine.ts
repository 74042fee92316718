/**
 * The tree against RocksDB on the same keys: load, batched reads from a warm cache, and from one a ninth of the data.
 *
 * Both sides have 128 MiB for memtables, blocks of 4 KiB (RocksDB's default), filters of ten bits a key, no compression, and a second core
 * for compaction: RocksDB's own threads, and the thread that a job would start. Neither load waits for the compactions that are still to be
 * done at its end, each within its own limits of how far they may fall behind; the settled figures wait for them on both sides, and so do
 * the reads.
 */
import { rm } from 'node:fs/promises';
import { realDisk } from '../../src/base/real-disk.ts';
import { CachingBlockSource } from '../../src/lsm/cache/caching-block-source.ts';
import { DiskCache } from '../../src/lsm/cache/disk-cache.ts';
import { taskOf } from '../../src/lsm/compaction/compaction-task.ts';
import { COMPACTION_DEFAULTS } from '../../src/lsm/compaction/pick-compaction.ts';
import { TreeCompactor } from '../../src/lsm/compaction/tree-compactor.ts';
import { LsmTree } from '../../src/lsm/lsm-tree.ts';
import { OpenTable } from '../../src/lsm/open-table.ts';
import type { TableFiles } from '../../src/lsm/table-files.ts';
import { tableMetaFromJson } from '../../src/lsm/table-meta.ts';
import { TABLE_DEFAULTS } from '../../src/lsm/table-writer.ts';
import type { LocalStore } from '../../src/storage/local-store.ts';
import { openBenchThread, PLAIN_PREFIXES } from './compaction-thread.ts';
import { keyAt, writeKey, Zipf } from './keys.ts';
import { openRocksDb } from './rocksdb.ts';
import { localStore, plainFiles, yieldToLoop } from './stores.ts';

const VALUE = Buffer.alloc(64, 0x5a);
const BATCH = 256;
/** Of a key and its value, with what both sides add to it. */
const ENTRY_BYTES = 90;
const MEMTABLES_BYTES = 128 << 20;
const MEMTABLE_BYTES = MEMTABLES_BYTES / 4;
const OPTIONS = { ...COMPACTION_DEFAULTS, level1Bytes: 8 * MEMTABLE_BYTES };

export interface EngineFigures {
  /** Until everything was accepted and in a file. */
  readonly loadPerSecond: number;
  /** Until nothing was left to compact. */
  readonly settledPerSecond: number;
  readonly settledCpuSeconds: number;
  readonly warmReadsPerSecond: number;
  readonly coldReadsPerSecond: number;
}

class Stopwatch {
  readonly #started = performance.now();
  readonly #cpu = process.cpuUsage();

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** Of all threads. */
  get cpuSeconds(): number {
    const { user, system } = process.cpuUsage(this.#cpu);
    return (user + system) / 1e6;
  }
}

const failed = (error: unknown): never => {
  throw error;
};

export async function benchTree(
  folder: string,
  entries: number,
  reads: number,
): Promise<EngineFigures> {
  const store = localStore(`${folder}/tree`);
  const files = plainFiles(store);
  const blocks = new CachingBlockSource({ store, memoryBytes: 2 * entries * ENTRY_BYTES });
  const options = { memtableBytes: MEMTABLE_BYTES };
  const tree = new LsmTree({ store, blocks, files, yieldToLoop, options });
  const thread = openBenchThread(`${folder}/tree`);
  const compactor = new TreeCompactor({
    tree,
    options: OPTIONS,
    nowMs: () => 0,
    run: async (job, signal, written) => {
      const task = taskOf(job, {
        ...{ blockBytes: TABLE_DEFAULTS.blockBytes, compression: TABLE_DEFAULTS.compression },
        ...{ prefixes: PLAIN_PREFIXES, fileBytes: OPTIONS.fileBytes, nowMs: 0 },
        output: `c${compactor.jobs}`,
      });
      return (await thread.run(task, signal, written)).tables.map(tableMetaFromJson);
    },
    failed,
  });
  const watch = new Stopwatch();
  await load(tree, compactor, entries);
  const loadSeconds = watch.seconds;
  for (compactor.start(); compactor.running !== undefined;) await compactor.running;
  const settled = { seconds: watch.seconds, cpu: watch.cpuSeconds };
  await readTree(tree, entries, reads);
  const warm = await readTree(tree, entries, reads);
  const { version } = tree;
  tree.close();
  await blocks.close();
  await thread.close();
  const cold = await ninthCachedReads({ store, files, version, folder }, entries, reads);
  await rm(`${folder}/tree`, { recursive: true });
  await rm(`${folder}/cache`, { recursive: true });
  return {
    loadPerSecond: entries / loadSeconds,
    settledPerSecond: entries / settled.seconds,
    settledCpuSeconds: settled.cpu,
    warmReadsPerSecond: warm,
    coldReadsPerSecond: cold,
  };
}

async function load(tree: LsmTree, compactor: TreeCompactor, entries: number): Promise<void> {
  const key = Buffer.alloc(16);
  for (let i = 0; i < entries; i++) {
    writeKey(key, 0, i);
    tree.put(key, VALUE);
    if ((i & 4095) !== 0) continue;
    if (tree.unflushedBytes > MEMTABLES_BYTES) await tree.flush();
    else if (tree.sealedMemtables > 0) void tree.flush();
    compactor.start();
    if (compactor.stalled) await compactor.running;
    await yieldToLoop();
  }
  tree.seal();
  await tree.flush();
}

/** Memory for a ninth of the data; all of it is on local disk, as RocksDB's is. */
async function ninthCachedReads(
  from: {
    readonly store: LocalStore;
    readonly files: TableFiles;
    readonly version: LsmTree['version'];
    readonly folder: string;
  },
  entries: number,
  reads: number,
): Promise<number> {
  const { store, files, version, folder } = from;
  const dataBytes = entries * ENTRY_BYTES;
  const disk = new DiskCache({
    disk: realDisk(`${folder}/cache`),
    budgetBytes: 4 * dataBytes,
    failed,
  });
  for (const meta of version.runs.flatMap(({ tables }) => tables)) {
    const table = new OpenTable(meta, undefined, yieldToLoop);
    const bytes = await store.get(meta.object);
    for (let skipped = -1; skipped !== disk.skipped; await yieldToLoop()) {
      skipped = disk.skipped;
      disk.putFile(table, bytes);
    }
  }
  const blocks = new CachingBlockSource({ store, memoryBytes: dataBytes / 9, disk });
  const tree = new LsmTree({ store, blocks, files, yieldToLoop, version });
  await tree.openTables();
  await readTree(tree, entries, reads / 4);
  const rate = await readTree(tree, entries, reads / 2);
  tree.close();
  await blocks.close();
  return rate;
}

async function readTree(tree: LsmTree, entries: number, reads: number): Promise<number> {
  const zipf = new Zipf(entries, 7);
  const started = performance.now();
  let found = 0;
  for (let done = 0; done < reads; done += BATCH) {
    const keys = Array.from({ length: BATCH }, () => keyAt(zipf.next() % entries));
    for (const lookup of await tree.lookupAll(keys)) if (lookup.base !== undefined) found++;
  }
  if (found < reads) throw new RangeError(`${reads - found} keys were not found`);
  return reads / ((performance.now() - started) / 1000);
}

export async function benchRocksDb(
  folder: string,
  entries: number,
  reads: number,
): Promise<EngineFigures> {
  const dataBytes = entries * ENTRY_BYTES;
  const watch = new Stopwatch();
  let db = await openRocksDb(`${folder}/rocks`, 2 * dataBytes);
  let batch: [Buffer, Buffer][] = [];
  for (let i = 0; i < entries; i++) {
    batch.push([keyAt(i), VALUE]);
    if (batch.length < 1000) continue;
    await db.put(batch);
    batch = [];
  }
  await db.put(batch);
  const loadSeconds = watch.seconds;
  await db.settle();
  const settled = { seconds: watch.seconds, cpu: watch.cpuSeconds };
  const read = (count: number): number => {
    const zipf = new Zipf(entries, 7);
    const from = performance.now();
    for (let done = 0; done < count; done += BATCH)
      db.getMany(Array.from({ length: BATCH }, () => keyAt(zipf.next() % entries)));
    return count / ((performance.now() - from) / 1000);
  };
  read(reads);
  const warm = read(reads);
  await db.close();
  db = await openRocksDb(`${folder}/rocks`, dataBytes / 9);
  await db.settle();
  read(reads / 4);
  const cold = read(reads / 2);
  await db.close();
  await rm(`${folder}/rocks`, { recursive: true });
  return {
    loadPerSecond: entries / loadSeconds,
    settledPerSecond: entries / settled.seconds,
    settledCpuSeconds: settled.cpu,
    warmReadsPerSecond: warm,
    coldReadsPerSecond: cold,
  };
}
