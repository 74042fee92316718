/** Selection: bids on certain auctions. */
import type { DataStream } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

export const q2 = (events: DataStream<Event>) =>
  bidsOf(events)
    .filter(({ auction }) => auction % 123 === 0)
    .map(({ auction, price }) => ({ auction, price }));
