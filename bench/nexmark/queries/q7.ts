/** Highest bid: the bids with the highest price of each ten seconds. */
import { type DataStream, t, TumblingEventTimeWindows } from '../../../src/index.ts';
import { bidSchema, type Event } from '../model.ts';
import { pickLargest } from './aggregates.ts';
import { bidsOf } from './streams.ts';

/** In how many parts the maximum is sought before one subtask compares theirs. */
const PARTS = 64;

export const q7 = (events: DataStream<Event>) => {
  const highest = pickLargest(bidSchema, ({ price }) => price);
  return bidsOf(events)
    .keyBy(({ bidder }) => bidder % PARTS, t.int64())
    .window(TumblingEventTimeWindows.of('10 s'))
    .aggregate({ ...highest, resultSchema: t.array(bidSchema) })
    .flatMap((bids) => bids, bidSchema)
    .windowAll(TumblingEventTimeWindows.of('10 s'))
    .aggregate(highest)
    .flatMap((bids) => bids)
    .map(({ auction, bidder, price, dateTime, extra }) => ({
      auction,
      bidder,
      price,
      dateTime,
      extra,
    }));
};
