/** The stateless queries as plain loops. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  bidTimeTypeOf,
  channelIdOf,
  countChar,
  dayOf,
  EURO_PER_DOLLAR,
  makeSideInput,
  minuteOf,
  SIDE_INPUT_ROWS,
} from '../functions.ts';
import type { Event } from '../model.ts';
import type { Emit } from './emit.ts';

export function q0Loop(events: readonly Event[], emit: Emit): void {
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { auction, bidder, price, dateTime, extra } = event;
    emit({ auction, bidder, price, dateTime, extra });
  }
}

export function q1Loop(events: readonly Event[], emit: Emit): void {
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { auction, bidder, price, dateTime, extra } = event;
    emit({ auction, bidder, price: EURO_PER_DOLLAR * price, dateTime, extra });
  }
}

export function q2Loop(events: readonly Event[], emit: Emit): void {
  for (const event of events) {
    if (event.kind !== 'bid' || event.auction % 123 !== 0) continue;
    emit({ auction: event.auction, price: event.price });
  }
}

const PART_BYTES = 1 << 16;

export function q10Loop(events: readonly Event[], emit: Emit, dir: string): void {
  const parts = new Map<string, { readonly path: string; text: string }>();
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { auction, bidder, price, dateTime, extra } = event;
    const dt = dayOf(dateTime);
    const hm = minuteOf(dateTime);
    const name = `dt=${dt}/hm=${hm.replace(':', '-')}`;
    let part = parts.get(name);
    if (part === undefined) {
      mkdirSync(join(dir, name), { recursive: true });
      part = { path: join(dir, name, 'part.csv'), text: '' };
      parts.set(name, part);
    }
    const row = { auction, bidder, price, dateTime, extra, dt, hm };
    part.text += `${auction},${bidder},${price},${dateTime},${extra},${dt},${hm}\n`;
    if (part.text.length > PART_BYTES) {
      writeFileSync(part.path, part.text, { flag: 'a' });
      part.text = '';
    }
    emit(row);
  }
  for (const { path, text } of parts.values()) writeFileSync(path, text, { flag: 'a' });
}

export function q13Loop(events: readonly Event[], emit: Emit): void {
  const table = makeSideInput();
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { auction, bidder, price, dateTime } = event;
    const value = table.get(auction % SIDE_INPUT_ROWS);
    if (value !== undefined) emit({ auction, bidder, price, dateTime, value });
  }
}

export function q14Loop(events: readonly Event[], emit: Emit): void {
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { auction, bidder, dateTime, extra } = event;
    const price = EURO_PER_DOLLAR * event.price;
    if (price <= 1_000_000 || price >= 50_000_000) continue;
    const bidTimeType = bidTimeTypeOf(dateTime);
    emit({ auction, bidder, price, bidTimeType, dateTime, extra, cCounts: countChar(extra, 'c') });
  }
}

export function q21Loop(events: readonly Event[], emit: Emit): void {
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const channelId = channelIdOf(event);
    if (channelId === undefined) continue;
    const { auction, bidder, price, channel } = event;
    emit({ auction, bidder, price, channel, channelId });
  }
}

export function q22Loop(events: readonly Event[], emit: Emit): void {
  for (const event of events) {
    if (event.kind !== 'bid') continue;
    const { auction, bidder, price, channel, url } = event;
    const parts = url.split('/');
    emit({ auction, bidder, price, channel, dir1: parts[3], dir2: parts[4], dir3: parts[5] });
  }
}
