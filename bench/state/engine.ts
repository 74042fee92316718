/** The tree against RocksDB on the same keys: load, batched reads from a warm cache, and from one a ninth of the data. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { COMPACTION_DEFAULTS } from '../../src/lsm/compaction/pick-compaction.ts';
import { runCompaction } from '../../src/lsm/compaction/run-compaction.ts';
import { TreeCompactor } from '../../src/lsm/compaction/tree-compactor.ts';
import { LsmTree } from '../../src/lsm/lsm-tree.ts';
import { realDisk } from '../../src/base/real-disk.ts';
import { CachingBlockSource } from '../../src/lsm/cache/caching-block-source.ts';
import { DiskCache } from '../../src/lsm/cache/disk-cache.ts';
import { OpenTable } from '../../src/lsm/open-table.ts';
import { TABLE_DEFAULTS } from '../../src/lsm/table-writer.ts';
import { keyAt, writeKey, Zipf } from './keys.ts';
import { openRocksDb } from './rocksdb.ts';
import type { TableFiles } from '../../src/lsm/table-files.ts';
import type { LocalStore } from '../../src/storage/local-store.ts';
import { localStore, plainFiles, yieldToLoop } from './stores.ts';

const VALUE = Buffer.alloc(64, 0x5a);
const BATCH = 256;
/** As much as RocksDB's memtables may have. */
const UNFLUSHED_MAX = 128 << 20;

export interface EngineFigures {
  readonly loadPerSecond: number;
  readonly loadCpuSeconds: number;
  readonly warmReadsPerSecond: number;
  readonly coldReadsPerSecond: number;
}

export async function benchTree(entries: number, reads: number): Promise<EngineFigures> {
  const folder = await mkdtemp(`${tmpdir()}/millrace-bench-tree-`);
  const store = localStore(folder);
  const dataBytes = entries * 90;
  const blocks = new CachingBlockSource({ store, memoryBytes: 2 * dataBytes });
  const files = plainFiles(store);
  const tree = new LsmTree({ store, blocks, files, yieldToLoop });
  const compactor = new TreeCompactor({
    tree,
    options: COMPACTION_DEFAULTS,
    nowMs: () => 0,
    run: (job, signal, written) =>
      runCompaction(job, {
        store,
        blocks,
        files,
        table: TABLE_DEFAULTS,
        fileBytes: COMPACTION_DEFAULTS.fileBytes,
        nowMs: 0,
        yieldToLoop,
        signal,
        written,
      }),
    failed: (error) => {
      throw error;
    },
  });
  const cpu = process.cpuUsage();
  const started = performance.now();
  const key = Buffer.alloc(16);
  for (let i = 0; i < entries; i++) {
    writeKey(key, 0, i);
    tree.put(key, VALUE);
    if ((i & 4095) === 0) {
      if (tree.unflushedBytes > UNFLUSHED_MAX) await tree.flush();
      else if (tree.sealedMemtables > 0) void tree.flush();
      compactor.start();
      if (compactor.stalled) await compactor.running;
      await yieldToLoop();
    }
  }
  tree.seal();
  await tree.flush();
  await compactor.running;
  const seconds = (performance.now() - started) / 1000;
  const used = process.cpuUsage(cpu);
  const warm = await warmReads(tree, entries, reads);
  const cold = await ninthCachedReads({ store, tree, folder, files }, entries, reads);
  tree.close();
  await rm(folder, { recursive: true });
  return {
    loadPerSecond: entries / seconds,
    loadCpuSeconds: (used.user + used.system) / 1e6,
    warmReadsPerSecond: warm,
    coldReadsPerSecond: cold,
  };
}

async function warmReads(tree: LsmTree, entries: number, reads: number): Promise<number> {
  await readTree(tree, entries, reads);
  return readTree(tree, entries, reads);
}

/** Memory for a ninth of the data; all of it is on local disk, as RocksDB's is. */
async function ninthCachedReads(
  {
    store,
    tree,
    folder,
    files,
  }: { store: LocalStore; tree: LsmTree; folder: string; files: TableFiles },
  entries: number,
  reads: number,
): Promise<number> {
  const dataBytes = entries * 90;
  const disk = new DiskCache({
    disk: realDisk(`${folder}/cache`),
    budgetBytes: 4 * dataBytes,
    failed: (error) => {
      throw error;
    },
  });
  for (const meta of tree.version.runs.flatMap(({ tables }) => tables)) {
    disk.putFile(new OpenTable(meta), await store.get(meta.object));
    await yieldToLoop();
  }
  const small = new LsmTree({
    store,
    blocks: new CachingBlockSource({ store, memoryBytes: dataBytes / 9, disk }),
    files,
    yieldToLoop,
    version: tree.version,
  });
  await small.openTables();
  await readTree(small, entries, reads / 4);
  const rate = await readTree(small, entries, reads / 2);
  small.close();
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

export async function benchRocksDb(entries: number, reads: number): Promise<EngineFigures> {
  const folder = await mkdtemp(`${tmpdir()}/millrace-bench-rocks-`);
  const dataBytes = entries * 90;
  const cpu = process.cpuUsage();
  const started = performance.now();
  let db = await openRocksDb(`${folder}/db`, 2 * dataBytes);
  let batch: [Buffer, Buffer][] = [];
  for (let i = 0; i < entries; i++) {
    batch.push([keyAt(i), VALUE]);
    if (batch.length < 1000) continue;
    await db.put(batch);
    batch = [];
  }
  await db.put(batch);
  const seconds = (performance.now() - started) / 1000;
  const used = process.cpuUsage(cpu);
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
  db = await openRocksDb(`${folder}/db`, dataBytes / 9);
  read(reads / 4);
  const cold = read(reads / 2);
  await db.close();
  await rm(folder, { recursive: true });
  return {
    loadPerSecond: entries / seconds,
    loadCpuSeconds: (used.user + used.system) / 1e6,
    warmReadsPerSecond: warm,
    coldReadsPerSecond: cold,
  };
}
