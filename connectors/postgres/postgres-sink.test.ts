/** What the sink decides without a server: options, names, errors, and which rows go into a statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { t } from '../../src/types/t.ts';
import { postgresDatabase } from './database.ts';
import { parseTableName, quoted, quotedTable } from './identifiers.ts';
import { postgresSink } from './postgres-sink.ts';
import { planSink, type PostgresSinkOptions } from './postgres-sink-options.ts';
import { RowBuffer } from './row-buffer.ts';
import { isBroken, sqlFailure } from './sql-errors.ts';

const database = postgresDatabase({ host: 'h', database: 'd', user: 'u' });

interface Pair {
  readonly k: string;
  readonly v: number;
}

const column = (name: string, typeName: string) => ({
  ...{ name, typeName, type: typeName, required: false },
});

function bufferOf(options: Partial<PostgresSinkOptions<Pair>>): RowBuffer<Pair> {
  const all: PostgresSinkOptions<Pair> = { database, table: 't', columns: ['k', 'v'], ...options };
  return new RowBuffer(all, planSink(all), [column('k', 'text'), column('v', 'int4')]);
}

describe('the rows of a PostgreSQL sink', () => {
  test('without a key every record is a row, in order', () => {
    const buffer = bufferOf({ chunkRows: 2 });
    buffer.add({ k: 'a', v: 1 });
    assert.equal(buffer.isFull, false);
    buffer.add({ k: 'a', v: 2 });
    assert.equal(buffer.isFull, true);
    assert.deepEqual(buffer.take(), [
      { operation: 'upsert', rows: 2, json: '[{"k":"a","v":1},{"k":"a","v":2}]' },
    ]);
    assert.deepEqual(buffer.take(), []);
  });

  test('with a key the last record of each key is left, whatever came before: a model of any sequence', () => {
    const record = fc.record({
      k: fc.constantFrom('a', 'b', 'c'),
      v: fc.integer({ min: -2, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(record), (records) => {
        const buffer = bufferOf({ key: ['k'], deletes: ({ v }) => v < 0 });
        const model = new Map<string, number>();
        for (const each of records) {
          buffer.add(each);
          model.set(each.k, each.v);
        }
        const chunks = buffer.take();
        const rowsOf = (operation: string): Pair[] =>
          chunks
            .filter((chunk) => chunk.operation === operation)
            .flatMap(({ json }) => JSON.parse(json) as Pair[]);
        const left = [...model].filter(([, v]) => v >= 0).map(([k, v]) => `${k}${v}`);
        const deleted = [...model].filter(([, v]) => v < 0).map(([k]) => k);
        assert.deepEqual(
          rowsOf('upsert')
            .map(({ k, v }) => `${k}${v}`)
            .sort(),
          left.sort(),
        );
        assert.deepEqual(
          rowsOf('delete')
            .map(({ k }) => k)
            .sort(),
          deleted.sort(),
        );
      }),
    );
  });

  test('a buffer is full by characters too, and replacing a row does not add them up', () => {
    const buffer = bufferOf({ key: ['k'], chunkBytes: 1024 });
    for (let i = 0; i < 1000; i++) buffer.add({ k: 'a', v: i });
    assert.equal(buffer.isFull, false);
    for (let i = 0; i < 100; i++) buffer.add({ k: `k${i}`, v: i });
    assert.equal(buffer.isFull, true);
  });

  test('what has no JSON is refused by name', () => {
    const buffer = bufferOf({ row: () => ({ k: 'a', v: { deep: 1n } }) });
    assert.throws(() => buffer.add({ k: 'a', v: 1 }), { kind: 'data', code: 'PG_ROW_REFUSED' });
  });
});

describe('the options of a PostgreSQL sink', () => {
  const schema = t.struct({ k: t.string(), v: t.int32() });

  test('the fields of the schema are the columns; what does not go together is refused, all of it at once', () => {
    const sink = postgresSink({ database, table: 't', schema });
    assert.equal(sink.guarantee, 'exactly-once');
    const soft = postgresSink({ database, table: 't', schema, guarantee: 'at-least-once' });
    assert.equal(soft.guarantee, 'at-least-once');
    assert.equal(soft.createCommitter, undefined);
    const bad: readonly [Partial<PostgresSinkOptions<Pair>>, RegExp][] = [
      [{ columns: [] }, /columns/],
      [{ columns: ['k', 'k'] }, /twice/],
      [{ key: ['x'] }, /key column x/],
      [{ deletes: () => true }, /deletes/],
      [{ chunkBytes: 3, chunkRows: 0 }, /chunkBytes.*chunkRows/],
    ];
    for (const [options, message] of bad)
      assert.throws(() => postgresSink({ database, table: 't', schema, ...options }), {
        code: 'BAD_POSTGRES_SINK',
        message,
      });
    assert.throws(() => postgresDatabase({ host: '', port: 0, database: '', user: '' }), {
      code: 'BAD_POSTGRES_DATABASE',
    });
  });

  test('names are quoted, and never cut by the server', () => {
    assert.equal(quotedTable(parseTableName('t')), '"public"."t"');
    assert.equal(quotedTable(parseTableName('My.T"able')), '"My"."T""able"');
    assert.equal(quoted('a"; DROP TABLE x; --'), '"a""; DROP TABLE x; --"');
    for (const name of ['', 'a.', 'a.b.c', 'x'.repeat(64), 'ü'.repeat(32), 'a\0'])
      assert.throws(() => parseTableName(name), { code: 'BAD_POSTGRES_NAME' });
  });
});

test('errors of the server and of the network say what to do', () => {
  const cases = [
    ['23505', 'data', 'PG_ROW_REFUSED', false],
    ['22P02', 'data', 'PG_ROW_REFUSED', false],
    ['21000', 'data', 'PG_ROW_REFUSED', false],
    ['40P01', 'unavailable', 'PG_CONTENDED', false],
    ['55P03', 'unavailable', 'PG_CONTENDED', false],
    ['57P01', 'unavailable', 'PG_UNAVAILABLE', true],
    ['57P03', 'unavailable', 'PG_UNAVAILABLE', true],
    ['57014', 'unavailable', 'PG_UNAVAILABLE', false],
    ['53300', 'unavailable', 'PG_UNAVAILABLE', false],
    ['25P03', 'unavailable', 'PG_UNAVAILABLE', true],
    ['28P01', 'invalid', 'PG_AUTHENTICATION_FAILED', false],
    ['42501', 'invalid', 'PG_NOT_ALLOWED', false],
    ['42P01', 'invalid', 'PG_MISSING', false],
    ['42601', 'invalid', 'PG_STATEMENT_REFUSED', false],
    ['ECONNREFUSED', 'unavailable', 'PG_UNAVAILABLE', true],
    ['EPIPE', 'unavailable', 'PG_UNAVAILABLE', true],
    [undefined, 'unavailable', 'PG_UNAVAILABLE', true],
  ] as const;
  for (const [code, kind, ours, broken] of cases) {
    const cause = { code, message: 'it says no', detail: 'Key (k)=(1)', constraint: 'c' };
    const error = sqlFailure('writing', cause);
    assert.deepEqual([error.kind, error.code, isBroken(cause)], [kind, ours, broken], code);
    assert.match(error.message, /^writing: it says no \(Key/);
    assert.equal(error.details['permanent'] === true, kind === 'data');
  }
});
