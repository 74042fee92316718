/** Expand bid with auction: bids on auctions of category 10, with the auction. A join without a window. */
import { type DataStream, listState, t, valueState } from '../../../src/index.ts';
import { type Auction, auctionSchema, type Bid, bidSchema, type Event } from '../model.ts';
import { auctionsOf, bidsOf } from './streams.ts';

const states = {
  auction: valueState(auctionSchema),
  /** The auction is there, and of another category: its bids need not wait. */
  isOther: valueState(t.boolean(), { default: false }),
  early: listState(bidSchema),
};

export const q20 = (events: DataStream<Event>) =>
  auctionsOf(events)
    .keyBy('id')
    .connect(bidsOf(events).keyBy('auction'))
    .process<ExpandedBid, typeof states>({
      state: states,
      processElement1(auction, { state }, out) {
        if (auction.category === 10) {
          state.auction.value = auction;
          for (const bid of state.early.get()) out.collect(expandedBid(bid, auction));
        } else {
          state.isOther.value = true;
        }
        state.early.clear();
      },
      processElement2(bid, { state }, out) {
        const auction = state.auction.value;
        if (auction !== undefined) out.collect(expandedBid(bid, auction));
        else if (!state.isOther.value) state.early.add(bid);
      },
    });

export type ExpandedBid = ReturnType<typeof expandedBid>;

export const expandedBid = (bid: Bid, auction: Auction) => ({
  auction: bid.auction,
  bidder: bid.bidder,
  price: bid.price,
  channel: bid.channel,
  url: bid.url,
  bidDateTime: bid.dateTime,
  bidExtra: bid.extra,
  itemName: auction.itemName,
  description: auction.description,
  initialBid: auction.initialBid,
  reserve: auction.reserve,
  auctionDateTime: auction.dateTime,
  expires: auction.expires,
  seller: auction.seller,
  category: auction.category,
  auctionExtra: auction.extra,
});
