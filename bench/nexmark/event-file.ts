/**
 * Nexmark events as a file that Millrace and its peers read alike; the layout is in README.md beside this. Rows are in event order, and a
 * row can be skipped by its length without being understood.
 *
 * Cost: reading makes one object and its strings per row; channels and urls, of which there are some ten thousand, are made once.
 */
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import { NEXMARK_DEFAULTS, NexmarkGenerator, type NexmarkOptions } from './generator.ts';
import type { Auction, Bid, Event, Person } from './model.ts';

export const HEADER_BYTES = 64;
export const MAGIC = 'NEXMARK1';
export const KIND_PERSON = 0;
export const KIND_AUCTION = 1;
export const KIND_BID = 2;

const CHUNK_BYTES = 1 << 20;
const ROW_BYTES_MAX = 4096;

export interface EventFileHeader extends NexmarkOptions {
  readonly events: number;
}

/** Appends rows to a chunk; the caller takes what is full. */
class RowWriter {
  readonly #bytes = Buffer.alloc(CHUNK_BYTES + ROW_BYTES_MAX);
  #at = 0;

  get isFull(): boolean {
    return this.#at >= CHUNK_BYTES;
  }

  take(): Buffer {
    const chunk = Buffer.from(this.#bytes.subarray(0, this.#at));
    this.#at = 0;
    return chunk;
  }

  person(person: Person): void {
    const start = this.#begin(KIND_PERSON, person.dateTime);
    this.#int64(person.id);
    this.#text(person.name);
    this.#text(person.emailAddress);
    this.#text(person.creditCard);
    this.#text(person.city);
    this.#text(person.state);
    this.#text(person.extra);
    this.#end(start);
  }

  auction(auction: Auction): void {
    const start = this.#begin(KIND_AUCTION, auction.dateTime);
    this.#int64(auction.id);
    this.#int64(auction.initialBid);
    this.#int64(auction.reserve);
    this.#int64(auction.expires);
    this.#int64(auction.seller);
    this.#int64(auction.category);
    this.#text(auction.itemName);
    this.#text(auction.description);
    this.#text(auction.extra);
    this.#end(start);
  }

  bid(bid: Bid): void {
    const start = this.#begin(KIND_BID, bid.dateTime);
    this.#int64(bid.auction);
    this.#int64(bid.bidder);
    this.#int64(bid.price);
    this.#text(bid.channel);
    this.#text(bid.url);
    this.#text(bid.extra);
    this.#end(start);
  }

  #begin(kind: number, dateTime: number): number {
    const start = this.#at;
    this.#bytes[start + 4] = kind;
    this.#at = start + 5;
    this.#int64(dateTime);
    return start;
  }

  #end(start: number): void {
    this.#bytes.writeUInt32LE(this.#at - start - 4, start);
  }

  #int64(value: number): void {
    this.#bytes.writeUInt32LE(value % 4_294_967_296, this.#at);
    this.#bytes.writeInt32LE(Math.floor(value / 4_294_967_296), this.#at + 4);
    this.#at += 8;
  }

  /** Every text of the generator is ASCII. */
  #text(text: string): void {
    this.#bytes.writeUInt16LE(text.length, this.#at);
    this.#bytes.write(text, this.#at + 2, 'latin1');
    this.#at += 2 + text.length;
  }
}

function encodeHeader({ events, seed, baseTimeMs, eventsPerSecond }: EventFileHeader): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeBigInt64LE(BigInt(events), 8);
  header.writeBigInt64LE(BigInt(seed), 16);
  header.writeBigInt64LE(BigInt(baseTimeMs), 24);
  header.writeBigInt64LE(BigInt(eventsPerSecond), 32);
  return header;
}

/** Writes events 0 to `events - 1` of a seed. */
export async function writeEventFile(
  path: string,
  { events, ...given }: Partial<NexmarkOptions> & { readonly events: number },
): Promise<void> {
  const options: NexmarkOptions = { ...NEXMARK_DEFAULTS, ...given };
  const generator = new NexmarkGenerator(options);
  const rows = new RowWriter();
  const out = createWriteStream(path);
  out.write(encodeHeader({ ...options, events }));
  for (let n = 0; n < events; n++) {
    const kind = NexmarkGenerator.kindOf(n);
    if (kind === 'bid') rows.bid(generator.bid(n));
    else if (kind === 'auction') rows.auction(generator.auction(n));
    else rows.person(generator.person(n));
    if (rows.isFull && !out.write(rows.take())) await once(out, 'drain');
  }
  out.end(rows.take());
  await once(out, 'finish');
}

/** Reads rows one after another; what a value of a field is, is in README.md. */
class RowReader {
  readonly #bytes: Buffer;
  readonly #shared = new Map<string, string>();
  #at = HEADER_BYTES;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  next(): Event {
    const length = this.#bytes.readUInt32LE(this.#at);
    const end = this.#at + 4 + length;
    if (end > this.#bytes.length)
      throw new RangeError(`the row at byte ${this.#at} ends beyond the file: it was cut`);
    const kind = this.#bytes[this.#at + 4];
    this.#at += 5;
    const event = this.#row(kind, this.#int64());
    if (this.#at !== end)
      throw new RangeError(`a row of kind ${kind} ends at byte ${this.#at}, not at ${end}`);
    return event;
  }

  #row(kind: number | undefined, dateTime: number): Event {
    if (kind === KIND_BID) return this.#bid(dateTime);
    if (kind === KIND_AUCTION) return this.#auction(dateTime);
    if (kind === KIND_PERSON) return this.#person(dateTime);
    throw new RangeError(`a row of kind ${kind}: known are 0 to 2`);
  }

  #person(dateTime: number): Person {
    return {
      kind: 'person',
      id: this.#int64(),
      name: this.#text(),
      emailAddress: this.#text(),
      creditCard: this.#text(),
      city: this.#sharedText(),
      state: this.#sharedText(),
      dateTime,
      extra: this.#text(),
    };
  }

  #auction(dateTime: number): Auction {
    const id = this.#int64();
    const initialBid = this.#int64();
    const reserve = this.#int64();
    const expires = this.#int64();
    const seller = this.#int64();
    const category = this.#int64();
    return {
      kind: 'auction',
      id,
      itemName: this.#text(),
      description: this.#text(),
      initialBid,
      reserve,
      dateTime,
      expires,
      seller,
      category,
      extra: this.#text(),
    };
  }

  #bid(dateTime: number): Bid {
    return {
      kind: 'bid',
      auction: this.#int64(),
      bidder: this.#int64(),
      price: this.#int64(),
      channel: this.#sharedText(),
      url: this.#sharedText(),
      dateTime,
      extra: this.#text(),
    };
  }

  #int64(): number {
    const at = this.#at;
    this.#at = at + 8;
    return this.#bytes.readUInt32LE(at) + this.#bytes.readInt32LE(at + 4) * 4_294_967_296;
  }

  #text(): string {
    const length = this.#bytes.readUInt16LE(this.#at);
    const start = this.#at + 2;
    this.#at = start + length;
    return this.#bytes.toString('latin1', start, this.#at);
  }

  #sharedText(): string {
    const text = this.#text();
    const known = this.#shared.get(text);
    if (known !== undefined) return known;
    this.#shared.set(text, text);
    return text;
  }
}

/** @throws RangeError when the bytes are no event file */
export function readHeader(bytes: Buffer): EventFileHeader {
  if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, 8) !== MAGIC)
    throw new RangeError(`no Nexmark event file: it does not begin with ${MAGIC}`);
  return {
    events: Number(bytes.readBigInt64LE(8)),
    seed: Number(bytes.readBigInt64LE(16)),
    baseTimeMs: Number(bytes.readBigInt64LE(24)),
    eventsPerSecond: Number(bytes.readBigInt64LE(32)),
  };
}

/** All events of a file, in order. @throws RangeError when it is no event file, or was cut */
export async function readEventFile(path: string): Promise<readonly Event[]> {
  const bytes = await readFile(path);
  const header = readHeader(bytes);
  const reader = new RowReader(bytes);
  const events: Event[] = [];
  while (!reader.isAtEnd) events.push(reader.next());
  if (events.length !== header.events)
    throw new RangeError(`${path} holds ${events.length} of ${header.events} events: it was cut`);
  return events;
}
