/**
 * What each query has to yield for events that are all there: group, filter, sort over arrays, in the words of the query and
 * without regard to cost. Loops and programs are tested against it. Results that later ones replace are here as the last ones.
 */
import type { Auction, Bid, Event, Person } from './model.ts';

const HOT = ['apple', 'google', 'facebook', 'baidu'];
const iso = (ms: number): string => new Date(ms).toISOString();
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const groups = <T, K>(values: readonly T[], keyOf: (value: T) => K): readonly (readonly T[])[] => [
  ...Map.groupBy(values, keyOf).values(),
];
const windowOf = (ms: number, size: number): number => Math.floor(ms / size) * size;

class Site {
  readonly people: readonly Person[];
  readonly auctions: readonly Auction[];
  readonly bids: readonly Bid[];

  constructor(events: readonly Event[]) {
    this.people = events.filter((event) => event.kind === 'person');
    this.auctions = events.filter((event) => event.kind === 'auction');
    this.bids = events.filter((event) => event.kind === 'bid');
  }

  /** Each auction that had valid bids, with the best: highest, then earliest, then first to come. */
  winners(): readonly { readonly auction: Auction; readonly bid: Bid }[] {
    const bidsOn = Map.groupBy(this.bids, ({ auction }) => auction);
    return this.auctions.flatMap((auction) => {
      const valid = (bidsOn.get(auction.id) ?? []).filter(
        ({ dateTime }) => dateTime >= auction.dateTime && dateTime <= auction.expires,
      );
      const best = valid.toSorted((a, b) => b.price - a.price || a.dateTime - b.dateTime)[0];
      return best === undefined ? [] : [{ auction, bid: best }];
    });
  }
}

const project = ({ auction, bidder, price, dateTime, extra }: Bid) => ({
  auction,
  bidder,
  price,
  dateTime,
  extra,
});

function statistics(bids: readonly Bid[]) {
  const inRank = [
    bids,
    bids.filter(({ price }) => price < 10_000),
    bids.filter(({ price }) => price >= 10_000 && price < 1_000_000),
    bids.filter(({ price }) => price >= 1_000_000),
  ];
  const [totalBids, rank1Bids, rank2Bids, rank3Bids] = inRank.map((some) => some.length);
  const [totalBidders, rank1Bidders, rank2Bidders, rank3Bidders] = inRank.map(
    (some) => new Set(some.map(({ bidder }) => bidder)).size,
  );
  const [totalAuctions, rank1Auctions, rank2Auctions, rank3Auctions] = inRank.map(
    (some) => new Set(some.map(({ auction }) => auction)).size,
  );
  return {
    totalBids,
    rank1Bids,
    rank2Bids,
    rank3Bids,
    totalBidders,
    rank1Bidders,
    rank2Bidders,
    rank3Bidders,
    totalAuctions,
    rank1Auctions,
    rank2Auctions,
    rank3Auctions,
  };
}

const channelId = ({ channel, url }: Bid): string | undefined => {
  const hot = HOT.indexOf(channel.toLowerCase());
  if (hot !== -1) return String(hot);
  return url.includes('&channel_id=') ? url.split('&channel_id=')[1]!.split('&')[0] : undefined;
};

const timeType = (ms: number): string => {
  const hour = new Date(ms).getUTCHours();
  if (hour >= 8 && hour <= 18) return 'dayTime';
  return hour <= 6 || hour >= 20 ? 'nightTime' : 'otherTime';
};

type Reference = (site: Site) => readonly object[];

const SIMPLE: Readonly<Record<string, Reference>> = {
  q0: ({ bids }) => bids.map(project),
  q1: ({ bids }) => bids.map((bid) => ({ ...project(bid), price: 0.908 * bid.price })),
  q2: ({ bids }) =>
    bids
      .filter(({ auction }) => auction % 123 === 0)
      .map(({ auction, price }) => ({ auction, price })),
  q10: ({ bids }) =>
    bids.map((bid) => ({
      ...project(bid),
      dt: iso(bid.dateTime).slice(0, 10),
      hm: iso(bid.dateTime).slice(11, 16),
    })),
  q13: ({ bids }) =>
    bids.map(({ auction, bidder, price, dateTime }) => ({
      auction,
      bidder,
      price,
      dateTime,
      value: `side-${auction % 10_000}`,
    })),
  q14: ({ bids }) =>
    bids
      .map((bid) => ({
        ...project(bid),
        price: 0.908 * bid.price,
        bidTimeType: timeType(bid.dateTime),
        cCounts: bid.extra.split('c').length - 1,
      }))
      .filter(({ price }) => price > 1_000_000 && price < 50_000_000),
  q21: ({ bids }) =>
    bids
      .map((bid) => ({
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price,
        channel: bid.channel,
        channelId: channelId(bid),
      }))
      .filter((bid) => bid.channelId !== undefined),
  q22: ({ bids }) =>
    bids.map(({ auction, bidder, price, channel, url }) => {
      const [, , , dir1, dir2, dir3] = url.split('/');
      return { auction, bidder, price, channel, dir1, dir2, dir3 };
    }),
};

const JOINS: Readonly<Record<string, Reference>> = {
  q3: ({ auctions, people }) =>
    auctions
      .filter(({ category }) => category === 10)
      .flatMap(({ id, seller }) =>
        people
          .filter((person) => person.id === seller && ['OR', 'ID', 'CA'].includes(person.state))
          .map(({ name, city, state }) => ({ name, city, state, id })),
      ),
  q4: (site) =>
    groups(site.winners(), ({ auction }) => auction.category).map((winners) => ({
      category: winners[0]!.auction.category,
      average: Math.floor(sum(winners.map(({ bid }) => bid.price)) / winners.length),
    })),
  q6: (site) =>
    groups(site.winners(), ({ auction }) => auction.seller).flatMap((winners) => {
      const closed = winners.toSorted(
        (a, b) => a.auction.expires - b.auction.expires || a.auction.id - b.auction.id,
      );
      return closed.map(({ auction: { seller } }, i) => {
        const last = closed.slice(Math.max(0, i - 9), i + 1);
        return {
          seller,
          average: Math.floor(sum(last.map(({ bid }) => bid.price)) / last.length),
        };
      });
    }),
  q9: (site) =>
    site.winners().map(({ auction: { kind: _kind, ...auction }, bid }) => ({
      ...auction,
      auction: bid.auction,
      bidder: bid.bidder,
      price: bid.price,
      bidDateTime: bid.dateTime,
      bidExtra: bid.extra,
    })),
  q20: ({ auctions, bids }) => {
    const byId = new Map(auctions.map((auction) => [auction.id, auction]));
    return bids.flatMap((bid) => {
      const auction = byId.get(bid.auction);
      if (auction?.category !== 10) return [];
      const { kind: _kind, id: _id, dateTime, extra, ...rest } = auction;
      return {
        ...rest,
        auctionDateTime: dateTime,
        auctionExtra: extra,
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price,
        channel: bid.channel,
        url: bid.url,
        bidDateTime: bid.dateTime,
        bidExtra: bid.extra,
      };
    });
  },
  q23: ({ people, auctions, bids }) => {
    const byId = new Map(people.map((person) => [person.id, person]));
    const bySeller = Map.groupBy(auctions, ({ seller }) => seller);
    return bids.flatMap((bid) => {
      const person = byId.get(bid.bidder);
      if (person === undefined) return [];
      const { kind: _kind, id: personId, dateTime: _dateTime, extra: personExtra, ...who } = person;
      return (bySeller.get(bid.bidder) ?? []).map(
        ({ kind: _k, id: _i, dateTime, extra, ...auction }) => ({
          ...who,
          personId,
          personExtra,
          ...auction,
          auctionDateTime: dateTime,
          auctionExtra: extra,
          bidder: bid.bidder,
          price: bid.price,
          channel: bid.channel,
          url: bid.url,
          bidExtra: bid.extra,
        }),
      );
    });
  },
};

/** Sessions of bids that are in order of time. */
function sessionsOf(bids: readonly Bid[]): readonly (readonly Bid[])[] {
  const sessions: Bid[][] = [];
  for (const bid of bids) {
    const last = sessions.at(-1)?.at(-1);
    if (last !== undefined && bid.dateTime - last.dateTime <= 10_000) sessions.at(-1)!.push(bid);
    else sessions.push([bid]);
  }
  return sessions;
}

const WINDOWS: Readonly<Record<string, Reference>> = {
  q5: ({ bids }) => {
    const inWindows = bids.flatMap((bid) =>
      [0, 2000, 4000, 6000, 8000].map((back) => ({
        auction: bid.auction,
        start: windowOf(bid.dateTime, 2000) - back,
      })),
    );
    return groups(inWindows, ({ start }) => start).flatMap((window) => {
      const counts = groups(window, ({ auction }) => auction);
      const most = Math.max(...counts.map(({ length }) => length));
      return counts
        .filter(({ length }) => length === most)
        .map(([first]) => ({ ...first, num: most }));
    });
  },
  q7: ({ bids }) =>
    groups(bids, ({ dateTime }) => windowOf(dateTime, 10_000)).flatMap((window) => {
      const highest = Math.max(...window.map(({ price }) => price));
      return window.filter(({ price }) => price === highest).map(project);
    }),
  q8: ({ people, auctions }) =>
    people
      .map(({ id, name, dateTime }) => ({ id, name, start: windowOf(dateTime, 10_000) }))
      .filter(({ id, start }) =>
        auctions.some(
          ({ seller, dateTime }) => seller === id && windowOf(dateTime, 10_000) === start,
        ),
      ),
  q11: ({ bids }) =>
    groups(bids, ({ bidder }) => bidder)
      .flatMap(sessionsOf)
      .map((session) => ({
        bidder: session[0]!.bidder,
        count: session.length,
        start: session[0]!.dateTime,
        end: session.at(-1)!.dateTime + 10_000,
      })),
};

const STATISTICS: Readonly<Record<string, Reference>> = {
  q15: ({ bids }) =>
    groups(bids, ({ dateTime }) => iso(dateTime).slice(0, 10)).map((ofDay) => ({
      day: iso(ofDay[0]!.dateTime).slice(0, 10),
      statistics: statistics(ofDay),
    })),
  q16: ({ bids }) =>
    groups(bids, ({ channel, dateTime }) => `${channel} ${iso(dateTime).slice(0, 10)}`).map(
      (some) => ({
        channel: some[0]!.channel,
        day: iso(some[0]!.dateTime).slice(0, 10),
        minute: some
          .map(({ dateTime }) => iso(dateTime).slice(11, 16))
          .toSorted()
          .at(-1),
        statistics: statistics(some),
      }),
    ),
  q17: ({ bids }) =>
    groups(bids, ({ auction, dateTime }) => `${auction} ${iso(dateTime).slice(0, 10)}`).map(
      (some) => {
        const prices = some.map(({ price }) => price);
        const { totalBids, rank1Bids, rank2Bids, rank3Bids } = statistics(some);
        return {
          auction: some[0]!.auction,
          day: iso(some[0]!.dateTime).slice(0, 10),
          totalBids,
          rank1Bids,
          rank2Bids,
          rank3Bids,
          minPrice: Math.min(...prices),
          maxPrice: Math.max(...prices),
          avgPrice: Math.floor(sum(prices) / prices.length),
          sumPrice: sum(prices),
        };
      },
    ),
  q18: ({ bids }) =>
    groups(bids, ({ bidder, auction }) => `${bidder} ${auction}`).map(
      (some) => some.toReversed().toSorted((a, b) => b.dateTime - a.dateTime)[0]!,
    ),
  q19: ({ bids }) =>
    groups(bids, ({ auction }) => auction).flatMap((some) =>
      some
        .toSorted((a, b) => b.price - a.price)
        .slice(0, 10)
        .map(({ kind: _kind, ...bid }, i) => ({ ...bid, rank: i + 1 })),
    ),
};

const REFERENCES: Readonly<Record<string, Reference>> = {
  ...SIMPLE,
  ...JOINS,
  ...WINDOWS,
  ...STATISTICS,
};

/** The results of a query over events that come in order of time; undefined for q12, whose results depend on the clock. */
export function referenceOf(
  query: string,
  events: readonly Event[],
): readonly object[] | undefined {
  return REFERENCES[query]?.(new Site(events));
}
