/** The sink's two phases against a real server: what is applied, by whom, how often, and what is refused. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { postgresDatabase } from '../../connectors/postgres/index.ts';
import { startPostgres } from '../../scripts/services/postgres.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { SinkAttempt } from '../connector-fixture.ts';
import { type Pair, TestServer } from './postgres-fixture.ts';

const service = await startPostgres();
if (isMissing(service)) reportMissing('PostgreSQL (sink)', service);
else {
  const server = new TestServer(service.options);

  const pair = (k: string, v: number): Pair => ({ k, v });

  describe('rows at a real PostgreSQL', { timeout: 180_000 }, () => {
    after(async () => {
      await server.close();
      await service.stop();
    });

    test('what a checkpoint committed is there once, in order; what follows is not', async () => {
      const table = await server.table();
      const sink = await SinkAttempt.open(server.sink({ table }));
      await sink.write(pair('a', 1), pair('b', 2));
      await sink.write(pair('a', 3));
      assert.deepEqual(await server.rows(table), []);
      await sink.checkpoint(1);
      await sink.write(pair('a', 4));
      await sink.writer.flush(false);
      assert.deepEqual(await server.rows(table), ['a=1', 'b=2', 'a=3']);
      await sink.checkpoint(2);
      await sink.checkpoint(3);
      await sink.close();
      assert.deepEqual(await server.rows(table), ['a=1', 'b=2', 'a=3', 'a=4']);
    });

    test('a new attempt commits what the last one had prepared, and may do so again and again', async () => {
      const table = await server.table();
      const sink = server.sink({ table });
      const first = await SinkAttempt.open(sink);
      await first.write(pair('x', 1));
      const one = await first.prepare(1);
      await first.write(pair('x', 2));
      const two = await first.prepare(2);
      await first.close();
      assert.deepEqual(await server.rows(table), []);
      // As after rescaling: batches of one attempt come to different subtasks, in any order, and are applied in theirs.
      const later = await SinkAttempt.open(sink, two);
      assert.deepEqual(await server.rows(table), ['x=1', 'x=2']);
      const earlier = await SinkAttempt.open(sink, [...one, ...two]);
      await earlier.committer?.commit(one);
      assert.deepEqual(await server.rows(table), ['x=1', 'x=2']);
      // A chunk that arrives once more, by a connection that was given up long before.
      const { sink: name, subtask, attempt } = one[0] as unknown as Record<string, string>; // a batch
      await server.sql(
        `INSERT INTO millrace.sink_staged VALUES ('${name}', ${subtask}, '${attempt}', 1, 0, 'upsert', '[{"k":"x","v":1}]')`,
      );
      await earlier.committer?.commit([...one, ...two]);
      await earlier.close();
      await later.close();
      await server.sql(`DELETE FROM millrace.sink_staged WHERE attempt = '${attempt}'`);
      assert.deepEqual(await server.rows(table), ['x=1', 'x=2']);
    });

    test('what a failed attempt staged is invisible, and removed after the first commit of the next', async () => {
      const table = await server.table();
      const sink = server.sink({ table, chunkRows: 2 });
      const failed = await SinkAttempt.open(sink);
      for (let i = 0; i < 5; i++) await failed.write(pair('lost', i));
      await failed.prepare(1);
      await failed.write(pair('lost', 9));
      await failed.writer.flush(false);
      await failed.close();
      const staged = async (): Promise<string | null | undefined> =>
        (await server.sql(`SELECT count(*) FROM millrace.sink_staged`))[0]?.['count'];
      assert.equal(await staged(), '4');
      const next = await SinkAttempt.open(sink);
      await next.write(pair('kept', 1));
      await next.checkpoint(2);
      assert.deepEqual(await server.rows(table), ['kept=1']);
      assert.equal(await staged(), '0');
      await next.close();
    });

    test('a batch whose staged rows are gone fails by name, again and again, and is never passed over', async () => {
      const table = await server.table();
      const sink = server.sink({ table });
      const first = await SinkAttempt.open(sink);
      await first.write(pair('gone', 1));
      const prepared = await first.prepare(1);
      await first.close();
      await server.sql('DELETE FROM millrace.sink_staged');
      const refused = { kind: 'data', code: 'PG_STAGED_LOST' };
      await assert.rejects(SinkAttempt.open(sink, prepared), refused);
      await assert.rejects(SinkAttempt.open(sink, prepared), refused);
    });

    test('a frozen process that holds a commit open is ended by the next attempt, which commits', async () => {
      const table = await server.table('k text, v integer, PRIMARY KEY (k)');
      const sink = server.sink({ table, key: ['k'] });
      const zombie = await SinkAttempt.open(sink);
      await zombie.write(pair('a', 1));
      const prepared = await zombie.prepare(1);
      // Stopped in the middle of its commit: it holds what it has locked and waits for a row.
      const other = await server.database.open('other');
      await other.query(`BEGIN; INSERT INTO ${table} VALUES ('a', 0)`);
      const committing = assert.rejects(zombie.committer!.commit(prepared), {
        kind: 'unavailable',
        code: 'PG_UNAVAILABLE',
      });
      await server.until(
        `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'millrace committer %' AND wait_event_type = 'Lock'`,
      );
      const opening = SinkAttempt.open(sink, prepared);
      await committing;
      await other.query('ROLLBACK');
      await other.close();
      const next = await opening;
      assert.deepEqual(await server.rows(table), ['a=1']);
      await next.write(pair('a', 2));
      await next.checkpoint(2);
      // It comes back: its commit finds the batch committed, and it writes nothing more.
      await assert.rejects(zombie.committer!.commit(prepared), { code: 'PG_REPLACED' });
      await assert.rejects(
        async () => {
          await zombie.write(pair('a', 0));
          await zombie.writer.flush(false);
        },
        { kind: 'unavailable', code: 'PG_REPLACED' },
      );
      assert.deepEqual(await server.rows(table), ['a=2']);
      await zombie.close();
      await next.close();
    });

    test('with a key rows are replaced and deleted, also several times in one batch, whatever the guarantee', async () => {
      for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
        const table = await server.table('k text PRIMARY KEY, v integer');
        const sink = server.sink({
          ...{ table, guarantee, key: ['k'], chunkRows: 3 },
          deletes: ({ v }) => v < 0,
        });
        const attempt = await SinkAttempt.open(sink);
        const model = new Map<string, number>();
        for (let i = 0; i < 200; i++) {
          const k = `k${(i * 7) % 11}`;
          const v = i % 5 === 0 ? -1 : i;
          if (v < 0) model.delete(k);
          else model.set(k, v);
          await attempt.write(pair(k, v));
          if (i % 40 === 39) await attempt.checkpoint(i);
        }
        await attempt.checkpoint(1000);
        await attempt.close();
        const expected = [...model].map(([k, v]) => `${k}=${v}`).sort();
        assert.deepEqual(await server.rows(table, 'k COLLATE "C"'), expected, guarantee);
      }
    });

    test('at-least-once rows are there at the barrier, and a zombie cannot put old ones over new ones', async () => {
      const table = await server.table('k text PRIMARY KEY, v integer');
      const sink = server.sink({ table, key: ['k'], guarantee: 'at-least-once' });
      const zombie = await SinkAttempt.open(sink);
      await zombie.write(pair('a', 1));
      await zombie.writer.flush(false);
      assert.deepEqual(await server.rows(table), ['a=1']);
      await zombie.write(pair('a', 2));
      const next = await SinkAttempt.open(sink);
      await next.write(pair('a', 3));
      await next.writer.flush(false);
      await assert.rejects(zombie.writer.flush(false), { code: 'PG_REPLACED' });
      assert.deepEqual(await server.rows(table), ['a=3']);
      await zombie.close();
      await next.close();
    });

    test('every type of column gets what a record has for it', async () => {
      const table = await server.table(
        'i8 bigint, n numeric(12, 2), d double precision, b boolean, bytes bytea, at timestamptz, day date, j jsonb, tags text[], u uuid, t varchar(5), e text',
      );
      const columns = 'i8 n d b bytes at day j tags u t e'.split(' ');
      const sink = server.sink<Record<string, unknown>>({ table, columns });
      const attempt = await SinkAttempt.open(sink);
      await attempt.write(
        {
          ...{ i8: 2n ** 62n, n: '12.30', d: Number.NaN, b: true, bytes: new Uint8Array([0, 255]) },
          ...{ at: 1_700_000_000_123, day: '2026-02-28', j: { a: [1, null, 'x'] } },
          ...{ tags: ['a,b', '"q"', 'ü'], u: '00000000-0000-4000-8000-000000000001', t: '12345' },
          e: "'; DROP TABLE x; --",
        },
        {},
      );
      await attempt.checkpoint(1);
      await attempt.close();
      const rows = await server.sql(`SELECT ${columns.join(', ')} FROM ${table}`);
      assert.deepEqual(rows, [
        {
          ...{ i8: '4611686018427387904', n: '12.30', d: 'NaN', b: 't', bytes: '\\x00ff' },
          ...{ at: '2023-11-14 22:13:20.123+00', day: '2026-02-28', j: '{"a": [1, null, "x"]}' },
          ...{ tags: '{"a,b","\\"q\\"",ü}', u: '00000000-0000-4000-8000-000000000001', t: '12345' },
          e: "'; DROP TABLE x; --",
        },
        Object.fromEntries(columns.map((name) => [name, null])),
      ]);
    });

    test('what the types of a table refuse fails before the checkpoint, by name', async () => {
      const table = await server.table('k varchar(3), v integer');
      for (const bad of [
        { k: 'abcd', v: 1 },
        { k: 'a', v: 2 ** 40 },
        { k: 'a\0', v: 1 },
      ]) {
        const attempt = await SinkAttempt.open(server.sink({ table }));
        await attempt.write(bad);
        await assert.rejects(attempt.writer.flush(false), { kind: 'data', code: 'PG_ROW_REFUSED' });
        await attempt.close();
      }
      assert.deepEqual(await server.rows(table), []);
    });

    test('what cannot work is refused when the sink opens, with what to do', async () => {
      const table = await server.table('k text, v integer, w integer NOT NULL');
      const free = await server.table();
      const cases = [
        [{ table: 'nowhere' }, 'PG_MISSING'],
        [{ table, columns: ['k', 'x', 'w'] }, 'PG_MISSING'],
        [{ table }, 'PG_COLUMN_REQUIRED'],
        [{ table: free, key: ['k'] }, 'PG_NO_UNIQUE_INDEX'],
        [
          {
            table: free,
            database: postgresDatabase({ ...server.options, database: 'none' }),
          },
          'PG_MISSING',
        ],
      ] as const;
      for (const [options, code] of cases)
        await assert.rejects(SinkAttempt.open(server.sink(options)), { kind: 'invalid', code });
      assert.throws(() => server.sink({ table: free, key: ['z'] }), { code: 'BAD_POSTGRES_SINK' });
      assert.throws(() => server.sink({ table: 'a.b.c' }), { code: 'BAD_POSTGRES_NAME' });
    });

    test('a role without rights is told which statements to have run', async () => {
      const table = await server.table();
      await server.sql(`CREATE ROLE humble LOGIN; GRANT INSERT, SELECT ON ${table} TO humble`);
      const database = postgresDatabase({ ...server.options, user: 'humble' });
      await assert.rejects(
        SinkAttempt.open(server.sink({ table, database, stagingSchema: 'other' })),
        ({ code, message }: { code: string; message: string }) =>
          code === 'PG_NOT_ALLOWED' &&
          message.includes('CREATE TABLE IF NOT EXISTS "other".sink_staged'),
      );
    });

    test('a server that is killed or frozen costs nothing: writing and committing go on', async () => {
      const table = await server.table();
      const attempt = await SinkAttempt.open(server.sink({ table }));
      const expected: string[] = [];
      const disturbances = [
        () => service.restart(),
        async () => {
          service.pause();
          const resumed = attempt.writer.flush(false);
          service.resume();
          await resumed;
        },
      ];
      let checkpoint = 0;
      for (const disturb of disturbances) {
        const disturbance = { over: false };
        const disturbing = disturb().then(() => {
          disturbance.over = true;
        });
        for (const end = checkpoint + 5; !disturbance.over || checkpoint < end;) {
          await attempt.write(pair('k', ++checkpoint));
          expected.push(`k=${checkpoint}`);
          const prepared = await attempt.prepare(checkpoint);
          for (;;) {
            try {
              await attempt.committer?.commit(prepared);
              break;
            } catch (error) {
              // As an operator does: unavailable is tried again.
              if ((error as { kind?: string }).kind !== 'unavailable') throw error;
              await new Promise((resolve) => setTimeout(resolve, 50));
            }
          }
        }
        await disturbing;
      }
      await attempt.close();
      assert.deepEqual(await server.rows(table, 'v'), expected);
    });
  });
}
