/** The queries that keep figures or records by key, as plain loops. */
import { dayOf, minuteOf, rankOf } from '../functions.ts';
import type { Bid, Event } from '../model.ts';
import { rankedBid } from '../queries/q19.ts';
import type { Emit } from './emit.ts';

class Statistics {
  readonly #bidders = new Map<number, number>();
  readonly #auctions = new Map<number, number>();
  #totalBids = 0;
  /** By rank, 1 to 3; at 0, of all ranks. */
  readonly #bids = [0, 0, 0, 0];
  readonly #distinctBidders = [0, 0, 0, 0];
  readonly #distinctAuctions = [0, 0, 0, 0];

  add({ auction, bidder, price }: Bid): void {
    const rank = rankOf(price);
    this.#totalBids++;
    this.#bids[rank]!++;
    distinct(this.#bidders, this.#distinctBidders, bidder, rank);
    distinct(this.#auctions, this.#distinctAuctions, auction, rank);
  }

  result(): object {
    const [, rank1Bids, rank2Bids, rank3Bids] = this.#bids;
    const [totalBidders, rank1Bidders, rank2Bidders, rank3Bidders] = this.#distinctBidders;
    const [totalAuctions, rank1Auctions, rank2Auctions, rank3Auctions] = this.#distinctAuctions;
    return {
      totalBids: this.#totalBids,
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
}

function distinct(seen: Map<number, number>, counts: number[], id: number, rank: 1 | 2 | 3): void {
  const ranks = seen.get(id) ?? 0;
  const bit = 1 << rank;
  if ((ranks & bit) !== 0) return;
  if (ranks === 0) counts[0]!++;
  counts[rank]!++;
  seen.set(id, ranks | bit);
}

export function q15Loop(events: readonly Event[], emit: Emit): void {
  const days = new Map<string, Statistics>();
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const day = dayOf(event.dateTime);
    let statistics = days.get(day);
    if (statistics === undefined) {
      statistics = new Statistics();
      days.set(day, statistics);
    }
    statistics.add(event);
    emit({ day, statistics: statistics.result() });
  }
}

export function q16Loop(events: readonly Event[], emit: Emit): void {
  const days = new Map<string, Map<string, { readonly of: Statistics; minute: string }>>();
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const day = dayOf(event.dateTime);
    let channels = days.get(day);
    if (channels === undefined) {
      channels = new Map();
      days.set(day, channels);
    }
    const { channel } = event;
    let statistics = channels.get(channel);
    if (statistics === undefined) {
      statistics = { of: new Statistics(), minute: '' };
      channels.set(channel, statistics);
    }
    statistics.of.add(event);
    const minute = minuteOf(event.dateTime);
    if (minute > statistics.minute) statistics.minute = minute;
    emit({ channel, day, minute: statistics.minute, statistics: statistics.of.result() });
  }
}

interface Prices {
  totalBids: number;
  readonly rankBids: [number, number, number, number];
  minPrice: number;
  maxPrice: number;
  sumPrice: number;
}

function emitPrices(auction: number, day: string, prices: Prices, emit: Emit): void {
  const { totalBids, rankBids, minPrice, maxPrice, sumPrice } = prices;
  emit({
    auction,
    day,
    totalBids,
    rank1Bids: rankBids[1],
    rank2Bids: rankBids[2],
    rank3Bids: rankBids[3],
    minPrice,
    maxPrice,
    avgPrice: Math.floor(sumPrice / totalBids),
    sumPrice,
  });
}

export function q17Loop(events: readonly Event[], emit: Emit): void {
  const days = new Map<string, Map<number, Prices>>();
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { auction, price } = event;
    const day = dayOf(event.dateTime);
    let auctions = days.get(day);
    if (auctions === undefined) {
      auctions = new Map();
      days.set(day, auctions);
    }
    let prices = auctions.get(auction);
    if (prices === undefined) {
      prices = {
        totalBids: 0,
        rankBids: [0, 0, 0, 0],
        minPrice: price,
        maxPrice: price,
        sumPrice: 0,
      };
      auctions.set(auction, prices);
    }
    prices.totalBids++;
    prices.rankBids[rankOf(price)]++;
    if (price < prices.minPrice) prices.minPrice = price;
    if (price > prices.maxPrice) prices.maxPrice = price;
    prices.sumPrice += price;
    emitPrices(auction, day, prices, emit);
  }
}

export function q18Loop(events: readonly Event[], emit: Emit): void {
  const bidders = new Map<number, Map<number, Bid>>();
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    let auctions = bidders.get(event.bidder);
    if (auctions === undefined) {
      auctions = new Map();
      bidders.set(event.bidder, auctions);
    }
    const last = auctions.get(event.auction);
    if (last !== undefined && event.dateTime < last.dateTime) continue;
    auctions.set(event.auction, event);
    emit(event);
  }
}

export function q19Loop(events: readonly Event[], emit: Emit): void {
  const tops = new Map<number, Bid[]>();
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    let top = tops.get(event.auction);
    if (top === undefined) {
      top = [];
      tops.set(event.auction, top);
    }
    let at = top.length;
    while (at > 0 && top[at - 1]!.price < event.price) at--;
    if (at >= 10) continue;
    top.splice(at, 0, event);
    if (top.length > 10) top.pop();
    for (; at < top.length; at++) emit(rankedBid(top[at]!, at + 1));
  }
}
