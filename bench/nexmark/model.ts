/** The Nexmark data model: an auction site's people, auctions and bids, with their schemas. Times are epoch milliseconds. */
import { type Infer, type Schema, t } from '../../src/index.ts';

const personFields = {
  id: t.int64(),
  name: t.string(),
  emailAddress: t.string(),
  creditCard: t.string(),
  city: t.string(),
  state: t.string(),
  dateTime: t.timestamp(),
  extra: t.string(),
};

const auctionFields = {
  id: t.int64(),
  itemName: t.string(),
  description: t.string(),
  initialBid: t.int64(),
  reserve: t.int64(),
  dateTime: t.timestamp(),
  expires: t.timestamp(),
  seller: t.int64(),
  category: t.int64(),
  extra: t.string(),
};

const bidFields = {
  auction: t.int64(),
  bidder: t.int64(),
  price: t.int64(),
  channel: t.string(),
  url: t.string(),
  dateTime: t.timestamp(),
  extra: t.string(),
};

export const personSchema = t.struct({ kind: t.enum('person'), ...personFields });
export type Person = Infer<typeof personSchema>;

export const auctionSchema = t.struct({ kind: t.enum('auction'), ...auctionFields });
export type Auction = Infer<typeof auctionSchema>;

export const bidSchema = t.struct({ kind: t.enum('bid'), ...bidFields });
export type Bid = Infer<typeof bidSchema>;

/** The one stream of the site. */
export type Event = Person | Auction | Bid;
export const eventSchema: Schema<Event> = t.union('kind', {
  person: t.struct(personFields),
  auction: t.struct(auctionFields),
  bid: t.struct(bidFields),
});
