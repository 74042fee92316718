/** Find last bid: the newest bid of each bidder on each auction; of equals in time, the one that came later. Every newer bid replaces. */
import { type DataStream, valueState } from '../../../src/index.ts';
import { type Bid, bidSchema, type Event } from '../model.ts';
import { bidsOf } from './streams.ts';

const states = { last: valueState(bidSchema) };

export const q18 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy('bidder', 'auction')
    .process<Bid, typeof states>({
      state: states,
      processElement(bid, { state }, out) {
        const last = state.last.value;
        if (last !== undefined && bid.dateTime < last.dateTime) return;
        state.last.value = bid;
        out.collect(bid);
      },
    });
