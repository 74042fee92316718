/**
 * Which blocks of a compaction's output are hot: those that cover the keys of hot blocks of its inputs. Without this every compaction would
 * make the caches cold for the keys it touches, or push what is hot out of them with all that is not.
 *
 * A hot block whose keys are scattered over more than OUTPUTS_MAX blocks of the output, as those of a small new table are, tells nothing of any.
 *
 * Cost: two binary searches in the output's index for each hot block.
 */
import type { Admission, BlockAddress, BlockSource } from '../block-source.ts';
import { compareKeys } from '../key-order.ts';
import type { OpenTable } from '../open-table.ts';

/** In memory, of one input. */
const HOT_BLOCKS_MAX = 1024;
const OUTPUTS_MAX = 12;

/** Bounds of a hot block's keys, both of which may be keys. */
interface HotRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** What is hot in the inputs of a compaction. */
export interface Heat {
  readonly memory: readonly HotRange[];
  readonly disk: readonly HotRange[];
}

export function heatOf(inputs: readonly OpenTable[], blocks: BlockSource): Heat {
  return {
    memory: inputs.flatMap((table) => rangesOf(table, blocks.hotBlocks(table, HOT_BLOCKS_MAX))),
    disk: inputs.flatMap((table) => rangesOf(table, blocks.blocksOnDisk(table))),
  };
}

function rangesOf({ parts, meta }: OpenTable, blocks: readonly number[]): readonly HotRange[] {
  if (parts === undefined) return [];
  const { index } = parts;
  return blocks.map((block) => ({
    from: block === 0 ? meta.smallest : index.separator(block - 1),
    to: index.separator(block),
  }));
}

/** The blocks of an output, open, that are to be cached. */
export function hotOutputs(output: OpenTable, { memory, disk }: Heat): Admission {
  const inMemory = covering(output, memory);
  // What is worth memory is worth disk, too: it will leave memory one day.
  return { memory: inMemory, disk: [output.tail, ...union(inMemory, covering(output, disk))] };
}

function covering(output: OpenTable, ranges: readonly HotRange[]): readonly BlockAddress[] {
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

function union(a: readonly BlockAddress[], b: readonly BlockAddress[]): readonly BlockAddress[] {
  const known = new Set(a.map(({ index }) => index));
  return [...a, ...b.filter(({ index }) => !known.has(index))];
}
