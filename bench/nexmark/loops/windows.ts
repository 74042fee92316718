/** The queries with windows, as plain loops. Events come in order: a window is over when time is beyond it. */
import type { Bid, Event } from '../model.ts';
import type { Emit } from './emit.ts';

const SLIDE_MS = 2000;
const PANES = 5;
const WINDOW_MS = 10_000;

type Counts = Map<number, number>;

/** The hottest auctions of the window that begins with the pane at `start`. */
function emitHottest(panes: ReadonlyMap<number, Counts>, start: number, emit: Emit): void {
  const totals: Counts = new Map();
  for (let i = 0; i < PANES; i++) {
    for (const [auction, count] of panes.get(start + i * SLIDE_MS) ?? [])
      totals.set(auction, (totals.get(auction) ?? 0) + count);
  }
  let num = 0;
  for (const count of totals.values()) if (count > num) num = count;
  for (const [auction, count] of totals) if (count === num) emit({ auction, num, start });
}

export function q5Loop(events: readonly Event[], emit: Emit): void {
  const panes = new Map<number, Counts>();
  let current = Number.NEGATIVE_INFINITY;
  let pane: Counts = new Map();
  /** The first window that has not been emitted. */
  let next = Number.POSITIVE_INFINITY;
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { dateTime, auction } = event;
    if (dateTime >= current + SLIDE_MS) {
      current = dateTime - (dateTime % SLIDE_MS);
      if (next === Number.POSITIVE_INFINITY) next = current - WINDOW_MS + SLIDE_MS;
      for (; next + WINDOW_MS <= current; next += SLIDE_MS) {
        emitHottest(panes, next, emit);
        panes.delete(next);
      }
      pane = new Map();
      panes.set(current, pane);
    }
    pane.set(auction, (pane.get(auction) ?? 0) + 1);
  }
  for (; next <= current; next += SLIDE_MS) emitHottest(panes, next, emit);
}

export function q7Loop(events: readonly Event[], emit: Emit): void {
  let end = Number.NEGATIVE_INFINITY;
  let highest: Bid[] = [];
  const close = (): void => {
    for (const { auction, bidder, price, dateTime, extra } of highest)
      emit({ auction, bidder, price, dateTime, extra });
  };
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    if (event.dateTime >= end) {
      close();
      highest = [event];
      end = event.dateTime - (event.dateTime % WINDOW_MS) + WINDOW_MS;
    } else if (event.price > highest[0]!.price) highest = [event];
    else if (event.price === highest[0]!.price) highest.push(event);
  }
  close();
}

export function q8Loop(events: readonly Event[], emit: Emit): void {
  const people = new Map<number, string>();
  const sellers = new Set<number>();
  let end = Number.NEGATIVE_INFINITY;
  const close = (): void => {
    const start = end - WINDOW_MS;
    for (const [id, name] of people) if (sellers.has(id)) emit({ id, name, start });
    people.clear();
    sellers.clear();
  };
  for (const event of events) {
    if (event.kind === 'bid') continue;
    if (event.dateTime >= end) {
      close();
      end = event.dateTime - (event.dateTime % WINDOW_MS) + WINDOW_MS;
    }
    if (event.kind === 'person') people.set(event.id, event.name);
    else sellers.add(event.seller);
  }
  close();
}

interface Session {
  start: number;
  last: number;
  count: number;
}

export function q11Loop(events: readonly Event[], emit: Emit): void {
  const sessions = new Map<number, Session>();
  const close = (bidder: number, { start, last, count }: Session): void =>
    emit({ bidder, count, start, end: last + WINDOW_MS });
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { bidder, dateTime } = event;
    const session = sessions.get(bidder);
    if (session === undefined) {
      sessions.set(bidder, { start: dateTime, last: dateTime, count: 1 });
      continue;
    }
    if (dateTime - session.last > WINDOW_MS) {
      close(bidder, session);
      session.start = dateTime;
      session.count = 0;
    }
    session.last = dateTime;
    session.count++;
  }
  for (const [bidder, session] of sessions) close(bidder, session);
}

export function q12Loop(events: readonly Event[], emit: Emit): void {
  const counts: Counts = new Map();
  let start = 0;
  const close = (): void => {
    for (const [bidder, count] of counts) emit({ bidder, count, start, end: start + WINDOW_MS });
    counts.clear();
  };
  let read = 0;
  for (const event of events) {
    // The clock is read as often as an engine reads it that works in batches.
    if ((read++ & 1023) === 0) {
      const now = Date.now();
      if (now >= start + WINDOW_MS) {
        close();
        start = now - (now % WINDOW_MS);
      }
    }
    if (event.kind === 'bid') counts.set(event.bidder, (counts.get(event.bidder) ?? 0) + 1);
  }
  close();
}
