/**
 * Bids that come before their auction does: they wait with a timer each. When it fires, no auction that opened before can come any more,
 * and no bid on one that has expired.
 */
import type { ListState } from '../../../src/index.ts';

/** Drops the bids whose auction would be here if there were one. */
export function dropEarly<T extends { readonly dateTime: number }>(
  early: ListState<T>,
  watermark: number,
): void {
  const bids = early.get();
  if (bids.length > 0) early.update(bids.filter(({ dateTime }) => dateTime > watermark));
}
