/**
 * Average price for a category: over all auctions of it, of the highest bid while the auction was open. Continuous: every bid that is the
 * highest of its auction so far changes the average of its category.
 */
import { type DataStream, listState, t, valueState } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { dropEarly, waitFor } from './early-bids.ts';
import { auctionsOf, bidsOf } from './streams.ts';

/** `previous` is 0 for the first bid of an auction: prices are positive. */
const raiseSchema = t.struct({ category: t.int64(), price: t.int64(), previous: t.int64() });
/** An auction and its highest bid so far, or 0. */
const auctionSchema = t.struct({
  category: t.int64(),
  dateTime: t.timestamp(),
  expires: t.timestamp(),
  highest: t.int64(),
});
const offerSchema = t.struct({ price: t.int64(), dateTime: t.timestamp() });

const openStates = {
  auction: valueState(auctionSchema),
  early: listState(offerSchema),
};

/** A bid that raises the highest price of its auction. */
const raises = (events: DataStream<Event>) =>
  auctionsOf(events)
    .keyBy('id')
    .connect(bidsOf(events).keyBy('auction'))
    .process(
      {
        state: openStates,
        processElement1({ category, dateTime, expires }, { state, timers }, out) {
          timers.registerEventTimeTimer(expires);
          const early = state.early.get();
          let previous = 0;
          for (const { price, dateTime: at } of early) {
            if (at < dateTime || at > expires || price <= previous) continue;
            out.collect({ category, price, previous });
            previous = price;
          }
          state.auction.value = { category, dateTime, expires, highest: previous };
          if (early.length > 0) state.early.clear();
        },
        processElement2({ price, dateTime }, { state, timers }, out) {
          const auction = state.auction.value;
          if (auction === undefined) {
            waitFor(state.early, timers, { price, dateTime });
            return;
          }
          const { category, expires, highest: previous } = auction;
          if (dateTime < auction.dateTime || dateTime > expires || price <= previous) return;
          state.auction.value = { category, dateTime: auction.dateTime, expires, highest: price };
          out.collect({ category, price, previous });
        },
        onTimer(timestamp, { state, timers }) {
          dropEarly(state.early, timers, timestamp);
          if ((state.auction.value?.expires ?? 0) <= timestamp) state.auction.clear();
        },
      },
      raiseSchema,
    )
    .uid('raises');

const totalSchema = t.struct({ sum: t.int64(), auctions: t.int64() });
const totalStates = { total: valueState(totalSchema, { default: { sum: 0, auctions: 0 } }) };

export interface CategoryAverage {
  readonly category: number;
  readonly average: number;
}

export const q4 = (events: DataStream<Event>) =>
  raises(events)
    .keyBy('category')
    .process<CategoryAverage, typeof totalStates>({
      state: totalStates,
      processElement({ category, price, previous }, { state }, out) {
        const { sum, auctions } = state.total.value;
        const total = {
          sum: sum + price - previous,
          auctions: previous === 0 ? auctions + 1 : auctions,
        };
        state.total.value = total;
        out.collect({ category, average: Math.floor(total.sum / total.auctions) });
      },
    });
