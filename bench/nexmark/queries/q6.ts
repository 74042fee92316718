/**
 * Average selling price by seller: of the last ten auctions that closed. Flink SQL cannot run it (an OVER window cannot take retractions);
 * this is the definition of the original paper and of Beam: an auction closes when it expires, its price is the highest bid while it was
 * open (one without bids does not count), and every closing auction yields a new average of its seller. Auctions of one seller
 * that expire at the same time close in the order of their ids.
 */
import { type DataStream, listState, t, valueState } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { dropEarly, waitFor } from './early-bids.ts';
import { auctionsOf, bidsOf } from './streams.ts';

const SALES = 10;

const saleSchema = t.struct({
  auction: t.int64(),
  seller: t.int64(),
  price: t.int64(),
  closed: t.timestamp(),
});
const openStates = {
  /** With its highest bid so far, or 0. */
  auction: valueState(
    t.struct({
      seller: t.int64(),
      dateTime: t.timestamp(),
      expires: t.timestamp(),
      highest: t.int64(),
    }),
  ),
  early: listState(t.struct({ price: t.int64(), dateTime: t.timestamp() })),
};

const sales = (events: DataStream<Event>) =>
  auctionsOf(events)
    .keyBy('id')
    .connect(bidsOf(events).keyBy('auction'))
    .process(
      {
        state: openStates,
        processElement1({ seller, dateTime, expires }, { state, timers }) {
          timers.registerEventTimeTimer(expires);
          const early = state.early.get();
          let highest = 0;
          for (const { price, dateTime: at } of early)
            if (at >= dateTime && at <= expires && price > highest) highest = price;
          state.auction.value = { seller, dateTime, expires, highest };
          if (early.length > 0) state.early.clear();
        },
        processElement2({ price, dateTime }, { state, timers }) {
          const auction = state.auction.value;
          if (auction === undefined) {
            waitFor(state.early, timers, { price, dateTime });
            return;
          }
          const { seller, expires, highest } = auction;
          if (dateTime < auction.dateTime || dateTime > expires || price <= highest) return;
          state.auction.value = { seller, dateTime: auction.dateTime, expires, highest: price };
        },
        onTimer(timestamp, { key, state, timers }, out) {
          dropEarly(state.early, timers, timestamp);
          const auction = state.auction.value;
          if (auction === undefined || auction.expires > timestamp) return;
          const { seller, highest: price } = auction;
          if (price > 0) out.collect({ auction: key, seller, price, closed: timestamp });
          state.auction.clear();
        },
      },
      saleSchema,
    )
    .uid('sales');

const sellerStates = {
  /** Sales that the watermark has not reached: they come in any order. */
  pending: listState(saleSchema),
  prices: valueState(t.array(t.int64()), { default: [] }),
};

export interface SellerAverage {
  readonly seller: number;
  readonly average: number;
}

export const q6 = (events: DataStream<Event>) =>
  sales(events)
    .keyBy('seller')
    .process<SellerAverage, typeof sellerStates>({
      state: sellerStates,
      processElement(sale, { state, timers }) {
        state.pending.add(sale);
        timers.registerEventTimeTimer(sale.closed);
      },
      onTimer(timestamp, { key, state }, out) {
        const pending = state.pending.get();
        const closing = pending
          .filter(({ closed }) => closed === timestamp)
          .toSorted((a, b) => a.auction - b.auction);
        let prices = state.prices.value;
        for (const { price } of closing) {
          prices = [...prices, price].slice(-SALES);
          const sum = prices.reduce((a, b) => a + b);
          out.collect({ seller: key, average: Math.floor(sum / prices.length) });
        }
        state.prices.value = prices;
        state.pending.update(pending.filter(({ closed }) => closed !== timestamp));
      },
    });
