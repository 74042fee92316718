import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import type { MalformedRecord, SourceReaderContext } from '../../src/connector/source.ts';
import type { SinkWriterContext } from '../../src/connector/sink.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import { storeAt } from '../../src/storage/store-at.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import { t } from '../../src/types/t.ts';
import type { Infer, Schema } from '../../src/types/schema.ts';
import { BulkSplitReader } from './bulk-split-reader.ts';
import { fileSink } from './file-sink.ts';
import { parquet } from './parquet.ts';

const tradeSchema = t.struct({
  id: t.int64(),
  symbol: t.string(),
  price: t.decimal(10, 2),
  size: t.int32(),
  ratio: t.double(),
  big: t.bigint(),
  isBuy: t.boolean(),
  side: t.enum('bid', 'ask'),
  at: t.timestamp(),
  raw: t.bytes(),
  note: t.optional(t.string()),
  tags: t.array(t.string()),
  venue: t.optional(t.struct({ name: t.string(), open: t.boolean() })),
});
type Trade = Infer<typeof tradeSchema>;

const trade: fc.Arbitrary<Trade> = fc.record(
  {
    id: fc.maxSafeInteger(),
    symbol: fc.string({ unit: 'binary', maxLength: 8 }),
    price: fc.integer({ min: -9999, max: 9999 }).map((n) => (n / 100).toFixed(2)),
    size: fc.integer(),
    ratio: fc.double({ noNaN: true }),
    big: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    isBuy: fc.boolean(),
    side: fc.constantFrom('bid' as const, 'ask' as const),
    at: fc.integer({ min: -62_000_000_000_000, max: 250_000_000_000_000 }),
    raw: fc.uint8Array({ maxLength: 6 }),
    note: fc.string(),
    tags: fc.array(fc.string(), { maxLength: 3 }),
    venue: fc.record({ name: fc.string(), open: fc.boolean() }, { noNullPrototype: true }),
  },
  {
    noNullPrototype: true,
    requiredKeys: [
      ...(['id', 'symbol', 'price', 'size', 'ratio', 'big', 'isBuy'] as const),
      ...(['side', 'at', 'raw', 'tags'] as const),
    ],
  },
);

const world = new Simulation({ seed: 1 }).startProcess('reader');

const contextOf = (malformed: MalformedRecord[]): SourceReaderContext => ({
  ...{ subtaskIndex: 0, parallelism: 1 },
  ...{ clock: world.clock, timers: world.timers, logger: world.logger },
  onMalformed: (record) => malformed.push(record),
});

function fileOf<T>(schema: Schema<T>, values: readonly T[], rowGroupSize = 4): Uint8Array {
  const writer = parquet(schema, { rowGroupSize }).createWriter();
  for (const value of values) writer.add(value);
  return writer.take();
}

/** Reads on from a position; the position after each batch comes along. */
async function read<T>(
  schema: Schema<T>,
  content: Uint8Array,
  { from = 0, malformed = [] as MalformedRecord[] } = {},
): Promise<{ readonly values: readonly T[]; readonly positions: readonly number[] }> {
  const store = new MemoryStore();
  await store.put('f.parquet', content);
  const file = { key: 'f.parquet', size: content.length };
  const reader = await BulkSplitReader.open(
    { store, file, format: parquet(schema), context: contextOf(malformed), limiter: undefined },
    from,
  );
  const values: T[] = [];
  const positions: number[] = [];
  for (;;) {
    const batch = await reader.poll(3);
    if (batch === null) return { values, positions };
    values.push(...batch.values);
    positions.push(reader.position() as number);
  }
}

/** Without properties that are undefined: absent and undefined are one to a schema. */
const plain = (values: readonly Trade[]): unknown => values.map((value) => ({ ...value }));

describe('Parquet', () => {
  test('holds any record of a schema, and reading on from any position yields the rest', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(trade, { minLength: 1, maxLength: 12 }), async (values) => {
        const content = fileOf(tradeSchema, values);
        const all = await read(tradeSchema, content);
        assert.deepEqual(plain(all.values), plain(values.map(withoutAbsent)));
        for (const from of all.positions) {
          const rest = await read(tradeSchema, content, { from });
          assert.deepEqual(plain(rest.values), plain(all.values.slice(from)));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('columns are found by field name or alias; what is not there has its default', async () => {
    const content = fileOf(t.struct({ old: t.int32(), more: t.string() }), [{ old: 7, more: 'x' }]);
    const schema = t.struct({
      fresh: t.field(t.int64(), { aliases: ['old'] }),
      added: t.field(t.string(), { default: 'none' }),
    });
    assert.deepEqual((await read(schema, content)).values, [{ fresh: 7, added: 'none' }]);
  });

  test('a record that does not fit is malformed, with its number', async () => {
    const content = fileOf(t.struct({ n: t.double() }), [{ n: 1 }, { n: 0.5 }, { n: 2 }]);
    const malformed: MalformedRecord[] = [];
    const { values } = await read(t.struct({ n: t.int32() }), content, { malformed });
    assert.deepEqual(values, [{ n: 1 }, { n: 2 }]);
    assert.deepEqual(
      malformed.map(({ position, reason }) => ({ position, reason })),
      [{ position: { file: 'f.parquet', record: 2 }, reason: 'n: expected int32, got number' }],
    );
  });

  test('what is no Parquet file, or a shorter one than before, is refused by name', async () => {
    const schema = t.struct({ n: t.int32() });
    for (const content of [Buffer.from('PAR1 no PAR1'), Buffer.alloc(0), Buffer.from('x')])
      await assert.rejects(read(schema, content), { code: 'PARQUET_CORRUPT', kind: 'data' });
    const one = fileOf(schema, [{ n: 1 }]);
    await assert.rejects(read(schema, one, { from: 2 }), { code: 'FILE_POSITION_BEYOND_END' });
    assert.throws(() => parquet(t.string()), { code: 'BAD_PARQUET_SCHEMA' });
  });

  test('files of the sink are read by DuckDB, columns by their types', async () => {
    const dir = await mkdtemp(`${tmpdir()}/millrace-parquet-`);
    try {
      await publish(storeAt(dir), [
        { id: 1, price: '2.50', at: 1_000, day: 'a' },
        { id: 2, price: '4.00', at: 2_000, day: 'a' },
        { id: 3, price: '8.00', at: 3_000, day: 'b' },
      ]);
      const db = await (await DuckDBInstance.create()).connect();
      const result = await db.runAndReadAll(
        `select day, count(*)::int, sum(price::decimal(10, 2))::double, epoch_ms(max("at"))::double
         from read_parquet('${dir}/*/part-*.parquet') group by day order by day`,
      );
      assert.deepEqual(result.getRows(), [
        ['a', 2, 6.5, 2000],
        ['b', 1, 8, 3000],
      ]);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

const withoutAbsent = (value: Trade): Trade =>
  // Checked values hold every optional field.
  ({ ...value, note: value.note, venue: value.venue }) as Trade;

interface Sale {
  readonly id: number;
  readonly price: string;
  readonly at: number;
  readonly day: string;
}

const saleSchema: Schema<Sale> = t.struct({
  id: t.int64(),
  price: t.decimal(10, 2),
  at: t.timestamp(),
  day: t.string(),
});

async function publish(store: ReturnType<typeof storeAt>, sales: readonly Sale[]): Promise<void> {
  const sink = fileSink({
    store,
    format: parquet(saleSchema),
    bucketOf: ({ day }) => `day=${day}`,
    extension: '.parquet',
  });
  const context: SinkWriterContext = {
    ...{ jobId: 'j', operatorId: 'o', subtaskIndex: 0, parallelism: 1, restored: [] },
    ...{ attemptId: 'a', clock: world.clock, timers: world.timers, logger: world.logger },
    print: () => {},
  };
  const writer = await sink.createWriter(context);
  const committer = await sink.createCommitter!(context);
  await writer.write({ values: sales, timestamps: null });
  await writer.flush(false);
  await committer.commit(await writer.prepareCommit!(1));
}
