/**
 * The job that is killed: Kafka to Kafka or to PostgreSQL, counting and summing by key, exactly once.
 *
 *   node tests/kafka/counting-job.ts --brokers host:port --input topic --output topic --dir folder [--postgres port] [--die <point> --die-at <n>]
 *
 * `--postgres` makes the output a table. `--die before-commit` kills the process (SIGKILL) instead of its nth request to commit a transaction: after
 * the checkpoint is complete and before its transaction is. `--die after-commit` sends the request first and dies when the answer comes. `--die
 * after-prepare` dies when the nth transaction has been flushed and named, before its checkpoint can be complete. `--plant early-commit` is a
 * fault that the judges must find: what is prepared is committed at once, before its checkpoint is complete.
 */
import { parseArgs } from 'node:util';
import {
  type KafkaCluster,
  kafkaCluster,
  kafkaSink,
  kafkaSource,
  type KafkaTransport,
} from '../../connectors/kafka/index.ts';
import { type Database, postgresDatabase, postgresSink } from '../../connectors/postgres/index.ts';
import type { Committer, Sink, SinkWriterContext } from '../../src/connector/sink.ts';
import { environment, jsonMessages, t, valueState, WatermarkStrategy } from '../../src/index.ts';

const { values: options } = parseArgs({
  options: {
    brokers: { type: 'string', default: '' },
    input: { type: 'string', default: '' },
    output: { type: 'string', default: '' },
    postgres: { type: 'string', default: '' },
    dir: { type: 'string', default: '' },
    parallelism: { type: 'string', default: '2' },
    interval: { type: 'string', default: '150 ms' },
    plant: { type: 'string', default: '' },
    die: { type: 'string', default: '' },
    'die-at': { type: 'string', default: '1' },
  },
});

let met = 0;
/** Dies the nth time that it gets here. */
function failpoint(name: string): void {
  if (options.die === name && ++met >= Number(options['die-at']))
    process.kill(process.pid, 'SIGKILL');
}

/** A cluster whose commits pass the failpoints. */
function withFailpoints(cluster: KafkaCluster): KafkaCluster {
  return {
    name: cluster.name,
    open: (services) => {
      const transport: KafkaTransport = cluster.open(services);
      const endTransaction = transport.endTransaction.bind(transport);
      transport.endTransaction = async (node, request) => {
        failpoint('before-commit');
        const answer = await endTransaction(node, request);
        failpoint('after-commit');
        return answer;
      };
      return transport;
    },
  };
}

const input = t.struct({ key: t.string(), amount: t.int32() });
const output = t.struct({ key: t.string(), count: t.int32(), sum: t.int64() });
const cluster = withFailpoints(
  kafkaCluster({ bootstrapServers: options.brokers, requestTimeout: '5 s', connectTimeout: '2 s' }),
);

interface Result {
  readonly key: string;
  readonly count: number;
  readonly sum: number;
}

/** The database whose commits pass the failpoints; a transaction without them is the sink's own preparation. */
function withCommitFailpoints(database: Database): Database {
  return {
    ...database,
    open: async (applicationName) => {
      const session = await database.open(applicationName);
      let applied = false;
      return {
        get alive() {
          return session.alive;
        },
        query: async (text, values) => {
          const commits = applied && text === 'COMMIT';
          if (text.startsWith('UPDATE')) applied = true;
          if (commits) failpoint('before-commit');
          const answer = await session.query(text, values);
          if (commits) failpoint('after-commit');
          return answer;
        },
        close: () => session.close(),
      };
    },
  };
}

const toKafka = (): Sink<Result> =>
  kafkaSink({
    cluster,
    topic: options.output,
    value: jsonMessages(output),
    key: (result) => result.key,
    transactionalIdPrefix: 'counting',
    transactionTimeout: '2 min',
    longestOutage: '1 min',
  });

const toPostgres = (): Sink<Result> =>
  postgresSink({
    database: withCommitFailpoints(
      postgresDatabase({
        ...{ host: '127.0.0.1', port: Number(options.postgres) },
        ...{ database: 'postgres', user: 'tester' },
        ...{ connectTimeout: '2 s', statementTimeout: '10 s', lockTimeout: '5 s' },
      }),
    ),
    table: options.output,
    schema: output,
  });

const sink = options.postgres === '' ? toKafka() : toPostgres();

const committers = new WeakMap<SinkWriterContext, Committer>();

/** A sink whose writers pass the failpoint between the phases. */
const sinkWithFailpoint: typeof sink = {
  ...sink,
  createWriter: async (context) => {
    const writer = await sink.createWriter(context);
    const prepare = writer.prepareCommit!.bind(writer);
    writer.prepareCommit = async (checkpointId) => {
      const committables = await prepare(checkpointId);
      if (options.plant === 'early-commit' && committables.length > 0)
        await committers.get(context)?.commit(committables);
      if (committables.length > 0) failpoint('after-prepare');
      return committables;
    };
    console.log('the sink is open');
    return writer;
  },
  createCommitter: async (context) => {
    const committer = await sink.createCommitter!(context); // both sinks have one
    committers.set(context, committer);
    return committer;
  },
};

const env = environment({
  'parallelism.default': Number(options.parallelism),
  'execution.checkpointing.interval': options.interval,
  'execution.checkpointing.dir': options.dir,
});

env
  .fromSource(
    kafkaSource({
      cluster,
      topics: [options.input],
      value: jsonMessages(input),
      groupId: 'counting',
      unavailableTimeout: '30 s',
    }),
    WatermarkStrategy.noWatermarks(),
    'input',
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
    output,
  )
  .sinkTo(sinkWithFailpoint);

await env.execute('counting');
