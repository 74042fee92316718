/** Hot items: the auctions with most bids in the last ten seconds, every two seconds. */
import {
  type DataStream,
  SlidingEventTimeWindows,
  t,
  TumblingEventTimeWindows,
} from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { countOf, pickLargest } from './aggregates.ts';
import { bidsOf } from './streams.ts';

const countSchema = t.struct({ auction: t.int64(), num: t.int64(), start: t.timestamp() });

export const q5 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy('auction')
    .window(SlidingEventTimeWindows.of('10 s', '2 s'))
    .aggregate(countOf(), (auction, { start }, num) => ({ auction, num, start }), countSchema)
    // Results of one window carry its last millisecond: those of each fall into two seconds of their own.
    .windowAll(TumblingEventTimeWindows.of('2 s'))
    .aggregate(pickLargest(countSchema, ({ num }) => num))
    .flatMap((hottest) => hottest);
