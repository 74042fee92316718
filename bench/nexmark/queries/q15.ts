/** Bidding statistics: bids, distinct bidders and distinct auctions of each day, by rank of price. Every bid yields the new figures. */
import { type DataStream, t, valueState } from '../../../src/index.ts';
import { dayOf } from '../functions.ts';
import type { Event } from '../model.ts';
import { type BidStatistics, seenStates, statisticsFields, withBid } from './bid-statistics.ts';
import { bidsOf } from './streams.ts';

const states = { ...seenStates, statistics: valueState(t.struct(statisticsFields)) };

export interface DayStatistics {
  readonly day: string;
  readonly statistics: BidStatistics;
}

export const q15 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy(({ dateTime }) => dayOf(dateTime), t.string())
    .process<DayStatistics, typeof states>({
      state: states,
      processElement(bid, { key, state }, out) {
        const statistics = withBid(state.statistics.value, bid, state);
        state.statistics.value = statistics;
        out.collect({ day: key, statistics });
      },
    });
