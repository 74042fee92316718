/** Auction statistics: bids by rank of price, and prices, of each auction and day. Every bid yields the new figures. */
import { type DataStream, t, valueState } from '../../../src/index.ts';
import { dayOf, rankOf } from '../functions.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

const states = {
  statistics: valueState(
    t.struct({
      auction: t.int64(),
      day: t.string(),
      totalBids: t.int64(),
      rank1Bids: t.int64(),
      rank2Bids: t.int64(),
      rank3Bids: t.int64(),
      minPrice: t.int64(),
      maxPrice: t.int64(),
      avgPrice: t.int64(),
      sumPrice: t.int64(),
    }),
  ),
};

export interface AuctionStatistics {
  readonly auction: number;
  readonly day: string;
  readonly totalBids: number;
  readonly rank1Bids: number;
  readonly rank2Bids: number;
  readonly rank3Bids: number;
  readonly minPrice: number;
  readonly maxPrice: number;
  readonly avgPrice: number;
  readonly sumPrice: number;
}

export const q17 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy(
      ({ auction, dateTime }) => [auction, dayOf(dateTime)] as const,
      t.tuple(t.int64(), t.string()),
    )
    .process<AuctionStatistics, typeof states>({
      state: states,
      processElement({ auction, price }, { key: [, day], state }, out) {
        const before = state.statistics.value;
        const rank = rankOf(price);
        const totalBids = (before?.totalBids ?? 0) + 1;
        const sumPrice = (before?.sumPrice ?? 0) + price;
        const statistics: AuctionStatistics = {
          auction,
          day,
          totalBids,
          rank1Bids: (before?.rank1Bids ?? 0) + (rank === 1 ? 1 : 0),
          rank2Bids: (before?.rank2Bids ?? 0) + (rank === 2 ? 1 : 0),
          rank3Bids: (before?.rank3Bids ?? 0) + (rank === 3 ? 1 : 0),
          minPrice: Math.min(before?.minPrice ?? price, price),
          maxPrice: Math.max(before?.maxPrice ?? price, price),
          avgPrice: Math.floor(sumPrice / totalBids),
          sumPrice,
        };
        state.statistics.value = statistics;
        out.collect(statistics);
      },
    });
