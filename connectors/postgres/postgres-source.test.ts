/** What the source decides without a server: messages, values, snapshots, keys. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isMillraceError } from '../../src/base/errors.ts';
import { t } from '../../src/types/t.ts';
import { decoderOf } from './column-values.ts';
import { lsnText, parseLsn } from './lsn.ts';
import { decodePgoutput, decodeWal, encodeStatus } from './replication-messages.ts';
import { compareKeys, type SourceTable } from './source-table.ts';
import { parseSnapshot, sees } from './visible-transactions.ts';

describe('messages of logical replication', () => {
  const text = (value: string): Buffer => Buffer.from(`${value}\0`);
  const int32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const value = (content: string | null | undefined): Buffer =>
    content === null
      ? Buffer.from('n')
      : content === undefined
        ? Buffer.from('u')
        : Buffer.concat([
            Buffer.from('t'),
            int32(Buffer.byteLength(content)),
            Buffer.from(content),
          ]);
  const tuple = (...values: (string | null | undefined)[]): Buffer =>
    Buffer.concat([Buffer.from([0, values.length]), ...values.map(value)]);

  test('are read as they are documented', () => {
    const relation = Buffer.concat([
      ...[Buffer.from('R'), int32(7), text('public'), text('t'), Buffer.from('d')],
      ...[Buffer.from([0, 1]), Buffer.from([1]), text('k'), int32(25), int32(-1)],
    ]);
    assert.deepEqual(decodePgoutput(relation), {
      type: 'relation',
      relation: {
        ...{ oid: 7, schema: 'public', table: 't' },
        columns: [{ name: 'k', typeOid: 25, key: true }],
      },
    });
    const update = Buffer.concat([
      ...[Buffer.from('U'), int32(7), Buffer.from('K'), tuple('a', null)],
      ...[Buffer.from('N'), tuple('b', undefined)],
    ]);
    assert.deepEqual(decodePgoutput(update), {
      ...{ type: 'update', oid: 7, before: { whole: false, values: ['a', null] } },
      after: ['b', undefined],
    });
    assert.deepEqual(
      decodePgoutput(
        Buffer.concat([Buffer.from('T'), int32(2), Buffer.from([1]), int32(7), int32(8)]),
      ),
      {
        type: 'truncate',
        oids: [7, 8],
      },
    );
  });

  test('that are cut or are something else are refused by name, whatever they are', () => {
    const tags = fc.constantFrom(...'B C R I U D T Y O M \0'.split(' '));
    fc.assert(
      fc.property(tags, fc.uint8Array({ maxLength: 60 }), (tag, rest) => {
        for (const decode of [decodePgoutput, decodeWal])
          try {
            decode(Buffer.concat([Buffer.from(tag), rest]));
          } catch (error) {
            assert.ok(isMillraceError(error) && error.code === 'PG_CORRUPT_MESSAGE', String(error));
          }
      }),
    );
  });

  test('what is confirmed is what the server is told', () => {
    const lsn = parseLsn('16/B374D848');
    const bytes = encodeStatus({
      received: lsn,
      confirmed: lsn,
      wallMs: 946_684_800_001,
      replyWanted: true,
    });
    assert.equal(bytes.toString('hex'), `72${'00000016b374d848'.repeat(3)}00000000000003e801`);
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (any) => parseLsn(lsnText(any)) === any,
      ),
    );
    for (const bad of ['', '1', 'x/1', '1/', '123456789/1'])
      assert.throws(() => parseLsn(bad), { code: 'PG_BAD_LSN' });
  });
});

test('a snapshot sees what was over when it was taken, also where numbers of 32 bits begin again', () => {
  const snapshot = parseSnapshot('100:105:101,103');
  const seen = [99, 100, 101, 102, 103, 104, 105, 200].filter((xid) => sees(snapshot, xid));
  assert.deepEqual(seen, [99, 100, 102, 104]);
  const wrapped = parseSnapshot(`${2n ** 33n - 2n}:${2n ** 33n + 3n}:${2n ** 33n + 1n}`);
  const cases = [
    [2 ** 32 - 3, true],
    [2 ** 32 - 1, true],
    [0, true],
    [1, false],
    [2, true],
    [3, false],
  ] as const;
  for (const [xid, expected] of cases) assert.equal(sees(wrapped, xid), expected, String(xid));
  // A number that was read as a signed one.
  assert.equal(sees(wrapped, -1), true);
  for (const bad of ['', '1:2', 'a:b:c', '1:2:x'])
    assert.throws(() => parseSnapshot(bad), { code: 'PG_BAD_SNAPSHOT' });
});

test('keys are in the order of the server: numbers by value, text by its bytes', () => {
  const table = (typeOid: number): SourceTable => ({
    name: { schema: 'public', table: 't' },
    columns: [],
    key: [
      { name: 'k', typeOid },
      { name: 'l', typeOid: 25 },
    ],
  });
  assert.ok(compareKeys(table(20), ['-10', 'a'], ['9', 'a']) < 0);
  assert.ok(compareKeys(table(25), ['-10', 'a'], ['9', 'a']) < 0);
  assert.ok(compareKeys(table(20), ['10', 'a'], ['9', 'a']) > 0);
  assert.ok(compareKeys(table(25), ['10', 'a'], ['9', 'a']) < 0);
  assert.ok(compareKeys(table(25), ['a', 'z'], ['a', 'ä']) < 0);
  // As UTF-16 it would be the other way round.
  assert.ok(compareKeys(table(25), ['\u{10000}', ''], ['\uffff', '']) > 0);
  assert.equal(compareKeys(table(20), ['7', 'x'], ['7', 'x']), 0);
});

test('values by type, and by what the schema wants of them', () => {
  const cases: readonly [number, Parameters<typeof decoderOf>[1], string, unknown][] = [
    [20, undefined, '9007199254740993', 9007199254740993n],
    [20, t.int64(), '12', 12],
    [20, t.string(), '12', '12'],
    [1700, undefined, '12.30', '12.30'],
    [1700, t.double(), '12.30', 12.3],
    [1184, undefined, '1969-12-31 23:59:59.999999+00', -1],
    [1114, t.timestamp(), '0044-03-15 12:00:00 BC', Date.UTC(-43, 2, 15, 12)],
    [1184, undefined, 'infinity', Number.POSITIVE_INFINITY],
    [1082, undefined, '2026-02-28', '2026-02-28'],
    [1082, t.timestamp(), '2026-02-28', Date.UTC(2026, 1, 28)],
    [16, t.boolean(), 'f', false],
    [1009, undefined, '{a,NULL,"NULL","\\"\\\\",{}}', ['a', null, 'NULL', '"\\', []]],
    [1016, t.array(t.int64()), '[2:3]={1,2}', [1, 2]],
    [999_999, undefined, '(1,2)', '(1,2)'],
  ];
  for (const [oid, schema, text, expected] of cases)
    assert.deepEqual(decoderOf(oid, schema)(text), expected, text);
});
