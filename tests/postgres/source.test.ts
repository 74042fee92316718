/** Changes of tables from a real server: the first reading and the stream together, restarts at any moment, slots that are lost. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Change } from '../../connectors/postgres/index.ts';
import { postgresSource, type PostgresSourceOptions } from '../../connectors/postgres/index.ts';
import { startPostgres } from '../../scripts/services/postgres.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import type { Source, SourceReader, SplitReader, SplitState } from '../../src/connector/source.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import { t } from '../../src/types/t.ts';
import { discover, readerContext, readToEnd } from '../connector-fixture.ts';
import { type Pair, TestServer } from './postgres-fixture.ts';

const service = await startPostgres({
  settings: { max_replication_slots: '60', max_wal_senders: '60' },
});
if (isMissing(service)) reportMissing('PostgreSQL (source)', service);
else {
  const server = new TestServer(service.options);
  let slots = 0;

  function source<T = Pair>(
    table: string,
    options: Partial<PostgresSourceOptions<T>> = {},
  ): Source<Change<T>> {
    return postgresSource<T>({
      ...{ database: server.database, tables: [table], slot: `s${slots++}` },
      ...{ unavailableTimeout: '20 s', ...options },
    });
  }

  /** Keys of integers are bigints. */
  const keyOf = ({ k }: { readonly k: unknown }): string => String(k);

  /** What a change does, in short. */
  const short = ({ kind, after, before }: Change<Pair>): string =>
    `${kind} ${[before, after].map((row) => (row === undefined ? '-' : `${row.k}=${row.v ?? '?'}`)).join(' > ')}`;

  /** A reader that is stopped and started at will, as a job that restores its checkpoint. */
  class Run {
    readonly #source: Source<Change<Pair>>;
    #reader: SourceReader<Change<Pair>> | undefined;
    #split: SplitReader<Change<Pair>> | undefined;
    #polling: PromiseLike<RecordBatch<Change<Pair>> | null> | undefined;
    state: SplitState;
    readonly changes: Change<Pair>[] = [];

    private constructor(source: Source<Change<Pair>>, state: SplitState) {
      this.#source = source;
      this.state = state;
    }

    static async begin(source: Source<Change<Pair>>): Promise<Run> {
      const { splits } = await discover(source);
      assert.equal(splits.length, 1);
      const run = new Run(source, splits[0]!);
      await run.open();
      return run;
    }

    async open(): Promise<void> {
      this.#reader = this.#source.createReader(readerContext());
      this.#split = await this.#reader.openSplit(
        JSON.parse(JSON.stringify(this.state)) as SplitState,
      ); // what a checkpoint stores
    }

    /** One batch, if it is there within that time; false at the end. */
    async poll(max = 100, ms = 60_000): Promise<boolean> {
      this.#polling ??= Promise.resolve(this.#split!.poll(max));
      const timeout = new AbortController();
      const late = delay(ms, 'late' as const, { signal: timeout.signal }).catch(
        () => 'late' as const,
      );
      const batch = await Promise.race([this.#polling, late]);
      timeout.abort();
      if (batch === 'late') return true;
      this.#polling = undefined;
      if (batch !== null) this.changes.push(...batch.values);
      this.state = { split: this.state.split, position: this.#split!.position() };
      return batch !== null;
    }

    async until(done: (changes: readonly Change<Pair>[]) => boolean, max = 100): Promise<void> {
      while (!done(this.changes)) assert.ok(await this.poll(max));
    }

    /** The checkpoint with what was read is complete. */
    async confirm(): Promise<void> {
      await this.#reader!.notifyCheckpointComplete!(1, [this.state]);
    }

    /** As a split that has ended; its reader stays. */
    async stop(): Promise<void> {
      await this.#split?.close();
    }

    async close(): Promise<void> {
      await this.stop();
      await this.#reader?.close();
      // What it still brings is not emitted, and a failure was told.
      await this.#polling?.then(undefined, () => {});
      this.#polling = undefined;
    }
  }

  describe('changes of tables at a real PostgreSQL', { timeout: 180_000 }, () => {
    after(async () => {
      await server.close();
      await service.stop();
    });

    const keyed = 'k text PRIMARY KEY, v integer';

    test('the rows that are there come first, then every change with its kind', async () => {
      const table = await server.table(keyed);
      await server.sql(`INSERT INTO ${table} VALUES ('b', 2), ('a', 1)`);
      const run = await Run.begin(source(table));
      await run.until((changes) => changes.length === 2);
      assert.deepEqual(run.changes.map(short), ['insert - > a=1', 'insert - > b=2']);
      assert.ok(run.changes.every(({ snapshot }) => snapshot));
      await server.sql(
        `BEGIN; INSERT INTO ${table} VALUES ('c', 3); UPDATE ${table} SET v = 9 WHERE k = 'a'; COMMIT`,
      );
      await server.sql(`UPDATE ${table} SET k = 'z' WHERE k = 'b'`);
      await server.sql(`BEGIN; DELETE FROM ${table}; ROLLBACK`);
      await server.sql(`DELETE FROM ${table} WHERE k = 'c'`);
      await server.sql(`TRUNCATE ${table}`);
      await run.until((changes) => changes.length === 7);
      assert.deepEqual(run.changes.slice(2).map(short), [
        'insert - > c=3',
        'update - > a=9',
        'update b=? > z=2',
        'delete c=? > -',
        'truncate - > -',
      ]);
      assert.ok(
        run.changes
          .slice(2)
          .every(({ snapshot, table: of }) => !snapshot && of === `public.${table}`),
      );
      await run.close();
    });

    test('with the whole row before, and read to its end', async () => {
      const table = await server.table(keyed);
      await server.sql(`ALTER TABLE ${table} REPLICA IDENTITY FULL`);
      const wide = 'x'.repeat(20_000);
      await server.sql(`ALTER TABLE ${table} ADD w text`);
      const read = source<Pair & { w?: string | undefined }>(table, {
        before: 'full',
        snapshot: 'never',
        schema: t.struct({ k: t.string(), v: t.int32(), w: t.optional(t.string()) }),
      });
      const { splits } = await discover(read);
      await server.sql(
        `INSERT INTO ${table} SELECT 'a', 1, string_agg(md5(i::text), '') FROM generate_series(1, 500) i`,
      );
      await server.sql(`UPDATE ${table} SET v = 2`);
      assert.ok(wide.length > 8000);
      const { values } = await readToEnd(read.untilNow!(), splits);
      assert.deepEqual(
        values.map(({ kind }) => kind),
        ['insert', 'update'],
      );
      const [insert, update] = values;
      assert.equal(insert?.after?.w?.length, 16_000);
      // Out of line and not changed: taken from the row as it was.
      assert.deepEqual([update?.after?.v, update?.before?.v], [2, 1]);
      assert.equal(update?.after?.w, insert?.after?.w);
    });

    const flushed = async (): Promise<string> =>
      (await server.sql('SELECT pg_current_wal_flush_lsn() AS lsn'))[0]?.['lsn'] ?? '';

    test('what is out of line and was not changed is told by name when the log does not have it', async () => {
      const table = await server.table(`${keyed}, w text`);
      await server.sql(
        `INSERT INTO ${table} SELECT 'a', 1, string_agg(md5(i::text), '') FROM generate_series(1, 500) i`,
      );
      const read = source<Pair>(table, { snapshot: 'never' });
      const { splits } = await discover(read);
      await server.sql(`UPDATE ${table} SET v = 2`);
      const { values, malformed } = await readToEnd(read.untilNow!(), splits);
      assert.deepEqual(values, []);
      assert.match(malformed[0]?.reason ?? '', /^w is stored out of line.*REPLICA IDENTITY FULL/);
    });

    test('a model: restarts at any moment of reading and streaming, while rows change all the time, lose and repeat nothing', async () => {
      for (const seed of [1, 2]) {
        const random = new SeededRandom(seed);
        const integers = seed % 2 === 0;
        const table = await server.table(integers ? 'k bigint PRIMARY KEY, v integer' : keyed);
        const key = (): string =>
          integers ? String(random.int(400) - 200) : `k${random.int(300)}ü`;
        const upsert = (k: string, v: number): string =>
          `INSERT INTO ${table} VALUES ('${k}', ${v}) ON CONFLICT (k) DO UPDATE SET v = ${v};`;
        let version = 0;
        const change = (): string => {
          const k = key();
          switch (random.int(5)) {
            case 0:
              return `DELETE FROM ${table} WHERE k = '${k}';`;
            case 1: {
              // A row that moves to another key, past what is being read or not.
              const to = key();
              return `DELETE FROM ${table} WHERE k = '${to}' AND k <> '${k}'; UPDATE ${table} SET k = '${to}' WHERE k = '${k}';`;
            }
            default:
              return upsert(k, ++version);
          }
        };
        const transaction = async (changes: number): Promise<void> => {
          const statements = Array.from({ length: changes }, change).join(' ');
          await server.sql(`BEGIN; ${statements} ${random.int(6) === 0 ? 'ROLLBACK' : 'COMMIT'}`);
        };
        for (let i = 0; i < 10; i++) await transaction(40);
        const run = await Run.begin(source(table));
        // A transaction that stays open over the first reading.
        const other = await server.database.open('other');
        await other.query(`BEGIN; ${upsert(integers ? '7777' : 'open', 1)}`);
        let last = -1;
        for (let step = 0; step < 60; step++) {
          if (step < 40 && random.int(2) === 0) await transaction(1 + random.int(5));
          if (step === 25) await other.query('COMMIT');
          if (random.int(3) > 0 && step < 45) await run.poll(1 + random.int(30), 20);
          if (random.int(6) === 0) {
            if (random.int(2) === 0) await run.confirm();
            await run.close();
            await run.open();
          }
        }
        await other.query('COMMIT');
        await other.close();
        const expected = (await server.rows(table, 'k')).sort();
        const replayed = (): string[] => {
          const rows = new Map<string, number>();
          for (const { kind, before, after } of run.changes) {
            const old = before?.k ?? after?.k;
            if (kind === 'insert')
              assert.ok(!rows.has(String(after?.k)), `${after?.k} is inserted twice`);
            else assert.ok(rows.delete(String(old)), `${kind} of ${old}, which is not there`);
            if (after !== undefined) rows.set(keyOf(after), after.v);
          }
          return [...rows].map(([k, v]) => `${k}=${v}`).sort();
        };
        const marker = integers ? 8888n : 'marker';
        await server.sql(upsert(String(marker), ++version));
        last = version;
        await run.until((changes) =>
          changes.some(({ after }) => after?.v === last && keyOf(after) === `${marker}`),
        );
        assert.deepEqual(replayed(), [...expected, `${marker}=${last}`].sort(), `seed ${seed}`);
        await run.close();
      }
    });

    test('every type of column', async () => {
      const table = await server.table(
        'i8 bigint PRIMARY KEY, n numeric(12, 2), d double precision, b boolean, bytes bytea, at timestamptz, day date, j jsonb, tags text[], grid integer[], u uuid, t varchar(5), nothing text',
      );
      await server.sql(
        `INSERT INTO ${table} VALUES (4611686018427387904, 12.30, 'NaN', true, '\\x00ff', '2023-11-14 22:13:20.123456+00', '2026-02-28', '{"a": [1, null]}', '{"a,b","\\"q\\"",NULL,ü}', '{{1,2},{3,4}}', '00000000-0000-4000-8000-000000000001', 'it''s', NULL)`,
      );
      const row = {
        ...{ i8: 4611686018427387904n, n: '12.30', d: Number.NaN, b: true },
        ...{ bytes: new Uint8Array([0, 255]), at: 1_700_000_000_123, day: '2026-02-28' },
        ...{ j: { a: [1, null] }, tags: ['a,b', '"q"', null, 'ü'] },
        ...{
          grid: [
            [1, 2],
            [3, 4],
          ],
          u: '00000000-0000-4000-8000-000000000001',
          t: "it's",
        },
        nothing: null,
      };
      const read = source<Record<string, unknown>>(table);
      const { splits } = await discover(read);
      await server.sql(`UPDATE ${table} SET t = 'next'`);
      await server.sql(`UPDATE ${table} SET t = 'later'`);
      const { values } = await readToEnd(read.untilNow!(), splits);
      // The first reading has seen all of it.
      assert.deepEqual(
        values.map(({ kind, after }) => [kind, after]),
        [['insert', { ...row, t: 'later' }]],
      );
    });

    test('what a completed checkpoint has is confirmed, and nothing else', async () => {
      const table = await server.table(keyed);
      const slot = `s${slots}`;
      const run = await Run.begin(source(table));
      const confirmed = async (): Promise<string> =>
        (
          await server.sql(
            `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`,
          )
        )[0]?.['lsn'] ?? '';
      await server.sql(`INSERT INTO ${table} VALUES ('a', 1)`);
      await run.until((changes) => changes.length === 1);
      const before = await confirmed();
      await server.sql(`INSERT INTO ${table} VALUES ('b', 2)`);
      const between = await flushed();
      await run.until((changes) => changes.length === 2);
      assert.equal(await confirmed(), before);
      await run.confirm();
      await server.until(
        `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${slot}' AND confirmed_flush_lsn >= '${before}' AND confirmed_flush_lsn <= pg_current_wal_lsn() AND confirmed_flush_lsn > '${between}'::pg_lsn - 1000`,
      );
      // Without a change for us the position moves on with the log, so that the server may forget it.
      await server.sql(`CREATE TABLE other_${slot} AS SELECT generate_series(1, 10000)`);
      const far = await flushed();
      const reached = (): string => (run.state.position as { lsn: string }).lsn;
      const isFar = async (): Promise<boolean> =>
        (await server.sql(`SELECT 1 WHERE '${reached()}'::pg_lsn >= '${far}'::pg_lsn`)).length > 0;
      while (!(await isFar())) await run.poll();
      assert.equal(run.changes.length, 2);
      await run.close();
    });

    test('until now: a run ends where the log is, and the next one goes on; what it confirms after its end is confirmed too', async () => {
      const table = await server.table(keyed);
      const slot = `s${slots}`;
      const read = source(table).untilNow!();
      assert.equal(read.boundedness, 'bounded');
      await server.sql(`INSERT INTO ${table} VALUES ('a', 1), ('b', 2)`);
      const run = await Run.begin(read);
      while (await run.poll(1));
      assert.deepEqual(run.changes.map(short), ['insert - > a=1', 'insert - > b=2']);
      await run.stop();
      await server.sql(`UPDATE ${table} SET v = 3 WHERE k = 'a'`);
      await run.confirm();
      const { lsn } = run.state.position as { lsn: string };
      await server.until(
        `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${slot}' AND NOT active AND confirmed_flush_lsn = '${lsn}'`,
      );
      await run.open();
      while (await run.poll(1));
      assert.deepEqual(run.changes.slice(2).map(short), ['update - > a=3']);
      await run.close();
    });

    test('a slot that is lost, made anew, ahead, or of another server fails by name', async () => {
      const table = await server.table(keyed);
      const slot = `s${slots}`;
      const run = await Run.begin(source(table));
      await server.sql(`INSERT INTO ${table} VALUES ('a', 1)`);
      await run.until((changes) => changes.length === 1);
      const early = run.state;
      await server.sql(`INSERT INTO ${table} VALUES ('b', 1)`);
      await run.until((changes) => changes.length === 2);
      await run.confirm();
      await server.until(
        `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${slot}' AND confirmed_flush_lsn >= '${(run.state.position as { lsn: string }).lsn}'`,
      );
      await run.close();
      const late = run.state;
      run.state = early;
      await assert.rejects(run.open(), { kind: 'data', code: 'PG_SLOT_AHEAD' });
      run.state = {
        split: { id: 'x', data: { ...(late.split.data as object), system: '1' } },
        position: late.position,
      };
      await assert.rejects(run.open(), { kind: 'data', code: 'PG_OTHER_SERVER' });
      run.state = late;
      await server.until(
        `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${slot}' AND NOT active`,
      );
      await server.sql(`SELECT pg_drop_replication_slot('${slot}')`);
      await assert.rejects(run.open(), { kind: 'data', code: 'PG_SLOT_LOST' });
    });

    test('the reader that opens last has the slot; the one before stops', async () => {
      const table = await server.table(keyed);
      const read = source(table);
      const first = await Run.begin(read);
      await server.sql(`INSERT INTO ${table} VALUES ('a', 1)`);
      await first.until((changes) => changes.length === 1);
      const second = await Run.begin(read);
      const taken = second.until((changes) => changes.length === 1);
      await assert.rejects(
        first.until(() => false),
        { kind: 'unavailable', code: 'PG_REPLACED' },
      );
      await taken;
      await first.close();
      await second.close();
    });

    test('a server that is killed costs nothing: streaming goes on where it was', async () => {
      const table = await server.table(keyed);
      const run = await Run.begin(source(table));
      for (let round = 0; round < 3; round++) {
        await server.sql(
          `INSERT INTO ${table} SELECT 'k' || lpad(i::text, 4, '0'), i FROM generate_series(${round * 100}, ${round * 100 + 99}) i`,
        );
        await run.until((changes) => changes.length >= round * 100 + 50, 10);
        if (round === 1) await service.restart();
      }
      await run.until((changes) => changes.length === 300);
      assert.deepEqual(
        run.changes.map(({ after }) => after?.v),
        Array.from({ length: 300 }, (_, i) => i),
      );
      await run.close();
    });

    test('a table for each slot, and what cannot work is refused with what to do', async () => {
      const [one, two] = [await server.table(keyed), await server.table(keyed)];
      const bare = await server.table();
      const { splits, bySubtask } = await discover(
        source(one, { tables: [one, two], slots: 'table' }),
        2,
      );
      assert.deepEqual([splits.length, bySubtask.size], [2, 2]);
      const publication = `p${slots}`;
      await server.sql(`CREATE PUBLICATION ${publication} FOR TABLE ${one}`);
      const cases: readonly [Source<unknown>, string][] = [
        [source('nowhere'), 'PG_MISSING'],
        [source(bare), 'PG_REPLICA_IDENTITY'],
        [source(one, { before: 'full' }), 'PG_REPLICA_IDENTITY'],
        [source(one, { tables: [one, two], publication }), 'PG_PUBLICATION_INCOMPLETE'],
      ];
      for (const [read, code] of cases)
        await assert.rejects(discover(read), { kind: 'invalid', code });
      assert.throws(() => source(one, { slot: 'No!' }), { code: 'BAD_POSTGRES_SOURCE' });
    });

    test('a server that does not log what changes in rows is refused with what to do', async () => {
      const plain = await startPostgres({ settings: { wal_level: 'replica' } });
      assert.ok(!isMissing(plain));
      const other = new TestServer(plain.options);
      try {
        await other.sql('CREATE TABLE t (k text PRIMARY KEY)');
        await assert.rejects(
          discover(postgresSource({ database: other.database, tables: ['t'], slot: 's' })),
          { kind: 'invalid', code: 'PG_WAL_LEVEL', message: /wal_level = logical/ },
        );
      } finally {
        await other.close();
        await plain.stop();
      }
    });
  });
}
