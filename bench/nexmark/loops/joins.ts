/** The queries that join, as plain loops. */
import type { Auction, Bid, Event, Person } from '../model.ts';
import { expandedBid } from '../queries/q20.ts';
import { userBid } from '../queries/q23.ts';
import { winningBid } from '../queries/q9.ts';
import type { Emit } from './emit.ts';

/** The list under a key, made when there is none. */
function listAt<T>(lists: Map<number, T[]>, key: number): T[] {
  let list = lists.get(key);
  if (list === undefined) {
    list = [];
    lists.set(key, list);
  }
  return list;
}

export function q3Loop(events: readonly Event[], emit: Emit): void {
  const sellers = new Map<number, Person>();
  const waiting = new Map<number, number[]>();
  for (const event of events) {
    if (event.kind === 'auction') {
      if (event.category !== 10) continue;
      const seller = sellers.get(event.seller);
      if (seller === undefined) listAt(waiting, event.seller).push(event.id);
      else emit({ name: seller.name, city: seller.city, state: seller.state, id: event.id });
    } else if (event.kind === 'person') {
      const { id: seller, name, city, state } = event;
      if (state !== 'OR' && state !== 'ID' && state !== 'CA') continue;
      sellers.set(seller, event);
      for (const id of waiting.get(seller) ?? []) emit({ name, city, state, id });
      waiting.delete(seller);
    }
  }
}

interface Open {
  readonly auction: Auction;
  best: Bid | undefined;
}

/** Calls back for each bid that is the best of its auction so far. */
function eachBetterBid(
  events: readonly Event[],
  onBetter: (open: Open, bid: Bid, previous: Bid | undefined) => void,
): Map<number, Open> {
  const auctions = new Map<number, Open>();
  const early = new Map<number, Bid[]>();
  const offer = (open: Open, bid: Bid): void => {
    const { auction, best } = open;
    if (bid.dateTime < auction.dateTime || bid.dateTime > auction.expires) return;
    if (best !== undefined && bid.price <= best.price) return;
    open.best = bid;
    onBetter(open, bid, best);
  };
  for (const event of events) {
    if (event.kind === 'bid') {
      const open = auctions.get(event.auction);
      if (open === undefined) listAt(early, event.auction).push(event);
      else offer(open, event);
    } else if (event.kind === 'auction') {
      const open: Open = { auction: event, best: undefined };
      auctions.set(event.id, open);
      const bids = early.get(event.id);
      if (bids === undefined) continue;
      for (const bid of bids) offer(open, bid);
      early.delete(event.id);
    }
  }
  return auctions;
}

export function q4Loop(events: readonly Event[], emit: Emit): void {
  const totals = new Map<number, { sum: number; auctions: number }>();
  eachBetterBid(events, ({ auction: { category } }, { price }, previous) => {
    let total = totals.get(category);
    if (total === undefined) {
      total = { sum: 0, auctions: 0 };
      totals.set(category, total);
    }
    total.sum += price - (previous?.price ?? 0);
    if (previous === undefined) total.auctions++;
    emit({ category, average: Math.floor(total.sum / total.auctions) });
  });
}

export function q6Loop(events: readonly Event[], emit: Emit): void {
  const closed = [...eachBetterBid(events, () => {}).values()]
    .filter(({ best }) => best !== undefined)
    .toSorted((a, b) => a.auction.expires - b.auction.expires || a.auction.id - b.auction.id);
  const prices = new Map<number, number[]>();
  for (const { auction, best } of closed) {
    const list = listAt(prices, auction.seller);
    list.push(best!.price);
    if (list.length > 10) list.shift();
    let sum = 0;
    for (const price of list) sum += price;
    emit({ seller: auction.seller, average: Math.floor(sum / list.length) });
  }
}

export function q9Loop(events: readonly Event[], emit: Emit): void {
  eachBetterBid(events, ({ auction }, bid) => emit(winningBid(auction, bid)));
}

export function q20Loop(events: readonly Event[], emit: Emit): void {
  const auctions = new Map<number, Auction>();
  const early = new Map<number, Bid[]>();
  for (const event of events) {
    if (event.kind === 'bid') {
      const auction = auctions.get(event.auction);
      if (auction === undefined) listAt(early, event.auction).push(event);
      else if (auction.category === 10) emit(expandedBid(event, auction));
    } else if (event.kind === 'auction') {
      auctions.set(event.id, event);
      const bids = early.get(event.id);
      if (bids === undefined) continue;
      if (event.category === 10) for (const bid of bids) emit(expandedBid(bid, event));
      early.delete(event.id);
    }
  }
}

interface User {
  person: Person | undefined;
  readonly auctions: Auction[];
  readonly bids: Bid[];
}

export function q23Loop(events: readonly Event[], emit: Emit): void {
  const users = new Map<number, User>();
  const userAt = (id: number): User => {
    let user = users.get(id);
    if (user === undefined) {
      user = { person: undefined, auctions: [], bids: [] };
      users.set(id, user);
    }
    return user;
  };
  for (const event of events) {
    if (event.kind === 'bid') {
      const { person, auctions, bids } = userAt(event.bidder);
      bids.push(event);
      if (person !== undefined)
        for (const auction of auctions) emit(userBid(event, person, auction));
    } else if (event.kind === 'auction') {
      const { person, auctions, bids } = userAt(event.seller);
      auctions.push(event);
      if (person !== undefined) for (const bid of bids) emit(userBid(bid, person, event));
    } else {
      const user = userAt(event.id);
      user.person = event;
      for (const bid of user.bids)
        for (const auction of user.auctions) emit(userBid(bid, event, auction));
    }
  }
}
