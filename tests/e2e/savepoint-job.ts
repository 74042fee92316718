/**
 * Sums numbers by key for savepoint.test.ts: one line for every number, `<key> <count> <sum>`. The layout of its state depends on `--layout`: in the
 * new one a field is renamed and one is added.
 *
 *   node tests/e2e/savepoint-job.ts --dir <dir> --out <dir> [--layout old|new] [--rate <per second>] [--backend hashmap|forst] [--parallelism n]
 */
import { parseArgs } from 'node:util';
import { fileSink, textLines } from '../../connectors/files/index.ts';
import {
  environment,
  generatorSource,
  mapState,
  t,
  valueState,
  WatermarkStrategy,
} from '../../src/index.ts';

const COUNT = 10_000;
const KEYS = 500;

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string', default: 'out/savepoint-job' },
    out: { type: 'string', default: 'out/savepoint-job/out' },
    layout: { type: 'string', default: 'old' },
    rate: { type: 'string' },
    backend: { type: 'string', default: 'hashmap' },
    parallelism: { type: 'string', default: '2' },
  },
});

const env = environment({
  'parallelism.default': Number(options.parallelism),
  'execution.checkpointing.interval': '200 ms',
  'execution.checkpointing.dir': options.dir,
  'jobmanager.control.poll-interval': '50 ms',
  'state.backend.type': options.backend,
});

const numbers = env
  .fromSource(
    generatorSource({
      count: COUNT,
      valueAt: (index) => index,
      schema: t.int32(),
      ...(options.rate === undefined ? {} : { recordsPerSecond: Number(options.rate) }),
    }),
    WatermarkStrategy.noWatermarks<number>(),
    'numbers',
  )
  .uid('numbers')
  .keyBy((n) => n % KEYS, t.int32());

const seen = mapState(t.int32(), t.boolean());
const lines =
  options.layout === 'old'
    ? numbers.process(
        {
          state: {
            seen,
            total: valueState(
              t.struct({ count: t.int32(), sum: t.field(t.int64(), { aliases: ['added'] }) }),
              { default: { count: 0, sum: 0 } },
            ),
          },
          processElement(n, { state, key }, out) {
            const { count, sum } = state.total.value;
            state.total.value = { count: count + 1, sum: sum + n };
            state.seen.put(n % 7, true);
            out.collect(`${String(key)} ${count + 1} ${sum + n}`);
          },
        },
        t.string(),
      )
    : numbers.process(
        {
          state: {
            seen,
            total: valueState(
              t.struct({
                count: t.int32(),
                added: t.field(t.int64(), { aliases: ['sum'] }),
                largest: t.field(t.int64(), { default: 0 }),
              }),
              { default: { count: 0, added: 0, largest: 0 } },
            ),
          },
          processElement(n, { state, key }, out) {
            const { count, added, largest } = state.total.value;
            const next = { count: count + 1, added: added + n, largest: Math.max(largest, n) };
            state.total.value = next;
            state.seen.put(n % 7, true);
            out.collect(`${String(key)} ${next.count} ${next.added}`);
          },
        },
        t.string(),
      );
lines
  .uid('sums')
  .sinkTo(fileSink({ path: options.out, format: textLines() }))
  .uid('lines');

const job = await env.executeAsync('sums');
console.log('running');
const { state } = await job.result();
console.log(state);
