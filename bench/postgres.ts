/**
 * The PostgreSQL connector against what one writes by hand with the same client: rows into a table by `INSERT ... SELECT FROM unnest`, five thousand in a
 * statement, committed at the same rows; rows out of it by a cursor; and how fast changes are streamed.
 *
 * A real server on the same machine takes a share of the processor from all of them. The hand-written writer commits once and loses or repeats
 * what a crash finds under way; the exactly-once sink writes every row twice. What is not measured: a network, indexes beside the key, several
 * subtasks.
 */
import { startPostgres } from '../scripts/services/postgres.ts';
import { isMissing } from '../scripts/services/service.ts';
import type { SplitState } from '../src/connector/source.ts';
import { postgresSource } from '../connectors/postgres/index.ts';
import { t } from '../src/types/t.ts';
import { discover, readerContext, SinkAttempt } from '../tests/connector-fixture.ts';
import { TestServer } from '../tests/postgres/postgres-fixture.ts';

const ROWS = 500_000;
const ROWS_QUICK = 50_000;
const KEYS = 10_000;
const COMMIT_ROWS = 50_000;
const STATEMENT_ROWS = 5000;
const BATCH_ROWS = 1000;

interface Row {
  readonly id: number;
  readonly k: string;
  readonly v: number;
  readonly note: string;
}

const ROW = t.struct({ id: t.int32(), k: t.string(), v: t.double(), note: t.string() });
const COLUMNS = 'id integer, k text, v double precision, note text';

const rowOf = (id: number): Row => ({
  id,
  k: `k${(id * 7919) % KEYS}`,
  v: id / 3,
  note: 'some words that come along with it',
});

export async function run({
  quick,
}: {
  readonly quick: boolean;
}): Promise<Readonly<Record<string, number>>> {
  const service = await startPostgres();
  if (isMissing(service)) {
    console.error(`no PostgreSQL: ${service.missing}`);
    return {};
  }
  const server = new TestServer(service.options);
  try {
    const rows = quick ? ROWS_QUICK : ROWS;
    return {
      ...(await writing(server, rows, 'inserts', '')),
      ...(await writing(server, rows, 'upserts', ', PRIMARY KEY (k)')),
      ...(await reading(server, rows)),
    };
  } finally {
    await server.close();
    await service.stop();
  }
}

async function writing(
  server: TestServer,
  rows: number,
  what: 'inserts' | 'upserts',
  constraint: string,
): Promise<Record<string, number>> {
  const tables = [];
  for (let i = 0; i < 3; i++) tables.push(await server.table(COLUMNS + constraint));
  const [byHand, once, atLeastOnce] = tables as [string, string, string]; // three of them
  const key = what === 'upserts' ? ['k'] : [];
  const hand = await seconds(() => writeByHand(server, byHand, rows, key));
  const exactly = await seconds(() => writeBySink(server, once, rows, key, 'exactly-once'));
  const atLeast = await seconds(() => writeBySink(server, atLeastOnce, rows, key, 'at-least-once'));
  for (const table of tables) await checkRows(server, table, byHand);
  return {
    [`${what}: exactly-once rows/s`]: rows / exactly,
    [`${what}: at-least-once rows/s`]: rows / atLeast,
    [`${what}: by hand rows/s`]: rows / hand,
    [`${what}: exactly-once / by hand`]: hand / exactly,
    [`${what}: at-least-once / by hand`]: hand / atLeast,
  };
}

/** A figure of a run that lost or repeated something means nothing. */
async function checkRows(server: TestServer, table: string, byHand: string): Promise<void> {
  const sum = `SELECT count(*) AS rows, sum(id) AS sum FROM`;
  const [found, wanted] = [
    await server.sql(`${sum} ${table}`),
    await server.sql(`${sum} ${byHand}`),
  ];
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new TypeError(`${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}

async function writeByHand(
  server: TestServer,
  table: string,
  rows: number,
  key: readonly string[],
): Promise<void> {
  const session = await server.database.open('by hand');
  const conflict =
    key.length === 0
      ? ''
      : ' ON CONFLICT (k) DO UPDATE SET id = EXCLUDED.id, v = EXCLUDED.v, note = EXCLUDED.note';
  const statement = `INSERT INTO ${table} SELECT * FROM unnest($1::int[], $2::text[], $3::float8[], $4::text[])${conflict}`;
  for (let id = 0; id < rows;) {
    await session.query('BEGIN');
    for (const end = Math.min(rows, id + COMMIT_ROWS); id < end;) {
      const columns: [string[], string[], string[], string[]] = [[], [], [], []];
      // No key stands twice in a statement: there are more of them than rows.
      for (const stop = Math.min(end, id + STATEMENT_ROWS); id < stop; id++) {
        const { k, v, note } = rowOf(id);
        columns[0].push(String(id));
        columns[1].push(k);
        columns[2].push(String(v));
        columns[3].push(note);
      }
      await session.query(statement, columns);
    }
    await session.query('COMMIT');
  }
  await session.close();
}

async function writeBySink(
  server: TestServer,
  table: string,
  rows: number,
  key: readonly string[],
  guarantee: 'exactly-once' | 'at-least-once',
): Promise<void> {
  const options = { table, columns: ['id', 'k', 'v', 'note'], guarantee };
  const sink = server.sink<Row>(key.length === 0 ? options : { ...options, key });
  const attempt = await SinkAttempt.open(sink);
  for (let id = 0; id < rows;) {
    const values = [];
    for (const end = Math.min(rows, id + BATCH_ROWS); id < end; id++) values.push(rowOf(id));
    await attempt.write(...values);
    if (id % COMMIT_ROWS === 0 || id === rows) await attempt.checkpoint(id);
  }
  await attempt.close();
}

async function reading(server: TestServer, rows: number): Promise<Record<string, number>> {
  const table = await server.table(`${COLUMNS}, PRIMARY KEY (id)`);
  await writeByHand(server, table, rows, []);
  const source = postgresSource({
    ...{ database: server.database, tables: [table], slot: 'bench', schema: ROW },
  });
  const { splits } = await discover(source);
  const hand = await seconds(() => readByHand(server, table));
  const reader = source.createReader(readerContext());
  const split = await reader.openSplit(splits[0] as SplitState); // there is one
  const readRows = async (count: number): Promise<void> => {
    for (let read = 0; read < count;) read += (await split.poll(1024))?.values.length ?? 0;
  };
  const first = await seconds(() => readRows(rows));
  await server.sql(`UPDATE ${table} SET v = v + 1`);
  const cpu = process.cpuUsage();
  const changes = await seconds(() => readRows(rows));
  const { user, system } = process.cpuUsage(cpu);
  await split.close();
  await reader.close();
  return {
    'first reading rows/s': rows / first,
    'first reading / by hand': hand / first,
    'changes/s': rows / changes,
    'changes per CPU second': rows / ((user + system) / 1e6),
  };
}

/** By a cursor, and numbers made of what is text. */
async function readByHand(server: TestServer, table: string): Promise<void> {
  const session = await server.database.open('by hand');
  await session.query('BEGIN');
  await session.query(
    `DECLARE c NO SCROLL CURSOR FOR SELECT id, k, v, note FROM ${table} ORDER BY id`,
  );
  let sum = 0;
  for (;;) {
    const page = await session.query('FETCH FORWARD 4096 FROM c');
    for (const { id, k, v, note } of page) {
      const row = { id: Number(id), k, v: Number(v), note };
      sum += row.id;
    }
    if (page.length === 0) break;
  }
  await session.close();
  if (!Number.isFinite(sum)) throw new TypeError('nothing was read');
}

async function seconds(act: () => Promise<void>): Promise<number> {
  const beginMs = performance.now();
  await act();
  return (performance.now() - beginMs) / 1000;
}
