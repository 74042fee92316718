/** The short form of `npm run soak:postgres`. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startKafka } from '../../scripts/services/kafka.ts';
import { startPostgres } from '../../scripts/services/postgres.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { killRun } from '../kafka/kill-run.ts';

const stop = async (): Promise<void> => {
  for (const service of [broker, postgres]) if (!isMissing(service)) await service.stop();
};
const [broker, postgres] = await Promise.all([startKafka(), startPostgres()]);
if (isMissing(broker)) reportMissing('Kafka (kills, to PostgreSQL)', broker);
if (isMissing(postgres)) reportMissing('PostgreSQL (kills)', postgres);
if (isMissing(broker) || isMissing(postgres)) await stop();
else
  describe('Kafka to PostgreSQL under kill -9', () => {
    after(stop);

    test(
      'whoever looks at the table sees every result once and in order, through six kills and a freeze and a kill of each server',
      { timeout: 300_000 },
      async (context) => {
        const { kills } = await killRun({
          ...{ broker, postgres, seed: 11, messages: 10_000, kills: 6, serverRestarts: 1 },
          readTwice: false,
          log: (line) => context.diagnostic(line),
        });
        assert.equal(Object.values(kills).reduce((sum, count) => sum + count, 0) >= 6, true);
      },
    );
  });
