/**
 * Monitor new users: people who opened auctions in the ten seconds in which they came. A window keeps of a user the name and whether
 * there was an auction, instead of all rows as a `coGroup` would.
 */
import { type DataStream, t, TumblingEventTimeWindows } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { auctionsOf, peopleOf } from './streams.ts';

/** What is known of a user: who came has a name. */
const userSchema = t.struct({ id: t.int64(), name: t.optional(t.string()), sells: t.boolean() });
const newcomerSchema = t.struct({ id: t.int64(), name: t.string(), start: t.timestamp() });

export const q8 = (events: DataStream<Event>) =>
  peopleOf(events)
    .map(({ id, name }) => ({ id, name, sells: false }), userSchema)
    .union(auctionsOf(events).map(({ seller }) => ({ id: seller, sells: true }), userSchema))
    .keyBy('id')
    .window(TumblingEventTimeWindows.of('10 s'))
    .reduce(
      (user, { name, sells }) =>
        name === undefined && user.sells
          ? user
          : { id: user.id, name: name ?? user.name, sells: sells || user.sells },
      {
        process(id, { window }, [user], out) {
          if (user?.sells === true && user.name !== undefined)
            out.collect({ id, name: user.name, start: window.start });
        },
      },
      newcomerSchema,
    );
