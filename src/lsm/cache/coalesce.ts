/**
 * Which blocks share a request. A request costs money, about 100 us of CPU and a place in the queue; bytes in between cost bandwidth.
 *
 * Blocks of one file share a request when the gap between them is at most `gapBytesMax` and the request stays within `requestBytesMax`.
 */
import type { BlockAddress, BlockRead, StoredFile } from '../block-source.ts';

export interface CoalesceLimits {
  readonly gapBytesMax: number;
  readonly requestBytesMax: number;
}

export interface BlockRequest {
  readonly file: StoredFile;
  /** In the order of the file, each once. */
  readonly blocks: readonly BlockAddress[];
  /** From the start of the file. */
  readonly start: number;
  readonly end: number;
}

export function coalesce(reads: readonly BlockRead[], limits: CoalesceLimits): BlockRequest[] {
  const sorted = reads.toSorted(
    (a, b) => a.file.fileNo - b.file.fileNo || a.block.offset - b.block.offset,
  );
  const requests: { file: StoredFile; blocks: BlockAddress[]; start: number; end: number }[] = [];
  for (const { file, block } of sorted) {
    const last = requests.at(-1);
    const end = block.offset + block.length;
    if (last === undefined || last.file.fileNo !== file.fileNo || !joins(last, block, limits)) {
      requests.push({ file, blocks: [block], start: block.offset, end });
    } else if (last.blocks.at(-1)!.index !== block.index) {
      last.blocks.push(block);
      last.end = end;
    }
  }
  return requests;
}

function joins(
  request: { readonly start: number; readonly end: number },
  block: BlockAddress,
  { gapBytesMax, requestBytesMax }: CoalesceLimits,
): boolean {
  const end = block.offset + block.length;
  if (end === request.end) return true;
  return block.offset - request.end <= gapBytesMax && end - request.start <= requestBytesMax;
}
