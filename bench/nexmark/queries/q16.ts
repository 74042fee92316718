/** Channel statistics: as q15, for each channel and day, with the minute of the newest bid. */
import { type DataStream, t, valueState } from '../../../src/index.ts';
import { dayOf, minuteOf } from '../functions.ts';
import type { Event } from '../model.ts';
import { type BidStatistics, seenStates, statisticsFields, withBid } from './bid-statistics.ts';
import { bidsOf } from './streams.ts';

const states = {
  ...seenStates,
  statistics: valueState(t.struct(statisticsFields)),
  minute: valueState(t.string(), { default: '' }),
};

export interface ChannelStatistics {
  readonly channel: string;
  readonly day: string;
  readonly minute: string;
  readonly statistics: BidStatistics;
}

export const q16 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy(
      ({ channel, dateTime }) => [channel, dayOf(dateTime)] as const,
      t.tuple(t.string(), t.string()),
    )
    .process<ChannelStatistics, typeof states>({
      state: states,
      // A channel's sets grow with its bids.
      prefetch: { bidders: ({ bidder }) => [bidder], auctions: ({ auction }) => [auction] },
      processElement(bid, { key: [channel, day], state }, out) {
        const statistics = withBid(state.statistics.value, bid, state);
        state.statistics.value = statistics;
        let minute = state.minute.value;
        const current = minuteOf(bid.dateTime);
        if (current > minute) {
          minute = current;
          state.minute.value = minute;
        }
        out.collect({ channel, day, minute, statistics });
      },
    });
