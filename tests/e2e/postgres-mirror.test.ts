/** Changes of a table applied to another by a real job that is killed -9, with the server killed once too. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startPostgres } from '../../scripts/services/postgres.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { TestServer } from '../postgres/postgres-fixture.ts';

const JOB = `${import.meta.dirname}/../postgres/mirror-job.ts`;
const KILLS = 3;
const LIFE_MS = 1500;

const service = await startPostgres();
if (isMissing(service)) reportMissing('PostgreSQL (mirror)', service);
else
  describe('PostgreSQL to PostgreSQL under kill -9', { timeout: 120_000 }, () => {
    const server = new TestServer(service.options);
    after(async () => {
      await server.close();
      await service.stop();
    });

    test('the copy is the table, whatever was killed', async () => {
      const random = new SeededRandom(3);
      const dir = await mkdtemp(`${tmpdir()}/millrace-mirror-`);
      for (const table of ['original', 'mirror'])
        await server.sql(`CREATE TABLE ${table} (k integer PRIMARY KEY, v integer)`);
      await server.sql('INSERT INTO original SELECT i, -i FROM generate_series(0, 4999) i');
      let output = '';
      const start = (): ChildProcess => {
        const args = [JOB, '--port', String(service.options.port), '--dir', dir];
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
        for (const stream of [child.stdout, child.stderr])
          stream.on('data', (data: Buffer) => (output = (output + String(data)).slice(-5000)));
        return child;
      };
      const change = async (): Promise<void> => {
        const k = random.int(6000);
        const statement =
          random.int(3) === 0
            ? `DELETE FROM original WHERE k = ${k}`
            : `INSERT INTO original VALUES (${k}, ${random.int(1e6)}) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v`;
        await server.sql(statement).catch((error: { kind?: unknown }) => {
          if (error.kind !== 'unavailable') throw error; // killed; carried out or not
        });
      };
      let job = start();
      try {
        for (let kill = 0; kill < KILLS; kill++) {
          const until = performance.now() + LIFE_MS + random.int(LIFE_MS);
          while (performance.now() < until) {
            await change();
            assert.equal(job.exitCode, null, output);
          }
          job.kill('SIGKILL');
          if (kill === 1) await service.restart();
          job = start();
        }
        const differences = async (): Promise<string | null | undefined> =>
          (
            await server.sql(
              'SELECT count(*) AS rows FROM original FULL JOIN mirror USING (k) WHERE original.v IS DISTINCT FROM mirror.v',
            )
          )[0]?.['rows'];
        while ((await differences()) !== '0') {
          await delay(100);
          assert.equal(job.exitCode, null, output);
        }
      } finally {
        job.kill('SIGKILL');
        await rm(dir, { recursive: true, force: true });
      }
    });
  });
