/**
 * Which blocks of a compaction's output are hot: those that cover the keys of hot blocks of its inputs. Without this every compaction would
 * make the caches cold for the keys it touches, or push what is hot out of them with all that is not.
 *
 * A hot block whose keys are scattered over more than OUTPUTS_MAX blocks of the output, as those of a small new table are, tells nothing of any.
 *
 * Cost: two binary searches in the output's index for each hot block of an input that it overlaps; a portion at a time, since there may be
 * thousands.
 */
import type { Admission, BlockAddress, BlockSource } from '../block-source.ts';
import { compareKeys } from '../key-order.ts';
import type { OpenTable } from '../open-table.ts';

/** In memory, of one input. */
const HOT_BLOCKS_MAX = 1024;
const OUTPUTS_MAX = 12;
/** Blocks admitted between two looks at other work: a few ms where local disk is full and has to make room. */
const BLOCKS_PER_PORTION = 32;

/** Bounds of a hot block's keys, both of which may be keys. */
interface HotRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** What is hot in one input of a compaction. */
interface HotInput {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
  readonly memory: readonly HotRange[];
  readonly disk: readonly HotRange[];
}

export type Heat = readonly HotInput[];

/** `turn` settles when the next input may take its millisecond. */
export async function heatOf(
  inputs: readonly OpenTable[],
  blocks: BlockSource,
  turn: () => Promise<void>,
): Promise<Heat> {
  const heat: HotInput[] = [];
  for (const input of inputs) {
    await turn();
    if (input.isClosed) continue;
    const { smallest, largest } = input.meta;
    const memory = rangesOf(input, blocks.hotBlocks(input, HOT_BLOCKS_MAX));
    heat.push({ smallest, largest, memory, disk: rangesOf(input, blocks.blocksOnDisk(input)) });
  }
  return heat;
}

function rangesOf({ parts, meta }: OpenTable, blocks: readonly number[]): readonly HotRange[] {
  if (parts === undefined) return [];
  const { index } = parts;
  return blocks.map((block) => ({
    from: block === 0 ? meta.smallest : index.separator(block - 1),
    to: index.separator(block),
  }));
}

/** Takes what is hot in an output, open, into the caches, or all of it to local disk where there is room. @returns as `BlockSource.admitFile` */
export async function admitHot(
  output: OpenTable,
  bytes: Uint8Array,
  { heat, blocks, turn }: { heat: Heat; blocks: BlockSource; turn: () => Promise<void> },
): Promise<boolean> {
  const kept = blocks.admitFile(output, bytes, true);
  const { memory, disk } = hotOutputs(output, heat);
  const left = kept ? [] : disk;
  for (let at = 0; at < Math.max(memory.length, left.length); at += BLOCKS_PER_PORTION) {
    await turn();
    if (output.isClosed) break;
    const end = at + BLOCKS_PER_PORTION;
    blocks.admitBlocks(output, bytes, {
      memory: memory.slice(at, end),
      disk: left.slice(at, end),
    });
  }
  return kept;
}

function hotOutputs(output: OpenTable, heat: Heat): Admission {
  const { smallest, largest } = output.meta;
  const met = heat.filter(
    (input) =>
      compareKeys(input.largest, smallest) >= 0 && compareKeys(input.smallest, largest) <= 0,
  );
  const inMemory = covering(
    output,
    met.flatMap(({ memory }) => memory),
  );
  const onDisk = covering(
    output,
    met.flatMap(({ disk }) => disk),
  );
  // What is worth memory is worth disk, too: it will leave memory one day.
  return { memory: inMemory, disk: [output.tail, ...union(inMemory, onDisk)] };
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
