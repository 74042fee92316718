/** Bounded side input join: bids with what a table of 10,000 rows, read when the job starts, says of their auction. */
import type { DataStream } from '../../../src/index.ts';
import { makeSideInput, SIDE_INPUT_ROWS } from '../functions.ts';
import type { Bid, Event } from '../model.ts';
import { bidsOf } from './streams.ts';

export interface AnnotatedBid {
  readonly auction: number;
  readonly bidder: number;
  readonly price: number;
  readonly dateTime: number;
  readonly value: string;
}

export const q13 = (events: DataStream<Event>) => {
  let table: ReadonlyMap<number, string> = new Map();
  return bidsOf(events).process<AnnotatedBid>({
    open() {
      table = makeSideInput();
    },
    processElement({ auction, bidder, price, dateTime }: Bid, _context, out) {
      const value = table.get(auction % SIDE_INPUT_ROWS);
      if (value !== undefined) out.collect({ auction, bidder, price, dateTime, value });
    },
  });
};
