/** The world of a tree under test: everything in memory, levels small, so that a little data goes through all of it. */
import { COMPACTION_DEFAULTS } from '../lsm/compaction/pick-compaction.ts';
import { runCompaction } from '../lsm/compaction/run-compaction.ts';
import { TreeCompactor } from '../lsm/compaction/tree-compactor.ts';
import type { LsmTree } from '../lsm/lsm-tree.ts';
import { CachingBlockSource } from '../lsm/cache/caching-block-source.ts';
import type { TableFiles } from '../lsm/table-files.ts';
import { TABLE_DEFAULTS } from '../lsm/table-writer.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { modelPrefixLength, type TreeWorld } from './tree-model.ts';

const OPTIONS = {
  ...COMPACTION_DEFAULTS,
  level0RunsMax: 3,
  level1Bytes: 8192,
  levelFactor: 3,
  fileBytes: 4096,
};

/** Files and blocks in memory; `cacheBytes` of blocks are resident, none by default. */
export function treeInMemory(cacheBytes = 0): TreeWorld {
  const store = new MemoryStore();
  let n = 0;
  const files: TableFiles = {
    async write(bytes) {
      const id = `t${n++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
  const blocks = new CachingBlockSource({ store, memoryBytes: cacheBytes });
  const compact = async (tree: LsmTree): Promise<void> => {
    const compactor = new TreeCompactor({
      tree,
      options: OPTIONS,
      nowMs: () => 0,
      run: (job, signal, written) =>
        runCompaction(job, {
          store,
          blocks,
          files,
          table: { ...TABLE_DEFAULTS, blockBytes: 512, prefixLength: modelPrefixLength },
          fileBytes: OPTIONS.fileBytes,
          nowMs: 0,
          yieldToLoop: () => Promise.resolve(),
          signal,
          written,
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
