/**
 * Where a tree's files are written. Names are never used again: the attempt that writes is in them.
 */
import type { TableMeta } from './table-meta.ts';

export interface WrittenFile {
  readonly id: string;
  readonly object: string;
  readonly offset: number;
}

export interface TableFiles {
  /**
   * Stores a file; settles when it is durable. Small files of several trees may come to share an object, and wait for each other a little.
   * `bytes` may be used again after it has settled.
   */
  write(bytes: Uint8Array): Promise<WrittenFile>;
}

/** Metadata of a finished file at its place. */
export function placedTable(
  file: WrittenFile,
  finished: Omit<TableMeta, 'id' | 'object' | 'offset' | 'length' | 'clipped'> & {
    readonly bytes: Uint8Array;
  },
): TableMeta {
  return {
    id: file.id,
    object: file.object,
    offset: file.offset,
    length: finished.bytes.length,
    smallest: finished.smallest,
    largest: finished.largest,
    entries: finished.entries,
    deletes: finished.deletes,
    rangeDeletes: finished.rangeDeletes,
    merges: finished.merges,
    minEpoch: finished.minEpoch,
    maxEpoch: finished.maxEpoch,
    maxExpiryMs: finished.maxExpiryMs,
    metaOffset: finished.metaOffset,
    clipped: false,
  };
}
