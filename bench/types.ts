/**
 * Codecs and key hashes: nanoseconds per record of a Nexmark bid (seven fields, 119 bytes as a row) and per key, against JSON.
 *
 * Medians of rounds that take turns. Not measured: the memory that records take afterwards, networks, and schemas of other shapes.
 */
import { ByteReader, ByteWriter } from '../src/base/bytes.ts';
import { batchCodec } from '../src/types/batch-codec.ts';
import { keyCodec } from '../src/types/key-codec.ts';
import { keyGroupFunction } from '../src/types/key-hash.ts';
import { BATCH_SIZE_MAX } from '../src/types/record-batch.ts';
import { rowCodec } from '../src/types/row-codec.ts';
import { t } from '../src/types/t.ts';
import { NexmarkGenerator } from './nexmark/generator.ts';
import type { Bid } from './nexmark/model.ts';

const MAX_PARALLELISM = 32768;

const bidSchema = t.struct({
  auction: t.int64(),
  bidder: t.int64(),
  price: t.int64(),
  channel: t.string(),
  url: t.string(),
  dateTime: t.timestamp(),
  extra: t.string(),
});

/** What the loops produce ends up here, so that nothing is optimised away. */
let sink: unknown;

function makeBids(count: number): Bid[] {
  const generator = new NexmarkGenerator();
  const bids: Bid[] = [];
  for (let n = 0; bids.length < count; n++)
    if (NexmarkGenerator.kindOf(n) === 'bid') bids.push(generator.bid(n));
  return bids;
}

function rowLoops(bids: readonly Bid[]): Readonly<Record<string, () => void>> {
  const codec = rowCodec(bidSchema);
  const writer = new ByteWriter(bids.length * 160);
  for (const bid of bids) codec.encode(bid, writer);
  const rows = writer.take();
  const texts = bids.map((bid) => JSON.stringify(bid));
  return {
    bidEncodeNs() {
      writer.reset();
      for (let i = 0; i < bids.length; i++) codec.encode(bids[i]!, writer);
    },
    bidDecodeNs() {
      const reader = new ByteReader(rows);
      for (let i = 0; i < bids.length; i++) sink = codec.decode(reader);
    },
    bidJsonEncodeNs() {
      for (let i = 0; i < bids.length; i++) sink = JSON.stringify(bids[i]);
    },
    bidJsonDecodeNs() {
      for (let i = 0; i < bids.length; i++) sink = JSON.parse(texts[i]!);
    },
  };
}

function batchLoops(bids: readonly Bid[]): Readonly<Record<string, () => void>> {
  const codec = batchCodec(bidSchema);
  const timestamps = Float64Array.from(bids, (bid) => bid.dateTime);
  const writer = new ByteWriter(BATCH_SIZE_MAX * 200);
  const frames: Uint8Array[] = [];
  const encodeAll = (each: () => void): void => {
    for (let from = 0; from < bids.length; from += BATCH_SIZE_MAX) {
      writer.reset();
      codec.encodeInto(
        bids,
        timestamps,
        from,
        Math.min(bids.length, from + BATCH_SIZE_MAX),
        writer,
      );
      each();
    }
  };
  encodeAll(() => frames.push(writer.take()));
  return {
    bidBatchEncodeNs() {
      encodeAll(() => {});
    },
    bidBatchDecodeNs() {
      for (const frame of frames) sink = codec.decode(new ByteReader(frame));
    },
  };
}

function keyLoops(bids: readonly Bid[]): Readonly<Record<string, () => void>> {
  const ints = bids.map((bid) => bid.auction);
  const texts = bids.map((bid) => bid.channel);
  const pairs = bids.map((bid) => [bid.channel, bid.auction] as const);
  const pairSchema = t.tuple(t.string(), t.int64());
  const ofInt = keyGroupFunction(t.int64(), MAX_PARALLELISM);
  const ofText = keyGroupFunction(t.string(), MAX_PARALLELISM);
  const ofPair = keyGroupFunction(pairSchema, MAX_PARALLELISM);
  const ordered = keyCodec(pairSchema);
  const writer = new ByteWriter(bids.length * 40);
  const sum = (keys: readonly unknown[], groupOf: (key: unknown) => number): void => {
    let total = 0;
    for (let i = 0; i < keys.length; i++) total += groupOf(keys[i]);
    sink = total;
  };
  return {
    keyGroupIntNs: () => sum(ints, ofInt),
    keyGroupTextNs: () => sum(texts, ofText),
    keyGroupPairNs: () => sum(pairs, ofPair),
    orderedPairEncodeNs() {
      writer.reset();
      for (let i = 0; i < pairs.length; i++) ordered.encode(pairs[i]!, writer);
    },
  };
}

/** int64 as a double against a zigzag varint: why rows hold doubles. */
function integerLoops(bids: readonly Bid[]): Readonly<Record<string, () => void>> {
  const codec = rowCodec(t.int64());
  const writer = new ByteWriter(bids.length * 10);
  return {
    int64EncodeNs() {
      writer.reset();
      for (let i = 0; i < bids.length; i++) codec.encode(bids[i]!.price, writer);
    },
    varintEncodeNs() {
      writer.reset();
      for (let i = 0; i < bids.length; i++) {
        const { price } = bids[i]!;
        writer.varint(price < 0 ? -2 * price - 1 : 2 * price);
      }
    },
  };
}

export async function run(options: { quick: boolean }): Promise<Record<string, number>> {
  const bids = makeBids(options.quick ? 8192 : 65_536);
  const rounds = options.quick ? 9 : 25;
  const loops = {
    ...rowLoops(bids),
    ...batchLoops(bids),
    ...keyLoops(bids),
    ...integerLoops(bids),
  };
  const times = new Map(Object.keys(loops).map((name): [string, number[]] => [name, []]));
  for (let round = -3; round < rounds; round++) {
    for (const [name, loop] of Object.entries(loops)) {
      const start = performance.now();
      loop();
      const ns = ((performance.now() - start) * 1e6) / bids.length;
      // The first rounds compile.
      if (round >= 0) times.get(name)!.push(ns);
    }
  }
  const figures: Record<string, number> = {};
  for (const [name, list] of times) figures[name] = list.sort((a, b) => a - b)[list.length >> 1]!;
  figures['bidEncodeJsonRatio'] = figures['bidJsonEncodeNs']! / figures['bidBatchEncodeNs']!;
  figures['bidDecodeJsonRatio'] = figures['bidJsonDecodeNs']! / figures['bidBatchDecodeNs']!;
  return sink === undefined ? {} : figures;
}
