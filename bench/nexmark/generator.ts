/**
 * The Nexmark generator: event `n` of a seed is always the same event, so that any split of the stream over subtasks, and any
 * replay, yields the same records.
 *
 * Proportions and distributions are those of the Nexmark reference generator: of every 50 events 1 is a person, 3 are
 * auctions, 46 are bids; hot auctions, bidders and sellers; sizes padded to 200, 500 and 100 bytes. Two traps of the
 * reference are mended: randomness is seeded (its runs differ), and a bidder id carries the first person id once, not
 * twice (there, many bids name people who do not exist).
 *
 * Cost: a bid allocates one object and reuses pooled strings for channel and url; the padding is a slice of a fixed text.
 */
import type { Auction, Bid, Event, Person } from './model.ts';

const PERSON_SHARE = 1;
const AUCTION_SHARE = 3;
const GROUP = 50;
const FIRST_ID = 1000;
const FIRST_CATEGORY = 10;
const CATEGORIES = 5;
const IN_FLIGHT_AUCTIONS = 100;
const ACTIVE_PEOPLE = 1000;
const ID_LEAD = 10;
const HOT_AUCTION_RATIO = 2;
const HOT_BIDDER_RATIO = 4;
const HOT_SELLER_RATIO = 4;
const HOT_STRIDE = 100;
const CHANNELS = 10_000;

const HOT_CHANNELS = ['Google', 'Facebook', 'Baidu', 'Apple'];
const FIRST_NAMES = [
  'Peter',
  'Paul',
  'Luke',
  'John',
  'Saul',
  'Vicky',
  'Kate',
  'Julie',
  'Sarah',
  'Deiter',
  'Walter',
];
const LAST_NAMES = [
  'Shultz',
  'Abrams',
  'Spencer',
  'White',
  'Bartels',
  'Walton',
  'Smith',
  'Jones',
  'Noris',
];
const CITIES = [
  'Phoenix',
  'Los Angeles',
  'San Francisco',
  'Boise',
  'Portland',
  'Bend',
  'Redmond',
  'Seattle',
  'Kent',
  'Cheyenne',
];
const STATES = ['AZ', 'CA', 'ID', 'OR', 'WA', 'WY'];

export interface NexmarkOptions {
  readonly seed: number;
  /** Event time of event 0, epoch milliseconds. */
  readonly baseTimeMs: number;
  /** Events per second of event time. */
  readonly eventsPerSecond: number;
}

export const NEXMARK_DEFAULTS: NexmarkOptions = {
  seed: 42,
  baseTimeMs: 1_436_918_400_000,
  eventsPerSecond: 100_000,
};

export class NexmarkGenerator {
  readonly #options: NexmarkOptions;
  readonly #delayMs: number;
  readonly #channels: string[];
  readonly #urls: string[];
  readonly #padding: string;
  #state = 1;

  constructor(options: Partial<NexmarkOptions> = {}) {
    this.#options = { ...NEXMARK_DEFAULTS, ...options };
    this.#delayMs = 1000 / this.#options.eventsPerSecond;
    this.#reseed(-1);
    this.#channels = Array.from({ length: CHANNELS }, (_, i) => `channel-${i}`);
    this.#urls = Array.from({ length: CHANNELS + HOT_CHANNELS.length }, (_, i) => this.#makeUrl(i));
    this.#padding = Array.from({ length: 2048 }, () =>
      String.fromCharCode(97 + this.#below(26)),
    ).join('');
  }

  /** Which kind event `n` is. */
  static kindOf(n: number): 'person' | 'auction' | 'bid' {
    const offset = n % GROUP;
    if (offset < PERSON_SHARE) return 'person';
    return offset < PERSON_SHARE + AUCTION_SHARE ? 'auction' : 'bid';
  }

  timestampOf(n: number): number {
    return this.#options.baseTimeMs + Math.floor(n * this.#delayMs);
  }

  person(n: number): Person {
    this.#reseed(n);
    const id = FIRST_ID + lastPersonOf(n);
    const name = `${pick(FIRST_NAMES, this.#below(FIRST_NAMES.length))} ${pick(LAST_NAMES, this.#below(LAST_NAMES.length))}`;
    const emailAddress = `${this.#text(7)}@${this.#text(5)}.com`;
    const creditCard = `${this.#digits()} ${this.#digits()} ${this.#digits()} ${this.#digits()}`;
    const city = pick(CITIES, this.#below(CITIES.length));
    const state = pick(STATES, this.#below(STATES.length));
    const size =
      8 + name.length + emailAddress.length + creditCard.length + city.length + state.length;
    return {
      kind: 'person',
      id,
      name,
      emailAddress,
      creditCard,
      city,
      state,
      dateTime: this.timestampOf(n),
      extra: this.#pad(size, 200),
    };
  }

  auction(n: number): Auction {
    this.#reseed(n);
    const id = FIRST_ID + lastAuctionOf(n);
    const hotSeller = this.#below(HOT_SELLER_RATIO) > 0;
    const seller = hotSeller ? hot(lastPersonOf(n)) + FIRST_ID : this.#personNear(n);
    const category = FIRST_CATEGORY + this.#below(CATEGORIES);
    const initialBid = this.#price();
    const dateTime = this.timestampOf(n);
    const expires = dateTime + this.#auctionLifeMs(n);
    const itemName = this.#text(20);
    const description = this.#text(100);
    const reserve = initialBid + this.#price();
    const size = 56 + itemName.length + description.length;
    return {
      kind: 'auction',
      id,
      itemName,
      description,
      initialBid,
      reserve,
      dateTime,
      expires,
      seller,
      category,
      extra: this.#pad(size, 500),
    };
  }

  bid(n: number): Bid {
    this.#reseed(n);
    const auction =
      this.#below(HOT_AUCTION_RATIO) > 0 ? hot(lastAuctionOf(n)) + FIRST_ID : this.#auctionNear(n);
    const bidder =
      this.#below(HOT_BIDDER_RATIO) > 0 ? hot(lastPersonOf(n)) + 1 + FIRST_ID : this.#personNear(n);
    const price = this.#price();
    const hotChannel = this.#below(2) > 0;
    const index = this.#below(hotChannel ? HOT_CHANNELS.length : CHANNELS);
    const channel = hotChannel ? HOT_CHANNELS[index]! : this.#channels[index]!;
    const url = this.#urls[hotChannel ? CHANNELS + index : index]!;
    return {
      kind: 'bid',
      auction,
      bidder,
      price,
      channel,
      url,
      dateTime: this.timestampOf(n),
      extra: this.#pad(32 + channel.length + url.length, 100),
    };
  }

  event(n: number): Event {
    const kind = NexmarkGenerator.kindOf(n);
    if (kind === 'bid') return this.bid(n);
    return kind === 'person' ? this.person(n) : this.auction(n);
  }

  #reseed(n: number): void {
    // Murmur3's 32-bit finaliser: neighbouring n start far apart.
    let h = (this.#options.seed ^ Math.imul(n + 1, 0x9e3779b1)) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    this.#state = (h ^ (h >>> 16)) | 1;
  }

  /** Uniform in [0, bound): xorshift32 (Marsaglia 2003) and a multiply-shift. */
  #below(bound: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return Math.floor(((x >>> 0) / 4_294_967_296) * bound);
  }

  #price(): number {
    return Math.round(10 ** ((this.#below(1 << 30) / (1 << 30)) * 6) * 100);
  }

  #auctionNear(n: number): number {
    const last = lastAuctionOf(n);
    const first = Math.max(last - IN_FLIGHT_AUCTIONS, 0);
    return FIRST_ID + first + this.#below(last - first + 1 + ID_LEAD);
  }

  #personNear(n: number): number {
    const people = lastPersonOf(n) + 1;
    const active = Math.min(people, ACTIVE_PEOPLE);
    return FIRST_ID + people - active + this.#below(active + ID_LEAD);
  }

  #auctionLifeMs(n: number): number {
    // As long as it takes until IN_FLIGHT_AUCTIONS more auctions have opened, on average.
    const eventsPerAuction = GROUP / AUCTION_SHARE;
    const horizon =
      this.timestampOf(n + Math.ceil(IN_FLIGHT_AUCTIONS * eventsPerAuction)) - this.timestampOf(n);
    return 1 + this.#below(Math.max(horizon * 2, 1));
  }

  #makeUrl(channel: number): string {
    const path = `https://www.nexmark.com/${this.#letters(5)}/${this.#letters(5)}/${this.#letters(5)}/item.htm?query=1`;
    return channel < CHANNELS && channel % 10 === 0 ? path : `${path}&channel_id=${channel}`;
  }

  #letters(length: number): string {
    let out = '';
    for (let i = 0; i < length; i++) out += String.fromCharCode(97 + this.#below(26));
    return out;
  }

  #digits(): string {
    return String(1000 + this.#below(9000));
  }

  #text(lengthMax: number): string {
    const length = 3 + this.#below(lengthMax - 2);
    const start = this.#below(1024);
    return this.#padding.slice(start, start + length);
  }

  #pad(size: number, target: number): string {
    const missing = target - size;
    if (missing <= 0) return '';
    const spread = Math.round(missing * 0.2);
    const length = missing - spread + this.#below(2 * spread + 1);
    const start = this.#below(1024);
    return this.#padding.slice(start, start + length);
  }
}

const pick = (list: readonly string[], index: number): string => list[index]!;

const hot = (id: number): number => id - (id % HOT_STRIDE);

/** Index of the newest person at event n. */
function lastPersonOf(n: number): number {
  return Math.floor(n / GROUP);
}

/** Index of the newest auction at event n; -1 before the first is taken as 0. */
function lastAuctionOf(n: number): number {
  const group = Math.floor(n / GROUP);
  const offset = n % GROUP;
  if (offset < PERSON_SHARE) return Math.max(group * AUCTION_SHARE - 1, 0);
  return group * AUCTION_SHARE + Math.min(offset - PERSON_SHARE, AUCTION_SHARE - 1);
}
