/** A job of its own process: bids from one thread to another, by key. Prints records per second. Started by `exchange.ts`. */
import { environment, rangeSource, type Source, t, WatermarkStrategy } from '../src/index.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../src/types/record-batch.ts';
import { NexmarkGenerator } from './nexmark/generator.ts';
import { type Bid, bidSchema } from './nexmark/model.ts';

const records = Number(process.argv[2]);

const generator = new NexmarkGenerator();
const batches: RecordBatch<Bid>[] = Array.from({ length: 64 }, (_, batch) => ({
  values: Array.from({ length: BATCH_SIZE_MAX }, (_unused, i) => {
    const n = batch * BATCH_SIZE_MAX + i;
    return generator.bid(n - (n % 50) + 4 + (n % 46));
  }),
  timestamps: null,
}));

const source: Source<Bid> = {
  ...rangeSource<Bid>({ count: 1, valueAt: () => batches[0]!.values[0]!, schema: bidSchema }),
  createReader: () => ({
    openSplit: async () => {
      let read = 0;
      return {
        poll: () => {
          if (read >= records) return null;
          read += BATCH_SIZE_MAX;
          return batches[(read / BATCH_SIZE_MAX) % batches.length]!;
        },
        position: () => read,
        close: async () => {},
      };
    },
    close: async () => {},
  }),
};

const env = environment();
env
  .fromSource(source, WatermarkStrategy.noWatermarks<Bid>(), 'bids')
  .keyBy((bid) => bid.auction, t.int64())
  .process<number>({ processElement: () => {} })
  .slotSharingGroup('other thread')
  .sinkTo({
    guarantee: 'at-least-once',
    accepted: true,
    createWriter: async () => ({ write: () => {}, flush: async () => {}, close: async () => {} }),
  });
const { netRuntimeMs } = await env.execute('exchange');
console.log(Math.round(records / (netRuntimeMs / 1000)));
