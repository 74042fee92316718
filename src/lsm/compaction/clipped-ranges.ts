/** Range deletes of an open table, within its clip. */
import { compareKeys } from '../key-order.ts';
import type { OpenedTable } from '../entry-cursor.ts';
import type { KeyRange } from '../table-format.ts';

export function clippedRanges({ table, parts }: OpenedTable): readonly KeyRange[] {
  const { meta } = table;
  const { rangeDeletes } = parts;
  if (!meta.clipped) return rangeDeletes;
  const after = new Uint8Array(meta.largest.length + 1);
  after.set(meta.largest);
  return rangeDeletes.flatMap(({ from, to }) => {
    const low = compareKeys(from, meta.smallest) < 0 ? meta.smallest : from;
    const high = compareKeys(to, after) > 0 ? after : to;
    return compareKeys(low, high) < 0 ? [{ from: low, to: high }] : [];
  });
}
