/** Calculation: filters, a case distinction and a user function. */
import type { DataStream } from '../../../src/index.ts';
import { bidTimeTypeOf, countChar, EURO_PER_DOLLAR } from '../functions.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

export const q14 = (events: DataStream<Event>) =>
  bidsOf(events)
    .filter(({ price }) => {
      const euro = EURO_PER_DOLLAR * price;
      return euro > 1_000_000 && euro < 50_000_000;
    })
    .map(({ auction, bidder, price, dateTime, extra }) => ({
      auction,
      bidder,
      price: EURO_PER_DOLLAR * price,
      bidTimeType: bidTimeTypeOf(dateTime),
      dateTime,
      extra,
      cCounts: countChar(extra, 'c'),
    }));
