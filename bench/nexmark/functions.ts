/** Scalar functions of the queries, as SQL has them or as its user functions. All of time is in UTC. */
import type { Bid } from './model.ts';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

const dayNames = new Map<number, string>();
const minuteNames = Array.from({ length: DAY_MS / MINUTE_MS }, (_, minute) =>
  new Date(minute * MINUTE_MS).toISOString().slice(11, 16),
);

/** DATE_FORMAT(dateTime, 'yyyy-MM-dd') */
export function dayOf(dateTime: number): string {
  const day = Math.floor(dateTime / DAY_MS);
  let name = dayNames.get(day);
  if (name === undefined) {
    name = new Date(dateTime).toISOString().slice(0, 10);
    dayNames.set(day, name);
  }
  return name;
}

/** DATE_FORMAT(dateTime, 'HH:mm') */
export const minuteOf = (dateTime: number): string =>
  minuteNames[Math.floor((dateTime % DAY_MS) / MINUTE_MS)]!;

/** HOUR(dateTime) */
export const hourOf = (dateTime: number): number => Math.floor((dateTime % DAY_MS) / HOUR_MS);

/** The user function of q14: how often a character occurs. */
export function countChar(text: string, character: string): number {
  let count = 0;
  for (let at = text.indexOf(character); at !== -1; at = text.indexOf(character, at + 1)) count++;
  return count;
}

export function bidTimeTypeOf(dateTime: number): 'dayTime' | 'nightTime' | 'otherTime' {
  const hour = hourOf(dateTime);
  if (hour >= 8 && hour <= 18) return 'dayTime';
  return hour <= 6 || hour >= 20 ? 'nightTime' : 'otherTime';
}

/** q21: the id of a well-known channel, or the one in the bid's url; undefined where neither is. */
export function channelIdOf({ channel, url }: Bid): string | undefined {
  switch (channel.toLowerCase()) {
    case 'apple':
      return '0';
    case 'google':
      return '1';
    case 'facebook':
      return '2';
    case 'baidu':
      return '3';
    default:
      return /(?:&|^)channel_id=([^&]*)/u.exec(url)?.[1];
  }
}

export const EURO_PER_DOLLAR = 0.908;

/** q15 to q17 count bids by three ranks of price. */
export function rankOf(price: number): 1 | 2 | 3 {
  if (price < 10_000) return 1;
  return price < 1_000_000 ? 2 : 3;
}

/** q13: the bounded side input, keys 0 to 9,999. */
export const SIDE_INPUT_ROWS = 10_000;
export const makeSideInput = (): ReadonlyMap<number, string> =>
  new Map(Array.from({ length: SIDE_INPUT_ROWS }, (_, key) => [key, `side-${key}`]));
