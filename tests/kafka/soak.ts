/**
 * `npm run soak:kafka`: 100,000 messages Kafka to Kafka through a keyed aggregation, the job killed -9 thirty times at random moments and between
 * the phases of its commits, the broker five times; a reader of committed records judges every result.
 *
 *   node tests/kafka/soak.ts [--seed n] [--messages 100000] [--kills 30] [--broker-restarts 5]
 */
import { parseArgs } from 'node:util';
import { startKafka } from '../../scripts/services/kafka.ts';
import { isMissing } from '../../scripts/services/service.ts';
import { killRun } from './kill-run.ts';

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    messages: { type: 'string', default: '100000' },
    kills: { type: 'string', default: '30' },
    'broker-restarts': { type: 'string', default: '5' },
  },
});
console.log(`seed ${options.seed}`);
const broker = await startKafka();
if (isMissing(broker)) {
  console.log(`NOT RUN: ${broker.missing}`);
  process.exitCode = 1;
} else
  try {
    const outcome = await killRun({
      broker,
      seed: Number(options.seed),
      messages: Number(options.messages),
      kills: Number(options.kills),
      brokerRestarts: Number(options['broker-restarts']),
      readTwice: true,
      log: (line) => console.log(line),
    });
    console.log(JSON.stringify({ ok: true, seed: Number(options.seed), ...outcome }));
  } finally {
    await broker.stop();
  }
