import { test } from 'node:test';
import { MemoryStore } from '../storage/memory-store.ts';
import { modelPrefixLength, runTreeModel } from '../testing/tree-model.ts';
import { COMPACTION_DEFAULTS } from './compaction/pick-compaction.ts';
import { runCompaction } from './compaction/run-compaction.ts';
import { TreeCompactor } from './compaction/tree-compactor.ts';
import type { LsmTree } from './lsm-tree.ts';
import { TABLE_DEFAULTS } from './table-writer.ts';
import type { BlockSource } from './block-source.ts';
import { openBlock } from './block-trailer.ts';
import type { TableFiles } from './table-files.ts';

const OPTIONS = {
  ...COMPACTION_DEFAULTS,
  level0RunsMax: 3,
  level1Bytes: 8192,
  levelFactor: 3,
  fileBytes: 4096,
};

function world(): {
  store: MemoryStore;
  blocks: BlockSource;
  files: TableFiles;
  compact(tree: LsmTree): Promise<void>;
} {
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
  const compact = async (tree: LsmTree): Promise<void> => {
    const compactor = new TreeCompactor({
      tree,
      options: OPTIONS,
      nowMs: () => 0,
      run: (job, signal) =>
        runCompaction(job, {
          store,
          blocks,
          files,
          table: { ...TABLE_DEFAULTS, blockBytes: 512, prefixLength: modelPrefixLength },
          fileBytes: OPTIONS.fileBytes,
          nowMs: 0,
          yieldToLoop: () => Promise.resolve(),
          signal,
        }),
      failed: (error) => {
        throw error;
      },
    });
    compactor.start();
    await compactor.running;
  };
  return { store, blocks, files, compact };
}

test('a tree answers as a sorted map does, through flushes, crashes, clips and joins', async () => {
  for (let seed = 1; seed <= 20; seed++)
    await runTreeModel({ seed, operations: 3000, keys: 400, world: world() });
});
