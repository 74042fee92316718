/** A job of its own process, of `unaligned.ts`: numbers through two keyed exchanges into a slow sink, until so many checkpoints are complete. */
import { setTimeout as delay } from 'node:timers/promises';
import { environment, rangeSource, type Source, t, WatermarkStrategy } from '../src/index.ts';
import type { JsonValue } from '../src/base/json.ts';
import type { Sink } from '../src/connector/sink.ts';
import { BATCH_SIZE_MAX } from '../src/types/record-batch.ts';

export interface UnalignedJob {
  /** What the sink takes for each batch; 0 for none. */
  readonly sinkMs: number;
  readonly checkpoints: number;
  readonly config: Readonly<Record<string, JsonValue>>;
}

const { sinkMs, checkpoints, config } = JSON.parse(process.argv[2]!) as UnalignedJob; // written by unaligned.ts

/** Numbers without end until so many checkpoints are complete; where nothing is slow, at a pace that leaves time. */
function numbers(): Source<number> {
  const base = rangeSource({ count: 1, valueAt: (n) => n, schema: t.int64() });
  let completed = 0;
  return {
    ...base,
    createReader: () => ({
      notifyCheckpointComplete: async () => {
        completed++;
      },
      openSplit: async () => {
        let next = 0;
        const poll = () => {
          if (completed >= checkpoints) return null;
          const from = next;
          next += BATCH_SIZE_MAX;
          return {
            values: Array.from({ length: BATCH_SIZE_MAX }, (_, i) => from + i),
            timestamps: null,
          };
        };
        let polls = 0;
        return {
          poll: () => (sinkMs > 0 || ++polls % 2 === 0 ? poll() : delay(1)),
          position: () => next,
          close: async () => {},
        };
      },
      close: async () => {},
    }),
  };
}

const slowSink = (): Sink<number> => ({
  guarantee: 'at-least-once',
  createWriter: async () => ({
    write: () => (sinkMs === 0 ? undefined : delay(sinkMs)),
    flush: async () => {},
    close: async () => {},
  }),
});

const env = environment(config);
env
  .fromSource(numbers(), WatermarkStrategy.noWatermarks<number>(), 'numbers')
  .keyBy((n) => n % 1000, t.int32())
  .process<number>({ processElement: (n, _context, out) => out.collect(n) }, t.int64())
  .keyBy((n) => n % 999, t.int32())
  .process<number>({ processElement: (n, _context, out) => out.collect(n) }, t.int64())
  .sinkTo(slowSink())
  .acceptDelivery('at-least-once');
await env.execute('unaligned');
