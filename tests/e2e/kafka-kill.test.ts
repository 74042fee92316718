/** The short form of `npm run soak:kafka`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startKafka } from '../../scripts/services/kafka.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { killRun } from '../kafka/kill-run.ts';

const broker = await startKafka();
if (isMissing(broker)) reportMissing('Kafka (kills)', broker);
else
  describe('Kafka to Kafka under kill -9', () => {
    test(
      'a reader of committed records sees every result once and in order, through six kills and a restart of the broker',
      {
        timeout: 300_000,
      },
      async (context) => {
        try {
          const { kills } = await killRun({
            ...{ broker, seed: 7, messages: 10_000, kills: 6, serverRestarts: 1, readTwice: false },
            log: (line) => context.diagnostic(line),
          });
          assert.equal(Object.values(kills).reduce((sum, count) => sum + count, 0) >= 6, true);
        } finally {
          await broker.stop();
        }
      },
    );
  });
