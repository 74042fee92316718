import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRecordsBatch, Reader, readRecordsBatches } from '@platformatic/kafka';
import fc from 'fast-check';
import { SimLog } from '../../src/testing/sim-log.ts';
import { murmur2, partitionOfKey } from './murmur2.ts';
import { type Compression, RecordBatchBuilder } from './record-batch-builder.ts';
import { RecordCursor, type TransactionMarker } from './record-cursor.ts';
import { type AbortedTransaction, NO_PRODUCER, type ProducerIdentity } from './transport.ts';
import { varintSize, writeVarint } from './varint.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

interface Plain {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly timestamp: number;
  readonly headers: [string, Uint8Array | null][];
}

const record: fc.Arbitrary<Plain> = fc.record({
  key: fc.option(fc.uint8Array({ maxLength: 200 })),
  value: fc.option(fc.uint8Array({ maxLength: 300 })),
  timestamp: fc.integer({ min: 0, max: 2 ** 50 }),
  headers: fc.array(
    fc.tuple(fc.string({ maxLength: 10 }), fc.option(fc.uint8Array({ maxLength: 20 }))),
    { maxLength: 3 },
  ),
});

function encode(records: readonly Plain[], compression: Compression = 'none'): Buffer {
  const builder = new RecordBatchBuilder();
  for (const { key, value, timestamp, headers } of records)
    builder.append(key, value, timestamp, headers.length === 0 ? undefined : headers);
  return builder.build({ ...NO_PRODUCER, baseSequence: -1, transactional: false }, compression);
}

function readAll(
  records: Buffer,
  options: Partial<ConstructorParameters<typeof RecordCursor>[0]> = {},
): Plain[] {
  const cursor = new RecordCursor({
    ...{ records, aborted: [], isolation: 'read_uncommitted', fromOffset: 0 },
    ...options,
  });
  const found: Plain[] = [];
  while (cursor.next())
    found.push({
      key: cursor.key,
      value: cursor.value,
      timestamp: cursor.timestamp,
      headers: cursor.headers() as [string, Uint8Array | null][], // pairs
    });
  return found;
}

const comparable = (records: readonly Plain[]): unknown =>
  records.map(({ key, value, timestamp, headers }) => [
    key === null ? null : Buffer.from(key).toString('hex'),
    value === null ? null : Buffer.from(value).toString('hex'),
    timestamp,
    headers.map(([name, header]) => [
      Buffer.from(name).toString(),
      header === null ? null : Buffer.from(header).toString('hex'),
    ]),
  ]);

describe('numbers of variable length', () => {
  test('take the size that was said, and are read back by records', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 52), max: 2 ** 52 }), (value) => {
        const buffer = Buffer.alloc(12);
        assert.equal(writeVarint(buffer, 0, value), varintSize(value));
      }),
    );
  });
});

describe('record batches', () => {
  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)
    test(`are read as they were written, ${compression}`, () => {
      fc.assert(
        fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), (records) => {
          assert.deepEqual(comparable(readAll(encode(records, compression))), comparable(records));
        }),
        { numRuns: 50 },
      );
    });

  test('another implementation reads what this one wrote', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 10 }), (records) => {
        const [batch] = readRecordsBatches(Reader.from(encode(records)));
        const theirs = batch!.records.map(({ key, value, timestampDelta, headers }) => ({
          key,
          value,
          timestamp: Number(batch!.firstTimestamp + timestampDelta),
          headers: [...headers].map(([name, header]) => [String(name), header]),
        })) as unknown as Plain[]; // the same shape
        assert.deepEqual(comparable(theirs), comparable(records));
      }),
      { numRuns: 50 },
    );
  });

  test('this one reads what another implementation wrote', () => {
    const messages = ['a', 'b', 'c'].map((text, i) => ({
      ...{ topic: 't', partition: 0, key: bytes(text), value: bytes(text + text) },
      timestamp: BigInt(1000 + i),
    }));
    const written = createRecordsBatch(messages, {}).buffer;
    assert.deepEqual(
      readAll(written).map(({ key, value, timestamp }) => [`${key}`, `${value}`, timestamp]),
      [
        ['a', 'aa', 1000],
        ['b', 'bb', 1001],
        ['c', 'cc', 1002],
      ],
    );
  });

  test('reading begins at the offset that was asked for, and a batch that was cut is left for later', () => {
    const plain = (text: string): Plain => ({
      key: null,
      value: bytes(text),
      timestamp: 1,
      headers: [],
    });
    const log = new SimLog();
    log.append(encode([plain('a'), plain('b'), plain('c')]));
    log.append(encode([plain('d'), plain('e')]));
    const all = log.read(0, 100, 1e9);
    const from = (fromOffset: number, records = all): string =>
      readAll(records, { fromOffset })
        .map(({ value }) => String(value))
        .join('');
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5].map((offset) => from(offset)),
      ['abcde', 'bcde', 'cde', 'de', 'e', ''],
    );
    for (const cut of [1, 10, 60]) assert.equal(from(0, all.subarray(0, all.length - cut)), 'abc');
  });

  test('a changed byte is never a wrong record: it is refused, or in the fields that the broker sets', () => {
    const written = encode([
      { key: bytes('key'), value: bytes('value'), timestamp: 5, headers: [] },
    ]);
    fc.assert(
      fc.property(fc.nat(written.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(written);
        damaged[at] = damaged[at]! ^ flip;
        try {
          for (const { key, value } of readAll(damaged))
            assert.deepEqual([String(key), String(value)], ['key', 'value']);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'KAFKA_CORRUPT_BATCH');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('records of aborted transactions', () => {
  type Step =
    | { readonly kind: 'write'; readonly producer: number; readonly count: number }
    | { readonly kind: 'end'; readonly producer: number; readonly commit: boolean }
    | { readonly kind: 'plain'; readonly count: number };

  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      producer: fc.nat(2),
      count: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({ kind: fc.constant('end' as const), producer: fc.nat(2), commit: fc.boolean() }),
    fc.record({ kind: fc.constant('plain' as const), count: fc.integer({ min: 1, max: 3 }) }),
  );

  /** A log, and what readers of committed records are to see of it. */
  function build(steps: readonly Step[]): { log: SimLog; expected: string[] } {
    const log = new SimLog();
    const sequences = [0, 0, 0];
    const all: { id: string; producer: number; visible: boolean }[] = [];
    const identityOf = (producer: number): ProducerIdentity => ({
      ...{ producerId: producer, producerEpoch: 0 },
    });
    for (const each of steps) {
      if (each.kind === 'end') {
        if (!log.isOpen(each.producer)) continue;
        log.mark(identityOf(each.producer), each.commit, 0);
        for (const entry of all)
          if (entry.producer === each.producer) {
            entry.visible ||= each.commit;
            entry.producer = -2;
          }
      } else {
        const transactional = each.kind === 'write';
        const producer = transactional ? each.producer : -1;
        const builder = new RecordBatchBuilder();
        for (let i = 0; i < each.count; i++) {
          const id = `r${all.length}`;
          all.push({ id, producer, visible: !transactional });
          builder.append(null, bytes(id), 0, undefined);
        }
        const baseSequence = transactional ? sequences[producer]! : -1;
        if (transactional) sequences[producer]! += each.count;
        const identity = transactional ? identityOf(producer) : NO_PRODUCER;
        log.append(builder.build({ ...identity, baseSequence, transactional }, 'none'));
      }
    }
    // What lies behind an open transaction is not visible yet.
    for (let producer = 0; producer < 3; producer++)
      if (log.isOpen(producer)) log.mark(identityOf(producer), false, 0);
    return { log, expected: all.filter(({ visible }) => visible).map(({ id }) => id) };
  }

  test('are left out however the answers are cut, several of one producer and several producers at once', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 30 }),
        fc.integer({ min: 1, max: 400 }),
        (steps, bytesMax) => {
          const { log, expected } = build(steps);
          const seen: string[] = [];
          for (let offset = 0; offset < log.highWatermark;) {
            const records = log.read(offset, log.lastStableOffset, bytesMax);
            const aborted: AbortedTransaction[] = log.aborted(offset, log.highWatermark);
            const cursor = new RecordCursor({
              records,
              aborted,
              isolation: 'read_committed',
              fromOffset: offset,
            });
            while (cursor.next()) seen.push(String(cursor.value));
            assert.ok(cursor.nextOffset > offset);
            offset = cursor.nextOffset;
          }
          assert.deepEqual(seen, expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('markers are told with their producer and outcome', () => {
    const { log } = build([
      { kind: 'write', producer: 1, count: 2 },
      { kind: 'end', producer: 1, commit: true },
      { kind: 'write', producer: 2, count: 1 },
      { kind: 'end', producer: 2, commit: false },
    ]);
    const cursor = new RecordCursor({
      ...{
        records: log.read(0, 100, 1e9),
        aborted: [],
        isolation: 'read_uncommitted',
        fromOffset: 0,
      },
    });
    const markers: TransactionMarker[] = [];
    cursor.onMarker = (marker) => markers.push(marker);
    while (cursor.next()) assert.ok(cursor.value !== null);
    assert.deepEqual(markers, [
      { offset: 2, producerId: 1, producerEpoch: 0, committed: true },
      { offset: 4, producerId: 2, producerEpoch: 0, committed: false },
    ]);
  });
});

describe('the partition of a key', () => {
  test("is the one that Java's producer picks", () => {
    // From the hash's published vectors.
    const vectors: [string, number][] = [
      ['21', -973932308],
      ['foobar', -790332482],
      ['a-little-bit-long-string', -985981536],
      ['a-little-bit-longer-string', -1486304829],
      ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
      ['abc', 479470107],
    ];
    for (const [key, hash] of vectors) {
      assert.equal(murmur2(bytes(key)), hash, key);
      assert.equal(partitionOfKey(bytes(key), 7), (hash & 0x7fffffff) % 7);
    }
  });
});
