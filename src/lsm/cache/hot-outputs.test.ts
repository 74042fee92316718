import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../storage/memory-store.ts';
import { runCompaction } from '../compaction/run-compaction.ts';
import { LsmTree } from '../lsm-tree.ts';
import { MemoryDisk } from '../../testing/memory-disk.ts';
import { TABLE_DEFAULTS } from '../table-writer.ts';
import { CachingBlockSource } from './caching-block-source.ts';
import { DiskCache } from './disk-cache.ts';

test('what was hot in memory before a compaction is in memory after it, and what was not is not', async () => {
  const store = new MemoryStore();
  const blocks = new CachingBlockSource({ store, memoryBytes: 1 << 20 });
  let fileNo = 0;
  const files = {
    async write(bytes: Uint8Array) {
      const id = `file-${fileNo++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
  const table = { ...TABLE_DEFAULTS, blockBytes: 512 };
  const yieldToLoop = (): Promise<void> => Promise.resolve();
  const tree = new LsmTree({ store, blocks, files, yieldToLoop, options: { table } });
  const keyOf = (i: number): Buffer => Buffer.from(`key-${String(i).padStart(5, '0')}`);
  for (const half of [0, 1]) {
    for (let i = half; i < 2000; i += 2) tree.put(keyOf(i), Buffer.alloc(20, i));
    tree.seal();
    await tree.flush();
  }
  const hot = [3, 700, 1501].map(keyOf);
  await tree.lookupAll(hot);
  const inputs = tree.version.runs;
  const removed = new Set(inputs.flatMap(({ tables }) => tables.map(({ id }) => id)));
  const heat = await tree.heatOf(removed);
  const added = await runCompaction(
    { kind: 'merge', reason: 'test', inputs, level: 1, bottom: true },
    {
      ...{ store, blocks, files, table, fileBytes: 20_000, nowMs: 0, yieldToLoop },
      written: (meta, bytes) => tree.prepare(meta, bytes, heat),
    },
  );
  const requests = blocks.metrics.requests;
  tree.adopt({ removed, added, level: 1 });
  for (const key of hot) assert.notEqual(tree.lookupResident(key), undefined);
  assert.equal(tree.lookupResident(keyOf(1100)), undefined);
  assert.equal(blocks.metrics.requests, requests);
  tree.close();
  await blocks.close();
});

test('where local disk has no room for all of an output, it gets what was asked for before, and its index', async () => {
  const store = new MemoryStore();
  const disk = new DiskCache({
    disk: new MemoryDisk(),
    budgetBytes: 140_000,
    failed: (error) => {
      throw error;
    },
  });
  // Memory holds the indexes and hardly a block.
  const blocks = new CachingBlockSource({ store, memoryBytes: 20_000, disk });
  let fileNo = 0;
  const files = {
    async write(bytes: Uint8Array) {
      const id = `file-${fileNo++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
  const table = { ...TABLE_DEFAULTS, blockBytes: 512 };
  const yieldToLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const tree = new LsmTree({ store, blocks, files, yieldToLoop, options: { table } });
  const keyOf = (i: number): Buffer => Buffer.from(`key-${String(i).padStart(5, '0')}`);
  for (let i = 0; i < 2000; i++) tree.put(keyOf(i), Buffer.alloc(40, i));
  tree.seal();
  await tree.flush();
  await yieldToLoop();
  const hot = [3, 700, 1501].map(keyOf);
  await tree.lookupAll(hot);
  const inputs = tree.version.runs;
  const removed = new Set(inputs.flatMap(({ tables }) => tables.map(({ id }) => id)));
  const heat = await tree.heatOf(removed);
  const added = await runCompaction(
    { kind: 'merge', reason: 'test', inputs, level: 1, bottom: true },
    {
      ...{ store, blocks, files, table, fileBytes: 1 << 20, nowMs: 0, yieldToLoop },
      written: (meta, bytes) => tree.prepare(meta, bytes, heat),
    },
  );
  tree.adopt({ removed, added, level: 1 });
  await yieldToLoop();
  await yieldToLoop();
  for (const key of hot) assert.notEqual(tree.lookupResident(key), undefined);
  assert.equal(tree.lookupResident(keyOf(1100)), undefined);
  assert.ok(disk.bytes < 20_000, `${disk.bytes}`);
  tree.close();
  await blocks.close();
});
