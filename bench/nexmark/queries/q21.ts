/** Add channel id: a lookup by name, else a regular expression over the url. */
import type { DataStream } from '../../../src/index.ts';
import { channelIdOf } from '../functions.ts';
import type { Event } from '../model.ts';
import { bidsOf } from './streams.ts';

export const q21 = (events: DataStream<Event>) =>
  bidsOf(events)
    .map((bid) => ({
      auction: bid.auction,
      bidder: bid.bidder,
      price: bid.price,
      channel: bid.channel,
      channelId: channelIdOf(bid),
    }))
    .filter(({ channelId }) => channelId !== undefined);
