/**
 * Which blocks are hot, as a checkpoint lists them, and warming a restored tree up from that list.
 *
 * The list is bounded, so that a manifest stays small. A restore reads what is listed in the background, a few requests at a time, while
 * records are processed already; whatever fails is left to the records that need it.
 *
 * In a manifest: of each table its number, in the order in which `data` names them, and its blocks' numbers in ascending order, each as the
 * difference to the one before, varints, as base64.
 */
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import type { TableMeta } from '../../lsm/table-meta.ts';
import type { TreeVersion } from '../../lsm/tree-version.ts';

/** 16 MiB of blocks, about 8 KiB of a manifest. */
const BLOCKS_MAX = 4096;
const BLOCKS_PER_TABLE_LEAST = 4;
/** Leave most of what the store may be asked at a time to records. */
const REQUESTS_AT_A_TIME = 4;
const TABLES_PER_SLICE = 16;

export interface HotTable {
  readonly table: number;
  readonly blocks: string;
}

/** What memory holds of a version's tables now, the hottest of each. */
export async function hotTables(
  tree: LsmTree,
  version: TreeVersion,
  yieldToLoop: () => Promise<void>,
): Promise<readonly HotTable[]> {
  const tables = version.runs.flatMap((run) => run.tables);
  const limit = Math.max(BLOCKS_PER_TABLE_LEAST, Math.floor(BLOCKS_MAX / tables.length));
  const hot: HotTable[] = [];
  let left = BLOCKS_MAX;
  for (const [table, { id }] of tables.entries()) {
    const blocks = tree.hotBlocks(id, Math.min(left, limit));
    left -= blocks.length;
    if (blocks.length > 0) hot.push({ table, blocks: encodeNumbers(blocks) });
    if (table % TABLES_PER_SLICE === TABLES_PER_SLICE - 1) await yieldToLoop();
  }
  return hot;
}

/** A table of a restored version, and its blocks that were hot. */
export interface WarmTable {
  readonly table: TableMeta;
  readonly blocks: readonly number[];
}

/** The list of a manifest beside the version it came with. What does not fit is left out: nothing depends on it. */
export function warmTables(
  version: TreeVersion,
  hot: readonly HotTable[] | undefined,
): readonly WarmTable[] {
  const tables = version.runs.flatMap((run) => run.tables);
  return (hot ?? []).flatMap(({ table, blocks }) => {
    const meta = tables[table];
    return meta === undefined ? [] : [{ table: meta, blocks: decodeNumbers(blocks) }];
  });
}

/** Settles when everything was read, or the signal says to stop; never rejects. */
export async function warmUp(
  tree: LsmTree,
  tables: readonly WarmTable[],
  signal: AbortSignal,
): Promise<void> {
  const queue = tables.values();
  const work = async (): Promise<void> => {
    for (const { table, blocks } of queue) {
      if (signal.aborted) return;
      await tree.prefetch(table, blocks, signal).catch(() => {});
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_A_TIME }, work));
}

function encodeNumbers(numbers: readonly number[]): string {
  const bytes: number[] = [];
  let last = 0;
  for (const number of numbers.toSorted((a, b) => a - b)) {
    let rest = number - last;
    last = number;
    for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
    bytes.push(rest);
  }
  return Buffer.from(bytes).toString('base64');
}

function decodeNumbers(text: string): readonly number[] {
  const numbers: number[] = [];
  let last = 0;
  let difference = 0;
  let shift = 0;
  for (const byte of Buffer.from(text, 'base64')) {
    difference |= (byte & 0x7f) << shift;
    shift += 7;
    if (byte >= 0x80) continue;
    last += difference;
    numbers.push(last);
    difference = 0;
    shift = 0;
  }
  return numbers;
}
