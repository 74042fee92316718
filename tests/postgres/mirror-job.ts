/**
 * The job that is killed: changes of one table, applied to another, exactly once.
 *
 *   node tests/postgres/mirror-job.ts --port n --dir folder
 */
import { parseArgs } from 'node:util';
import { postgresDatabase, postgresSink, postgresSource } from '../../connectors/postgres/index.ts';
import { environment, t, WatermarkStrategy } from '../../src/index.ts';

const { values: options } = parseArgs({
  options: { port: { type: 'string', default: '' }, dir: { type: 'string', default: '' } },
});

const database = postgresDatabase({
  ...{ host: '127.0.0.1', port: Number(options.port), database: 'postgres', user: 'tester' },
  ...{ connectTimeout: '2 s', statementTimeout: '10 s', lockTimeout: '5 s' },
});
const row = t.struct({ k: t.int32(), v: t.int32() });

const env = environment({
  'parallelism.default': 2,
  'execution.checkpointing.interval': '150 ms',
  'execution.checkpointing.dir': options.dir,
});

env
  .fromSource(
    postgresSource({ database, tables: ['original'], slot: 'mirror', schema: row }),
    WatermarkStrategy.noWatermarks(),
    'changes',
  )
  .uid('changes')
  .map(
    ({ kind, after, before }) => ({
      k: after?.k ?? before?.k ?? 0,
      v: after?.v ?? 0,
      gone: kind === 'delete',
    }),
    t.struct({ k: t.int32(), v: t.int32(), gone: t.boolean() }),
  )
  .keyBy('k')
  .process(
    {
      processElement(change, _context, out) {
        out.collect(change);
      },
    },
    t.struct({ k: t.int32(), v: t.int32(), gone: t.boolean() }),
  )
  .sinkTo(
    postgresSink({
      ...{ database, table: 'mirror', columns: ['k', 'v'], key: ['k'] },
      deletes: ({ gone }) => gone,
    }),
  )
  .uid('mirror');

await env.execute('mirror');
