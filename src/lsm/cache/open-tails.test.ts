import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../storage/memory-store.ts';
import { MemoryDisk } from '../../testing/memory-disk.ts';
import { LsmTree } from '../lsm-tree.ts';
import { TABLE_DEFAULTS } from '../table-writer.ts';
import { CachingBlockSource } from './caching-block-source.ts';
import { DiskCache } from './disk-cache.ts';

const TABLES = 20;
const KEYS_PER_TABLE = 1000;
const TAIL_BYTES_LEAST = 1250;
const table = { ...TABLE_DEFAULTS, blockBytes: 512 };
const yieldToLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const keyOf = (i: number): Buffer => Buffer.from(`key-${String(i).padStart(6, '0')}`);

/** A tree of tables side by side, as runs of level 0. */
async function grown(store: MemoryStore, blocks: CachingBlockSource): Promise<LsmTree> {
  let fileNo = 0;
  const files = {
    async write(bytes: Uint8Array) {
      const id = `file-${fileNo++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
  const tree = new LsmTree({ store, blocks, files, yieldToLoop, options: { table } });
  for (let t = 0; t < TABLES; t++) {
    for (let i = 0; i < KEYS_PER_TABLE; i++)
      tree.put(keyOf(t * KEYS_PER_TABLE + i), Buffer.alloc(20, t));
    tree.seal();
    await tree.flush();
  }
  return tree;
}

const some = (seed: number): Buffer[] =>
  Array.from({ length: 64 }, (_, i) => keyOf((seed * 7919 + i * 313) % (TABLES * KEYS_PER_TABLE)));

test('indexes and filters stay within their part of the budget, and every key is found all the same', async () => {
  const store = new MemoryStore();
  const memoryBytes = 6 * TAIL_BYTES_LEAST;
  const blocks = new CachingBlockSource({ store, memoryBytes });
  const tree = await grown(store, blocks);
  for (let seed = 0; seed < 20; seed++) {
    const lookups = await tree.lookupAll(some(seed));
    for (const { base } of lookups) assert.equal(base?.length, 20);
    assert.ok(blocks.tails.bytes <= 0.75 * memoryBytes, `${blocks.tails.bytes}`);
    assert.ok(blocks.bytes + blocks.tails.bytes <= memoryBytes, `${blocks.bytes}`);
  }
  const scan = await tree.scanRange(keyOf(0), undefined);
  let found = 0;
  for (let batch = await scan.next(500); batch.length > 0; batch = await scan.next(500))
    found += batch.length;
  assert.equal(found, TABLES * KEYS_PER_TABLE);
  tree.close();
  assert.equal(blocks.tails.bytes, 0);
  await blocks.close();
});

test('an index that was dropped comes back from local disk without a request', async () => {
  const store = new MemoryStore();
  const disk = new DiskCache({
    disk: new MemoryDisk(),
    budgetBytes: 16 << 20,
    failed: (error) => {
      throw error;
    },
  });
  const blocks = new CachingBlockSource({ store, memoryBytes: 6 * TAIL_BYTES_LEAST, disk });
  const tree = await grown(store, blocks);
  await yieldToLoop();
  let gets = 0;
  const get = store.get.bind(store);
  store.get = (...args) => {
    gets++;
    return get(...args);
  };
  for (let seed = 0; seed < 20; seed++) await tree.lookupAll(some(seed));
  assert.equal(gets, 0);
  tree.close();
  await blocks.close();
});
