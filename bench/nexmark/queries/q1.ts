/** Currency conversion: bids in euro. */
import type { DataStream } from '../../../src/index.ts';
import { EURO_PER_DOLLAR } from '../functions.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

export const q1 = (events: DataStream<Event>) =>
  bidsOf(events).map(({ auction, bidder, price, dateTime, extra }) => ({
    auction,
    bidder,
    price: EURO_PER_DOLLAR * price,
    dateTime,
    extra,
  }));
