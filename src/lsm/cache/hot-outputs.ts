/**
 * Which blocks of a compaction's output are hot: those that cover the keys of hot blocks of its inputs. Without this every compaction would
 * make the memory cache cold for the keys it touches.
 *
 * A hot block whose keys are scattered over more than OUTPUTS_MAX blocks of the output, as those of a small new table are, tells nothing of any.
 *
 * Cost: two binary searches in the output's index for each hot block.
 */
import type { BlockAddress, BlockSource } from '../block-source.ts';
import { compareKeys } from '../key-order.ts';
import type { OpenTable } from '../open-table.ts';

/** Of one input; a table of the usual size has about so many blocks. */
const HOT_BLOCKS_MAX = 1024;
const OUTPUTS_MAX = 4;

/** Bounds of a hot block's keys, both of which may be keys. */
export interface HotRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** Of the blocks of these tables that memory holds. */
export function hotRanges(inputs: readonly OpenTable[], blocks: BlockSource): readonly HotRange[] {
  return inputs.flatMap(({ parts, meta }, i) => {
    if (parts === undefined) return [];
    const { index } = parts;
    return blocks.hotBlocks(inputs[i]!, HOT_BLOCKS_MAX).map((block) => ({
      from: block === 0 ? meta.smallest : index.separator(block - 1),
      to: index.separator(block),
    }));
  });
}

/** The blocks of an output, open, that cover these ranges. */
export function hotOutputs(
  output: OpenTable,
  ranges: readonly HotRange[],
): readonly BlockAddress[] {
  const { index } = output.parts!;
  const { smallest, largest } = output.meta;
  const hot = new Set<number>();
  for (const { from, to } of ranges) {
    if (compareKeys(to, smallest) < 0 || compareKeys(from, largest) > 0) continue;
    const first = index.blockOf(from, 0, from.length);
    const last = Math.min(index.blocks - 1, index.blockOf(to, 0, to.length));
    if (last - first >= OUTPUTS_MAX) continue;
    for (let block = first; block <= last; block++) hot.add(block);
  }
  return [...hot].map((block) => index.address(block));
}
