/** Local item suggestion: who is selling in Oregon, Idaho or California, in category 10. A join without a window. */
import { type DataStream, listState, t, valueState } from '../../../src/index.ts';
import type { Event } from '../model.ts';
import { auctionsOf, peopleOf } from './streams.ts';

const sellerSchema = t.struct({ name: t.string(), city: t.string(), state: t.string() });

export interface LocalItem {
  readonly name: string;
  readonly city: string;
  readonly state: string;
  readonly id: number;
}

export const q3 = (events: DataStream<Event>) => {
  const auctions = auctionsOf(events).filter(({ category }) => category === 10);
  const people = peopleOf(events).filter(
    ({ state }) => state === 'OR' || state === 'ID' || state === 'CA',
  );
  return auctions
    .keyBy('seller')
    .connect(people.keyBy('id'))
    .process<LocalItem, typeof states>({
      state: states,
      processElement1({ id }, { state }, out) {
        const seller = state.seller.value;
        if (seller === undefined) state.waiting.add(id);
        else out.collect({ name: seller.name, city: seller.city, state: seller.state, id });
      },
      // A person comes once: the auctions that waited are answered, and later ones need not be kept.
      processElement2(person, { state }, out) {
        const { name, city, state: home } = person;
        state.seller.value = { name, city, state: home };
        for (const id of state.waiting.get()) out.collect({ name, city, state: home, id });
        state.waiting.clear();
      },
    });
};

const states = { seller: valueState(sellerSchema), waiting: listState(t.int64()) };
