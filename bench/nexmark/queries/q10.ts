/** Log to file system: bids as CSV files, in folders by day and minute. */
import { type DataStream, type Sink, t } from '../../../src/index.ts';
import { csv, fileSink } from '../../../connectors/files/index.ts';
import { dayOf, minuteOf } from '../functions.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

const loggedBidSchema = t.struct({
  auction: t.int64(),
  bidder: t.int64(),
  price: t.int64(),
  dateTime: t.timestamp(),
  extra: t.string(),
  dt: t.string(),
  hm: t.string(),
});

export interface LoggedBid {
  readonly auction: number;
  readonly bidder: number;
  readonly price: number;
  readonly dateTime: number;
  readonly extra: string;
  readonly dt: string;
  readonly hm: string;
}

export const q10 = (events: DataStream<Event>) =>
  bidsOf(events).map(({ auction, bidder, price, dateTime, extra }): LoggedBid => ({
    auction,
    bidder,
    price,
    dateTime,
    extra,
    dt: dayOf(dateTime),
    hm: minuteOf(dateTime),
  }));

/** Where its results go. */
export const q10Sink = (path: string): Sink<LoggedBid> =>
  fileSink({
    path,
    format: csv({ header: false, schema: loggedBidSchema }),
    extension: '.csv',
    bucketOf: ({ dt, hm }) => `dt=${dt}/hm=${hm.replace(':', '-')}`,
  });
