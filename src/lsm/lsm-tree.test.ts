import { test } from 'node:test';
import { MemoryStore } from '../storage/memory-store.ts';
import { runTreeModel } from '../testing/tree-model.ts';
import type { BlockSource } from './block-source.ts';
import { openBlock } from './block-trailer.ts';
import type { TableFiles } from './table-files.ts';

function world(): { store: MemoryStore; blocks: BlockSource; files: TableFiles } {
  const store = new MemoryStore();
  let n = 0;
  const files: TableFiles = {
    async write(bytes) {
      const id = `t${n++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
  const blocks: BlockSource = {
    resident: () => undefined,
    read: (reads) =>
      Promise.all(
        reads.map(async ({ file, block }) =>
          openBlock(
            await store.get(file.object, {
              offset: file.offset + block.offset,
              length: block.length,
            }),
            file,
          ),
        ),
      ),
    admit: () => {},
    forget: () => {},
    hotBlocks: () => [],
    close: async () => {},
  };
  return { store, blocks, files };
}

test('a tree answers as a sorted map does, through flushes, crashes, clips and joins', async () => {
  for (let seed = 1; seed <= 20; seed++)
    await runTreeModel({ seed, operations: 3000, keys: 400, world: world() });
});
