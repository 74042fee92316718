/** Get URL directories: a split. */
import type { DataStream } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

export const q22 = (events: DataStream<Event>) =>
  bidsOf(events).map(({ auction, bidder, price, channel, url }) => {
    const parts = url.split('/');
    return { auction, bidder, price, channel, dir1: parts[3], dir2: parts[4], dir3: parts[5] };
  });
