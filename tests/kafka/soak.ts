/**
 * `npm run soak:kafka` and `npm run soak:postgres`: 100,000 messages from Kafka to Kafka, or to PostgreSQL, through a keyed aggregation, the job
 * killed -9 thirty times at random moments and between the phases of its commits, each server frozen and killed five times; a reader of
 * committed results judges every one.
 *
 *   node tests/kafka/soak.ts [--to kafka|postgres] [--seed n] [--messages 100000] [--kills 30] [--server-restarts 5] [--plant early-commit]
 */
import { parseArgs } from 'node:util';
import { startKafka } from '../../scripts/services/kafka.ts';
import { startPostgres } from '../../scripts/services/postgres.ts';
import { isMissing } from '../../scripts/services/service.ts';
import { killRun } from './kill-run.ts';

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    messages: { type: 'string', default: '100000' },
    kills: { type: 'string', default: '30' },
    'server-restarts': { type: 'string', default: '5' },
    to: { type: 'string', default: 'kafka' },
    plant: { type: 'string', default: '' },
  },
});
console.log(`seed ${options.seed}`);
const broker = await startKafka();
const postgres = options.to === 'postgres' ? await startPostgres() : undefined;
try {
  const missing = [broker, ...(postgres === undefined ? [] : [postgres])].find(isMissing);
  if (missing !== undefined) {
    console.log(`NOT RUN: ${missing.missing}`);
    process.exitCode = 1;
  } else if (!isMissing(broker) && (postgres === undefined || !isMissing(postgres))) {
    const outcome = await killRun({
      broker,
      ...(postgres === undefined ? {} : { postgres }),
      seed: Number(options.seed),
      messages: Number(options.messages),
      kills: Number(options.kills),
      serverRestarts: Number(options['server-restarts']),
      readTwice: true,
      plant: options.plant,
      log: (line) => console.log(`${Math.round(performance.now() / 1000)} s: ${line}`),
    });
    console.log(JSON.stringify({ ok: true, seed: Number(options.seed), ...outcome }));
  }
} finally {
  for (const service of [broker, postgres])
    if (service !== undefined && !isMissing(service)) await service.stop();
}
