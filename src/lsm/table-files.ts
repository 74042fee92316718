/**
 * Where a tree's files are written. Names are never used again: the attempt that writes is in them.
 */
import { internal } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
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

/**
 * Stores an object that is not there yet: files are never written over, whatever mistake a name comes from.
 * @throws `internal` FILE_EXISTS
 */
export async function createObject(
  store: Pick<ObjectStore, 'putIfAbsent'>,
  key: string,
  bytes: Uint8Array,
): Promise<void> {
  const { outcome } = await store.putIfAbsent(key, bytes);
  if (outcome === 'conflict')
    throw internal('FILE_EXISTS', `object ${key} exists already; it was not written over`);
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
