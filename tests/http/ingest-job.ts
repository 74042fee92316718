/** Takes orders over HTTP, publishes them as files exactly once, and posts them on: what `tests/http/ingest.test.ts` kills. */
import { parseArgs } from 'node:util';
import { fileSink, jsonLines } from '../../connectors/files/index.ts';
import { httpSink, httpSource } from '../../connectors/http/index.ts';
import { environment, jsonMessages, t, WatermarkStrategy } from '../../src/index.ts';

const { values: options } = parseArgs({
  options: { dir: { type: 'string' }, to: { type: 'string' } },
});
const orderSchema = t.struct({ id: t.string(), amount: t.double() });

const env = environment({
  'execution.checkpointing.interval': '100 ms',
  'execution.checkpointing.dir': `${options.dir}/checkpoints`,
});
const orders = env
  .fromSource(
    httpSource({
      port: 0,
      onListening: (port) => console.log(`takes orders on port ${port}`),
      path: '/orders',
      format: jsonMessages(orderSchema),
      token: 'secret',
    }),
    WatermarkStrategy.noWatermarks(),
    'orders',
  )
  .uid('orders')
  .acceptDelivery('at-least-once');
orders
  .sinkTo(fileSink({ path: `${options.dir}/orders`, format: jsonLines(orderSchema) }))
  .uid('files');
orders
  .sinkTo(
    httpSink({
      url: options.to!,
      format: jsonMessages(orderSchema),
      idempotencyKey: ({ id }) => id,
    }),
  )
  .acceptDelivery('at-least-once')
  .uid('posts');
await env.execute('ingest');
