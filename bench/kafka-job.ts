/** The job of `bench/kafka.ts`: Kafka to Kafka, exactly once, through a keyed aggregation; prints what it cost as JSON. */
import { parseArgs } from 'node:util';
import { kafkaCluster, kafkaSink, kafkaSource } from '../connectors/kafka/index.ts';
import { environment, jsonMessages, t, valueState, WatermarkStrategy } from '../src/index.ts';
import { EVENT, TOTAL } from './kafka-records.ts';

const { values: options } = parseArgs({
  options: {
    brokers: { type: 'string', default: '' },
    input: { type: 'string', default: '' },
    output: { type: 'string', default: '' },
    dir: { type: 'string', default: '' },
  },
});

const cluster = kafkaCluster({ bootstrapServers: options.brokers });
const env = environment({
  'parallelism.default': 1,
  'execution.checkpointing.interval': '1 s',
  'execution.checkpointing.dir': options.dir,
});
env
  .fromSource(
    kafkaSource({ cluster, topics: [options.input], value: jsonMessages(EVENT), until: 'latest' }),
    WatermarkStrategy.noWatermarks(),
  )
  .keyBy('key')
  .process(
    {
      state: {
        count: valueState(t.int32(), { default: 0 }),
        sum: valueState(t.int64(), { default: 0 }),
      },
      processElement({ key, amount }, { state }, out) {
        state.count.value += 1;
        state.sum.value += amount;
        out.collect({ key, count: state.count.value, sum: state.sum.value });
      },
    },
    TOTAL,
  )
  .sinkTo(
    kafkaSink({
      cluster,
      topic: options.output,
      value: jsonMessages(TOTAL),
      key: ({ key }) => key,
      transactionalIdPrefix: 'bench',
    }),
  );

const started = performance.now();
await env.execute('kafka bench');
const cpu = process.cpuUsage();
console.log(
  JSON.stringify({
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
  }),
);
