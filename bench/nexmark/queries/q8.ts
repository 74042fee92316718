/** Monitor new users: people who opened auctions in the ten seconds in which they came. */
import { type DataStream, t, TumblingEventTimeWindows } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { auctionsOf, peopleOf } from './streams.ts';

const WINDOW_MS = 10_000;
const newcomerSchema = t.struct({ id: t.int64(), name: t.string(), start: t.timestamp() });

export const q8 = (events: DataStream<Event>) =>
  peopleOf(events)
    .map(
      ({ id, name, dateTime }) => ({ id, name, start: dateTime - (dateTime % WINDOW_MS) }),
      newcomerSchema,
    )
    .coGroup(auctionsOf(events).map(({ seller }) => ({ seller }), t.struct({ seller: t.int64() })))
    .where(({ id }) => id, t.int64())
    .equalTo(({ seller }) => seller)
    .window(TumblingEventTimeWindows.of(WINDOW_MS))
    .coGroup<{ id: number; name: string; start: number }>((people, auctions, out) => {
      if (auctions.length > 0) for (const person of people) out.collect(person);
    });
