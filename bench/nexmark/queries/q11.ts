/** User sessions: how many bids a bidder made until ten seconds passed without one. */
import { type DataStream, EventTimeSessionWindows } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { countOf } from './aggregates.ts';
import { bidsOf } from './streams.ts';

export const q11 = (events: DataStream<Event>) =>
  bidsOf(events)
    .keyBy('bidder')
    .window(EventTimeSessionWindows.withGap('10 s'))
    .aggregate(countOf(), (bidder, { start, end }, count) => ({ bidder, count, start, end }));
