/**
 * Everything a bidder bid, with who he is and what he sells: bids, people and auctions joined by one user, without a window. All three
 * have the same key, so that one operator joins them, without intermediate results.
 */
import { type DataStream, listState, t, valueState } from '../../../src/index.ts';
import {
  type Auction,
  auctionSchema,
  type Bid,
  bidSchema,
  type Event,
  type Person,
  personSchema,
} from '../model.ts';

const states = {
  person: valueState(personSchema),
  auctions: listState(auctionSchema),
  bids: listState(bidSchema),
};

const userOf = (event: Event): number => {
  if (event.kind === 'bid') return event.bidder;
  return event.kind === 'auction' ? event.seller : event.id;
};

export const q23 = (events: DataStream<Event>) =>
  events.keyBy(userOf, t.int64()).process<UserBid, typeof states>({
    state: states,
    processElement(event, { state }, out) {
      const person = event.kind === 'person' ? event : state.person.value;
      if (event.kind === 'bid') {
        state.bids.add(event);
        if (person === undefined) return;
        for (const auction of state.auctions.get()) out.collect(userBid(event, person, auction));
      } else if (event.kind === 'auction') {
        state.auctions.add(event);
        if (person === undefined) return;
        for (const bid of state.bids.get()) out.collect(userBid(bid, person, event));
      } else {
        state.person.value = event;
        for (const bid of state.bids.get())
          for (const auction of state.auctions.get()) out.collect(userBid(bid, event, auction));
      }
    },
  });

export type UserBid = ReturnType<typeof userBid>;

export const userBid = (bid: Bid, person: Person, auction: Auction) => ({
  bidder: bid.bidder,
  price: bid.price,
  channel: bid.channel,
  url: bid.url,
  bidExtra: bid.extra,
  personId: person.id,
  name: person.name,
  emailAddress: person.emailAddress,
  creditCard: person.creditCard,
  city: person.city,
  state: person.state,
  personExtra: person.extra,
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
