/** How many bids, bidders and auctions, in all and by three ranks of price: what q15 and q16 count. */
import { mapState, type MapState, t } from '../../../src/index.ts';
import { rankOf } from '../functions.ts';
import type { Bid } from '../model.ts';

export const statisticsFields = {
  totalBids: t.int64(),
  rank1Bids: t.int64(),
  rank2Bids: t.int64(),
  rank3Bids: t.int64(),
  totalBidders: t.int64(),
  rank1Bidders: t.int64(),
  rank2Bidders: t.int64(),
  rank3Bidders: t.int64(),
  totalAuctions: t.int64(),
  rank1Auctions: t.int64(),
  rank2Auctions: t.int64(),
  rank3Auctions: t.int64(),
};

export type BidStatistics = { readonly [N in keyof typeof statisticsFields]: number };

/** Who was seen in which ranks: one bit for each. */
export const seenStates = {
  bidders: mapState(t.int64(), t.int8()),
  auctions: mapState(t.int64(), t.int8()),
};

export interface Seen {
  readonly bidders: MapState<number, number>;
  readonly auctions: MapState<number, number>;
}

/** Marks `id` as seen in `rank` and returns the ranks in which it had been seen before. */
function see(seen: MapState<number, number>, id: number, rank: 1 | 2 | 3): number {
  const before = seen.get(id) ?? 0;
  const after = before | (1 << rank);
  if (after !== before) seen.put(id, after);
  return before;
}

/** The statistics with one bid more. */
export function withBid(
  before: BidStatistics | undefined,
  { auction, bidder, price }: Bid,
  seen: Seen,
): BidStatistics {
  const rank = rankOf(price);
  const bidderRanks = see(seen.bidders, bidder, rank);
  const auctionRanks = see(seen.auctions, auction, rank);
  const newBidder = (bidderRanks & (1 << rank)) === 0 ? 1 : 0;
  const newAuction = (auctionRanks & (1 << rank)) === 0 ? 1 : 0;
  const s = before ?? NOTHING;
  return {
    totalBids: s.totalBids + 1,
    rank1Bids: s.rank1Bids + (rank === 1 ? 1 : 0),
    rank2Bids: s.rank2Bids + (rank === 2 ? 1 : 0),
    rank3Bids: s.rank3Bids + (rank === 3 ? 1 : 0),
    totalBidders: s.totalBidders + (bidderRanks === 0 ? 1 : 0),
    rank1Bidders: s.rank1Bidders + (rank === 1 ? newBidder : 0),
    rank2Bidders: s.rank2Bidders + (rank === 2 ? newBidder : 0),
    rank3Bidders: s.rank3Bidders + (rank === 3 ? newBidder : 0),
    totalAuctions: s.totalAuctions + (auctionRanks === 0 ? 1 : 0),
    rank1Auctions: s.rank1Auctions + (rank === 1 ? newAuction : 0),
    rank2Auctions: s.rank2Auctions + (rank === 2 ? newAuction : 0),
    rank3Auctions: s.rank3Auctions + (rank === 3 ? newAuction : 0),
  };
}

const NOTHING: BidStatistics = {
  totalBids: 0,
  rank1Bids: 0,
  rank2Bids: 0,
  rank3Bids: 0,
  totalBidders: 0,
  rank1Bidders: 0,
  rank2Bidders: 0,
  rank3Bidders: 0,
  totalAuctions: 0,
  rank1Auctions: 0,
  rank2Auctions: 0,
  rank3Auctions: 0,
};
