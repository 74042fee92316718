import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../testing/seeded-random.ts';
import { treeInMemory } from '../testing/tree-in-memory.ts';
import { runTreeModel } from '../testing/tree-model.ts';
import { LsmTree } from './lsm-tree.ts';
import { TABLE_DEFAULTS } from './table-writer.ts';

test('a tree answers as a sorted map does, through flushes, crashes, clips and joins', async () => {
  for (let seed = 1; seed <= 15; seed++)
    await runTreeModel({
      seed,
      operations: 5000,
      keys: 400,
      world: treeInMemory(seed % 3 === 0 ? 16_384 : 0),
    });
});

test('an epoch without writes that ends while the last one is being written settles with it', async () => {
  const { store, blocks, files } = treeInMemory();
  const tree = new LsmTree({ store, blocks, files, yieldToLoop: () => Promise.resolve() });
  tree.put(Buffer.from('key'), Buffer.from('value'));
  tree.beginEpoch();
  const first = tree.endEpoch();
  tree.beginEpoch();
  const second = tree.endEpoch();
  assert.deepEqual(await first, await second);
  assert.equal((await first).runs.length, 1);
});

test('a scan seeks forward over every kind of source, as a filtered list does', async () => {
  const { store, blocks, files } = treeInMemory();
  const tree = new LsmTree({
    store,
    blocks,
    files,
    yieldToLoop: () => Promise.resolve(),
    options: { table: { ...TABLE_DEFAULTS, blockBytes: 256 } },
  });
  const random = new SeededRandom(7);
  const live = new Set<number>();
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 400; i++) {
      const n = random.int(5000);
      if (random.chance(0.2)) {
        tree.delete(keyOf(n));
        live.delete(n);
      } else {
        tree.put(keyOf(n), keyOf(n));
        live.add(n);
      }
    }
    // The last round stays in memory.
    if (round < 3) {
      tree.seal();
      await tree.flush();
    }
  }
  const sorted = [...live].toSorted((a, b) => a - b);
  for (let run = 0; run < 50; run++) {
    const scan = await tree.scanRange(keyOf(0), undefined);
    let at = 0;
    for (let step = 0; step < 20; step++) {
      if (random.chance(0.6)) {
        at = Math.max(at, random.int(5500));
        scan.seek(keyOf(at));
      }
      const found = (await scan.next(random.between(1, 30))).map(({ key }) => numberOf(key));
      const expected = sorted.filter((n) => n >= at).slice(0, found.length + 1);
      assert.deepEqual(found, expected.slice(0, found.length));
      if (found.length === 0) assert.deepEqual(expected, []);
      at = Math.max(at, (found.at(-1) ?? at) + 1);
    }
  }
});

const keyOf = (n: number): Uint8Array => Uint8Array.of(n >>> 8, n);
const numberOf = (key: Uint8Array): number => (key[0]! << 8) | key[1]!;
