/** Processing-time windows: how many bids a bidder makes in each ten seconds of the clock on the wall. */
import { type DataStream, TumblingProcessingTimeWindows } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { countOf } from './aggregates.ts';
import { bidsOf } from './streams.ts';

export const q12 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy('bidder')
    .window(TumblingProcessingTimeWindows.of('10 s'))
    .aggregate(countOf(), (bidder, { start, end }, count) => ({ bidder, count, start, end }));
