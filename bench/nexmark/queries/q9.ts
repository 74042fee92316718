/** Winning bids: each auction with its highest bid so far, the earlier of equals, while it was open. Continuous: a better bid replaces. */
import { type DataStream, listState, valueState } from '../../../src/index.ts';
import { type Auction, auctionSchema, type Bid, bidSchema, type Event } from '../model.ts';
import { dropEarly, waitFor } from './early-bids.ts';
import { auctionsOf, bidsOf } from './streams.ts';

const states = {
  auction: valueState(auctionSchema),
  best: valueState(bidSchema),
  early: listState(bidSchema),
};

export const q9 = (events: DataStream<Event>) =>
  auctionsOf(events)
    .keyBy('id')
    .connect(bidsOf(events).keyBy('auction'))
    .process<WinningBid, typeof states>({
      state: states,
      processElement1(auction, { state, timers }, out) {
        state.auction.value = auction;
        timers.registerEventTimeTimer(auction.expires);
        const early = state.early.get();
        let best: Bid | undefined;
        for (const bid of early) {
          if (!wins(bid, auction, best)) continue;
          best = bid;
          out.collect(winningBid(auction, bid));
        }
        if (best !== undefined) state.best.value = best;
        if (early.length > 0) state.early.clear();
      },
      processElement2(bid, { state, timers }, out) {
        const auction = state.auction.value;
        if (auction === undefined) {
          waitFor(state.early, timers, bid);
          return;
        }
        if (!wins(bid, auction, state.best.value)) return;
        state.best.value = bid;
        out.collect(winningBid(auction, bid));
      },
      onTimer(timestamp, { state, timers }) {
        dropEarly(state.early, timers, timestamp);
        if ((state.auction.value?.expires ?? 0) > timestamp) return;
        state.auction.clear();
        state.best.clear();
      },
    });

const wins = (bid: Bid, { dateTime, expires }: Auction, best: Bid | undefined): boolean =>
  bid.dateTime >= dateTime &&
  bid.dateTime <= expires &&
  (best === undefined ||
    bid.price > best.price ||
    (bid.price === best.price && bid.dateTime < best.dateTime));

export type WinningBid = ReturnType<typeof winningBid>;

export const winningBid = (auction: Auction, bid: Bid) => ({
  id: auction.id,
  itemName: auction.itemName,
  description: auction.description,
  initialBid: auction.initialBid,
  reserve: auction.reserve,
  dateTime: auction.dateTime,
  expires: auction.expires,
  seller: auction.seller,
  category: auction.category,
  extra: auction.extra,
  auction: bid.auction,
  bidder: bid.bidder,
  price: bid.price,
  bidDateTime: bid.dateTime,
  bidExtra: bid.extra,
});
