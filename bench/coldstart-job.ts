/**
 * The job of `bench -- coldstart`, a process of its own. It reads `--more` records of a log and counts by key in forst; `--latency` is added to each
 * request to its store. Prints when its first record was processed, as one line of JSON.
 */
import { parseArgs } from 'node:util';
import { StreamExecutionEnvironment } from '../src/api/environment.ts';
import { forEachSink } from '../src/api/for-each-sink.ts';
import { embeddedExecutor } from '../src/cli/embedded.ts';
import type { Source } from '../src/connector/source.ts';
import { valueState } from '../src/state/descriptor.ts';
import { MeteringStore } from '../src/storage/metering-store.ts';
import { t } from '../src/types/t.ts';
import { DelayedStore } from './delayed-store.ts';

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string', default: '' },
    keys: { type: 'string', default: '1000' },
    value: { type: 'string', default: '1000' },
    more: { type: 'string', default: '1000' },
    latency: { type: 'string', default: '0' },
  },
});
const keys = Number(options.keys);
const more = Number(options.more);
const latencyMs = Number(options.latency);
const loadedMs = Date.now();

/** Record n is about key n modulo the number of keys, scattered once all keys exist. */
const keyOf = (n: number): number => (n < keys ? n : (n * 7_919 + 13) % keys);

/** A log that has `--more` records more than the run before has read. */
const log: Source<number> = {
  boundedness: 'continuous-unbounded',
  schema: t.int64(),
  untilNow: () => ({ ...log, boundedness: 'bounded' }),
  createEnumerator: (context, restored) => ({
    start: async () => {
      if (restored === undefined)
        context.assign(0, [{ split: { id: 'log', data: null }, position: undefined }]);
      context.noMoreSplits();
    },
    requestSplit: () => {},
    snapshot: () => true,
    close: async () => {},
  }),
  createReader: () => ({
    openSplit: async ({ position }) => {
      let next = Number(position ?? 0);
      const end = next + more;
      return {
        grows: true,
        poll: (max) => {
          if (next >= end) return null;
          const values = Array.from({ length: Math.min(max, end - next) }, (_, i) => next + i);
          next += values.length;
          return { values, timestamps: null };
        },
        position: () => next,
        close: async () => {},
      };
    },
    close: async () => {},
  }),
};

let meter: MeteringStore | undefined;
let first: { readonly atMs: number; readonly requests: number; readonly cpuMs: number } | undefined;
const padding = 'x'.repeat(Number(options.value));

const requestsOf = ({ usage }: MeteringStore): number =>
  Object.values(usage.requests).reduce((a, b) => a + b, 0);

/** Of this process since its start. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const env = new StreamExecutionEnvironment(
  embeddedExecutor({
    wrapStore(store) {
      meter = new MeteringStore(new DelayedStore(store, latencyMs));
      return meter;
    },
  }),
  {
    'execution.checkpointing.dir': options.dir,
    'execution.checkpointing.interval': '10 s',
    'execution.until': 'now',
    'state.backend.type': 'forst',
  },
);
env
  .fromSource(log, {}, 'log')
  .uid('log')
  .keyBy(keyOf, t.int64())
  .process<number, { seen: ReturnType<typeof seenState> }>(
    {
      state: { seen: seenState() },
      processElement(n, { state }, out) {
        const { count } = state.seen.value;
        first ??= { atMs: Date.now(), requests: requestsOf(meter!), cpuMs: cpuMs() };
        state.seen.value = { count: count + 1, padding: `${n}${padding}` };
        if (count > 0) out.collect(count);
      },
    },
    t.int64(),
  )
  .uid('seen')
  .sinkTo(forEachSink(() => {}));
await env.execute('coldstart');
console.log(
  JSON.stringify({
    loadedMs,
    firstMs: first?.atMs,
    requests: first?.requests,
    cpuMs: first?.cpuMs,
    endedMs: Date.now(),
  }),
);

function seenState() {
  return valueState(t.struct({ count: t.int64(), padding: t.string() }), {
    default: { count: 0, padding: '' },
  });
}
