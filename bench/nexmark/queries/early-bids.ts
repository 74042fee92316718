/**
 * Bids that come before their auction does. They wait with a timer at the first one's time: when the watermark has reached a bid, no auction
 * that opened before it can come any more.
 */
import type { ListState, TimerService } from '../../../src/index.ts';

interface Early {
  readonly dateTime: number;
}

export function waitFor<T extends Early>(early: ListState<T>, timers: TimerService, bid: T): void {
  if (early.get().length === 0) timers.registerEventTimeTimer(bid.dateTime);
  early.add(bid);
}

/** Drops the bids whose auction would be here if there were one; the others wait on. */
export function dropEarly<T extends Early>(
  early: ListState<T>,
  timers: TimerService,
  watermark: number,
): void {
  const bids = early.get();
  if (bids.length === 0) return;
  const later = bids.filter(({ dateTime }) => dateTime > watermark);
  early.update(later);
  if (later.length > 0) timers.registerEventTimeTimer(later[0]!.dateTime);
}
