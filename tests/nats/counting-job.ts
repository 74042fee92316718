/** Counts events by key from one JetStream stream into another: what `tests/nats/nats.test.ts` kills. */
import { parseArgs } from 'node:util';
import { natsSink, natsSource } from '../../connectors/nats/index.ts';
import { environment, jsonMessages, t, valueState, WatermarkStrategy } from '../../src/index.ts';

const { values: options } = parseArgs({
  options: { dir: { type: 'string' }, nats: { type: 'string' }, until: { type: 'string' } },
});
const server = { servers: options.nats!, timeoutMs: 2000 };
const eventSchema = t.struct({ key: t.string() });
const countSchema = t.struct({ key: t.string(), count: t.int32() });

const env = environment({
  'parallelism.default': 2,
  'execution.checkpointing.interval': '100 ms',
  'execution.checkpointing.dir': `${options.dir}/checkpoints`,
  'restart-strategy.type': 'fixed-delay',
  'restart-strategy.fixed-delay.attempts': 1000,
  'restart-strategy.fixed-delay.delay': '200 ms',
});
if (options.until === 'now') env.runUntil('now');
env
  .fromSource(
    natsSource({
      server,
      stream: 'events',
      subjects: ['events.a', 'events.b'],
      format: jsonMessages(eventSchema),
      malformed: 'skip',
      ...(options.until === 'latest' ? { until: 'latest' } : {}),
    }),
    WatermarkStrategy.noWatermarks(),
    'events',
  )
  .uid('events')
  .keyBy('key')
  .process(
    {
      state: { count: valueState(t.int32(), { default: 0 }) },
      processElement: ({ key }, { state }, out) => {
        state.count.value += 1;
        out.collect({ key, count: state.count.value });
      },
    },
    countSchema,
  )
  .uid('count')
  .sinkTo(
    natsSink({
      server,
      subject: ({ key }) => `counts.${key}`,
      format: jsonMessages(countSchema),
      messageId: ({ key, count }) => `${key}-${count}`,
      requestsInFlightMax: 1,
    }),
  )
  .acceptDelivery('at-least-once')
  .uid('counts');
await env.execute('counting');
