/**
 * The engine against the same query hand-written as one plain loop over in-memory objects, on one thread; an exchange between two threads;
 * the cost of checkpoints; memory on a ten times larger input.
 *
 * Baselines and engine run in the same process and take turns; figures are medians of the ratios. Not measured: connectors, disk, networks.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import {
  environment,
  rangeSource,
  type Source,
  t,
  TumblingEventTimeWindows,
  valueState,
  WatermarkStrategy,
} from '../src/index.ts';
import type { Sink } from '../src/connector/sink.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../src/types/record-batch.ts';
import { runExchange } from './exchange.ts';
import { NexmarkGenerator } from './nexmark/generator.ts';
import type { Bid } from './nexmark/model.ts';

const BIDS = 131_072;
const KEYS = 1_000_000;
const WINDOW_MS = 1000;

interface Scale {
  readonly records: number;
  readonly rounds: number;
}

function makeBids(): readonly Bid[] {
  const generator = new NexmarkGenerator();
  const bids: Bid[] = [];
  for (let n = 0; bids.length < BIDS; n++)
    if (NexmarkGenerator.kindOf(n) === 'bid') bids.push(generator.bid(n));
  return bids;
}

/** The bids over and over as ready-made batches: what reading costs is in neither side. */
function bidSource(bids: readonly Bid[], records: number, withTime: boolean): Source<Bid> {
  const batches: RecordBatch<Bid>[] = [];
  for (let i = 0; i < bids.length; i += BATCH_SIZE_MAX) {
    const values = bids.slice(i, i + BATCH_SIZE_MAX);
    batches.push({
      values,
      timestamps: withTime ? Float64Array.from(values, (bid) => bid.dateTime) : null,
    });
  }
  const base = rangeSource<Bid>({ count: 1, valueAt: () => bids[0]! });
  return {
    ...base,
    createReader: () => ({
      openSplit: async () => {
        let read = 0;
        return {
          poll: () => {
            if (read >= records) return null;
            const batch = batches[(read / BATCH_SIZE_MAX) % batches.length]!;
            read += BATCH_SIZE_MAX;
            return batch;
          },
          position: () => read,
          close: async () => {},
        };
      },
      close: async () => {},
    }),
  };
}

/** Counts what arrives, so that nothing is optimised away. */
function countingSink<T>(counter: { count: number }): Sink<T> {
  return {
    guarantee: 'at-least-once',
    accepted: true,
    createWriter: async () => ({
      write({ values }) {
        counter.count += values.length;
      },
      flush: async () => {},
      close: async () => {},
    }),
  };
}

const secondsOf = async (run: () => unknown): Promise<number> => {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Loop and engine in turn; the ratio of records per second. */
async function compare(
  { records, rounds }: Scale,
  loop: (records: number) => number,
  engine: (records: number) => Promise<number>,
): Promise<{ ratio: number; rate: number }> {
  const ratios: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    let expected = 0;
    let got = 0;
    const loopSeconds = await secondsOf(() => {
      expected = loop(records);
    });
    const engineSeconds = await secondsOf(async () => {
      got = await engine(records);
    });
    if (expected !== got)
      throw new RangeError(`the loop counted ${expected} results and the engine ${got}`);
    if (round === 0) continue; // warm-up
    ratios.push(loopSeconds / engineSeconds);
    rates.push(records / engineSeconds);
  }
  return { ratio: median(ratios), rate: median(rates) };
}

interface Priced {
  readonly auction: number;
  readonly bidder: number;
  readonly euro: number;
}

function statelessLoop(bids: readonly Bid[], records: number): number {
  let count = 0;
  for (let n = 0; n < records; n++) {
    const bid = bids[n % BIDS]!;
    const priced: Priced = { auction: bid.auction, bidder: bid.bidder, euro: bid.price * 0.908 };
    if (priced.euro <= 100) continue;
    const labelled = { ...priced, odd: priced.auction % 2 === 1 };
    if (labelled.odd && labelled.bidder % 3 === 0) continue;
    const result = { auction: labelled.auction, euro: Math.round(labelled.euro) };
    if (result.euro >= 0) count++;
  }
  return count;
}

async function statelessEngine(bids: readonly Bid[], records: number): Promise<number> {
  const counter = { count: 0 };
  const env = environment();
  env
    .fromSource(bidSource(bids, records, false), WatermarkStrategy.noWatermarks<Bid>(), 'bids')
    .map((bid): Priced => ({ auction: bid.auction, bidder: bid.bidder, euro: bid.price * 0.908 }))
    .filter((priced) => priced.euro > 100)
    .map((priced) => ({ ...priced, odd: priced.auction % 2 === 1 }))
    .filter((labelled) => !(labelled.odd && labelled.bidder % 3 === 0))
    .map((labelled) => ({ auction: labelled.auction, euro: Math.round(labelled.euro) }))
    .sinkTo(countingSink(counter));
  await env.execute('stateless');
  return counter.count;
}

function keyedCountLoop(bids: readonly Bid[], records: number): number {
  const counts = new Map<number, number>();
  let emitted = 0;
  for (let n = 0; n < records; n++) {
    const { bidder } = bids[n % BIDS]!;
    const count = (counts.get(bidder) ?? 0) + 1;
    counts.set(bidder, count);
    const result = { bidder, count };
    if (result.count > 0) emitted++;
  }
  return emitted;
}

async function keyedCountEngine(bids: readonly Bid[], records: number): Promise<number> {
  const counter = { count: 0 };
  const env = environment();
  env
    .fromSource(bidSource(bids, records, false), WatermarkStrategy.noWatermarks<Bid>(), 'bids')
    .keyBy((bid) => bid.bidder, t.int64())
    .process<{ bidder: number; count: number }, { count: ReturnType<typeof countState> }>({
      state: { count: countState() },
      processElement(bid, { state }, out) {
        const count = (state.count.value += 1);
        out.collect({ bidder: bid.bidder, count });
      },
    })
    .sinkTo(countingSink(counter));
  await env.execute('keyed-count');
  return counter.count;
}

const countState = () => valueState(t.int64(), { default: 0 });

function tumblingLoop(bids: readonly Bid[], records: number): number {
  // The same order of events: windows close as time passes; at the end of a lap time starts anew and late bids are dropped.
  let windows = new Map<number, Map<number, number>>();
  let watermark = Number.NEGATIVE_INFINITY;
  let results = 0;
  for (let n = 0; n < records; n++) {
    const bid = bids[n % BIDS]!;
    const start = bid.dateTime - (bid.dateTime % WINDOW_MS);
    if (start + WINDOW_MS - 1 <= watermark) continue;
    let window = windows.get(start);
    if (window === undefined) {
      window = new Map();
      windows.set(start, window);
    }
    window.set(bid.auction, (window.get(bid.auction) ?? 0) + 1);
  }
  watermark = Number.POSITIVE_INFINITY;
  for (const [start, window] of [...windows].toSorted(([a], [b]) => a - b)) {
    for (const [auction, count] of window) {
      const result = { auction, start, count };
      if (result.count > 0) results++;
    }
  }
  windows = new Map();
  return results;
}

async function tumblingEngine(bids: readonly Bid[], records: number): Promise<number> {
  const counter = { count: 0 };
  const env = environment();
  env
    // The bound spans the data, so that repeating it makes nothing late: all windows fire at the end, as in the loop.
    .fromSource(
      bidSource(bids, records, true),
      WatermarkStrategy.forBoundedOutOfOrderness<Bid>('1 d'),
      'bids',
    )
    .keyBy((bid) => bid.auction, t.int64())
    .window(TumblingEventTimeWindows.of(WINDOW_MS))
    .aggregate(
      {
        accumulatorSchema: t.int64(),
        createAccumulator: () => 0,
        add: (_bid: Bid, count: number) => count + 1,
        getResult: (count: number) => count,
      },
      (auction, window, count) => ({ auction, start: window.start, count }),
    )
    .sinkTo(countingSink(counter));
  await env.execute('tumbling');
  return counter.count;
}

/** Time to the last record with a checkpoint a second against without, keyed count over a million keys; the final checkpoint is in neither. */
export async function checkpointCost({ records, rounds }: Scale): Promise<number> {
  const run = async (dir: string | undefined, round: number): Promise<number> => {
    let count = 0;
    let lastMs = 0;
    const env = environment(
      dir === undefined
        ? {}
        : {
            'execution.checkpointing.interval': '1 s',
            'execution.checkpointing.dir': `${dir}/${round}`,
          },
    );
    env
      .fromSource(
        rangeSource({
          count: records,
          valueAt: (n) => Math.imul(n, 0x9e3779b1) >>> 0,
          schema: t.int64(),
        }),
        WatermarkStrategy.noWatermarks<number>(),
        'keys',
      )
      .keyBy((n) => n % KEYS, t.int32())
      .process<number, { count: ReturnType<typeof countState> }>(
        {
          state: { count: countState() },
          processElement(_n, { state }, out) {
            out.collect((state.count.value += 1));
          },
        },
        t.int64(),
      )
      .sinkTo({
        guarantee: 'at-least-once',
        accepted: true,
        createWriter: async () => ({
          write({ values }) {
            count += values.length;
            if (count === records) lastMs = performance.now();
          },
          flush: async () => {},
          close: async () => {},
        }),
      });
    const startMs = performance.now();
    await env.execute(`checkpointed-${round}`);
    return lastMs - startMs;
  };
  const dir = await mkdtemp(`${tmpdir()}/millrace-bench-`);
  try {
    const costs: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const plain = await run(undefined, round);
      const checkpointed = await run(dir, round);
      if (round > 0) costs.push(checkpointed / plain - 1);
    }
    return median(costs);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Heap after ten times the records over the same keys, relative to once. */
async function memoryGrowth(bids: readonly Bid[], records: number): Promise<number> {
  const after = async (count: number): Promise<number> => {
    await keyedCountEngine(bids, count);
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  };
  const once = await after(records);
  return (await after(records * 10)) / once;
}

export async function run({
  quick,
}: {
  quick: boolean;
}): Promise<Readonly<Record<string, number>>> {
  const bids = makeBids();
  const scale: Scale = quick
    ? { records: 4_194_304, rounds: 3 }
    : { records: 16_777_216, rounds: 5 };
  const stateless = await compare(
    scale,
    (n) => statelessLoop(bids, n),
    (n) => statelessEngine(bids, n),
  );
  const keyed = await compare(
    scale,
    (n) => keyedCountLoop(bids, n),
    (n) => keyedCountEngine(bids, n),
  );
  const tumbling = await compare(
    scale,
    (n) => tumblingLoop(bids, n),
    (n) => tumblingEngine(bids, n),
  );
  const growth = await memoryGrowth(bids, scale.records / 4);
  const exchange = await runExchange(quick ? 2_000_000 : 10_000_000);
  const cost = await checkpointCost(
    quick ? { records: 12_000_000, rounds: 3 } : { records: 40_000_000, rounds: 5 },
  );
  return {
    stateless_vs_loop: stateless.ratio,
    stateless_records_per_s: stateless.rate,
    keyed_count_vs_loop: keyed.ratio,
    keyed_count_records_per_s: keyed.rate,
    tumbling_vs_loop: tumbling.ratio,
    tumbling_records_per_s: tumbling.rate,
    exchange_bids_per_s: exchange,
    checkpoint_cost: cost,
    memory_growth_10x_input: growth,
  };
}
