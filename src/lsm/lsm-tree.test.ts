import { test } from 'node:test';
import { treeInMemory } from '../testing/tree-in-memory.ts';
import { runTreeModel } from '../testing/tree-model.ts';

test('a tree answers as a sorted map does, through flushes, crashes, clips and joins', async () => {
  for (let seed = 1; seed <= 15; seed++)
    await runTreeModel({
      seed,
      operations: 5000,
      keys: 400,
      world: treeInMemory(seed % 3 === 0 ? 16_384 : 0),
    });
});
