import { test } from 'node:test';
import { treeInMemory } from '../../src/testing/tree-in-memory.ts';
import { runTreeModel } from '../../src/testing/tree-model.ts';

const OPERATIONS = 100_000;
const BATCH = 25;

/** A test for every few seeds; a failing one is in its name's range, and `runTreeModel` with it repeats it. */
export function modelSeeds(first: number, last: number): void {
  for (let from = first; from <= last; from += BATCH) {
    test(`the tree equals its model: seeds ${from} to ${from + BATCH - 1}, ${OPERATIONS} operations each`, async () => {
      for (let seed = from; seed < from + BATCH; seed++) {
        try {
          await runTreeModel({
            seed,
            operations: OPERATIONS,
            keys: seed % 2 === 0 ? 300 : 3000,
            world: treeInMemory(seed % 4 === 0 ? 0 : 65_536),
            rarities: 0.05,
          });
        } catch (cause) {
          throw new RangeError(`seed ${seed} differs from the model`, { cause });
        }
      }
    });
  }
}
