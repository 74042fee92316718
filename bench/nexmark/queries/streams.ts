/** The three streams in the one stream of events. */
import type { DataStream } from '../../../src/index.ts';
import {
  type Auction,
  auctionSchema,
  type Bid,
  bidSchema,
  type Event,
  type Person,
  personSchema,
} from '../model.ts';

export const peopleOf = (events: DataStream<Event>): DataStream<Person> =>
  events.filter((event) => event.kind === 'person').returns(personSchema);

export const auctionsOf = (events: DataStream<Event>): DataStream<Auction> =>
  events.filter((event) => event.kind === 'auction').returns(auctionSchema);

export const bidsOf = (events: DataStream<Event>): DataStream<Bid> =>
  events.filter((event) => event.kind === 'bid').returns(bidSchema);
