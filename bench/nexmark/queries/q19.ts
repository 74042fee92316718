/** Auction top ten: the ten highest bids of each auction with their ranks; of equals, the earlier. A bid yields every rank that it changes. */
import { type DataStream, t, valueState } from '../../../src/index.ts';
import { type Bid, bidSchema, type Event } from '../model.ts';
import { bidsOf } from './streams.ts';

const TOP = 10;
const states = { top: valueState(t.array(bidSchema), { default: [] }) };

export const q19 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy('auction')
    .process<RankedBid, typeof states>({
      state: states,
      processElement(bid, { state }, out) {
        const top = state.top.value;
        let rank = top.length;
        while (rank > 0 && top[rank - 1]!.price < bid.price) rank--;
        if (rank >= TOP) return;
        const changed = [...top.slice(0, rank), bid, ...top.slice(rank, TOP - 1)];
        state.top.value = changed;
        for (; rank < changed.length; rank++) out.collect(rankedBid(changed[rank]!, rank + 1));
      },
    });

export type RankedBid = ReturnType<typeof rankedBid>;

export const rankedBid = (bid: Bid, rank: number) => ({
  auction: bid.auction,
  bidder: bid.bidder,
  price: bid.price,
  channel: bid.channel,
  url: bid.url,
  dateTime: bid.dateTime,
  extra: bid.extra,
  rank,
});
