/** Pass through: what the engine costs by itself. */
import type { DataStream } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

export const q0 = (events: DataStream<Event>) =>
  bidsOf(events).map(({ auction, bidder, price, dateTime, extra }) => ({
    auction,
    bidder,
    price,
    dateTime,
    extra,
  }));
