import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { isMillraceError } from '../base/errors.ts';
import { keySamples, type Sample, texts } from '../testing/random-schemas.ts';
import { isKeySchema, keyCodec, keyIdentity } from './key-codec.ts';
import { hashKey } from './key-hash.ts';
import type { Schema } from './schema.ts';
import { t } from './t.ts';

const RUNS = 400;

function encode(schema: Schema<unknown>, key: unknown): Buffer {
  const writer = new ByteWriter(1);
  keyCodec(schema).encode(key, writer);
  return Buffer.from(writer.take());
}

const sign = (n: number): number => (n > 0 ? 1 : n < 0 ? -1 : 0);
const order = <T extends number | bigint | boolean>(a: T, b: T): number =>
  a < b ? -1 : a > b ? 1 : 0;

const pointsOf = (text: string): readonly number[] => Array.from(text, (c) => c.codePointAt(0)!);

const orderOfText = (a: string, b: string): number =>
  orderOfLists<number>(pointsOf(a), pointsOf(b), order);

function orderOfLists<T>(
  a: readonly T[],
  b: readonly T[],
  compare: (x: T, y: T) => number,
): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const found = compare(a[i]!, b[i]!);
    if (found !== 0) return found;
  }
  return a.length - b.length;
}

const SELF_TYPES = ['boolean', 'number', 'bigint', 'string', 'object'];

function orderOfSelf(a: unknown, b: unknown): number {
  const [x, y] = [SELF_TYPES.indexOf(typeof a), SELF_TYPES.indexOf(typeof b)];
  if (x !== y) return x - y;
  if (Array.isArray(a) && Array.isArray(b)) return orderOfLists<unknown>(a, b, orderOfSelf);
  return typeof a === 'string' ? orderOfText(a, b as string) : order(a as number, b as number); // of one type, compared above
}

/** The obvious comparison of two keys of a schema. */
function compare(schema: Schema<unknown>, a: never, b: never): number {
  switch (schema.kind) {
    case 'string':
      return orderOfText(a, b);
    case 'decimal':
      return order(BigInt(String(a).replace('.', '')), BigInt(String(b).replace('.', '')));
    case 'bytes':
      return orderOfLists<number>(a, b, order);
    case 'enum':
      return schema.symbols.indexOf(a) - schema.symbols.indexOf(b);
    case 'key':
      return orderOfSelf(a, b);
    case 'optional':
      return a === undefined || b === undefined
        ? Number(a !== undefined) - Number(b !== undefined)
        : compare(schema.inner, a, b);
    case 'tuple':
      return orderOfParts(schema.elements.map((element, i) => [element, a[i], b[i]]));
    case 'struct':
      return orderOfParts(
        schema.fields.map(({ name, schema: field }) => [field, a[name], b[name]]),
      );
    default:
      return order<number>(a, b);
  }
}

function orderOfParts(parts: readonly (readonly [Schema<unknown>, never, never])[]): number {
  for (const [schema, a, b] of parts) {
    const found = compare(schema, a, b);
    if (found !== 0) return found;
  }
  return 0;
}

const pairs: fc.Arbitrary<readonly [Sample, unknown, unknown]> = keySamples.chain((sample) =>
  fc.tuple(fc.constant(sample), sample.values, sample.values),
);

suite('ordered keys', () => {
  test('compare as bytes as they compare as values, are equal as bytes when equal, and read back', () => {
    fc.assert(
      fc.property(pairs, ([{ schema }, a, b]) => {
        const [left, right] = [encode(schema, a), encode(schema, b)];
        assert.equal(
          sign(Buffer.compare(left, right)),
          sign(compare(schema, a as never, b as never)),
        );
        const reader = new ByteReader(Buffer.concat([left, right]), 0, left.length + right.length);
        assert.equal(compare(schema, keyCodec(schema).decode(reader) as never, a as never), 0);
        assert.equal(reader.position, left.length);
        assert.equal(compare(schema, keyCodec(schema).decode(reader) as never, b as never), 0);
        assert.equal(reader.remaining, 0);
      }),
      { numRuns: RUNS * 2 },
    );
  });

  test('have one identity and one hash when their bytes are the same, and different identities otherwise', () => {
    fc.assert(
      fc.property(pairs, ([{ schema }, a, b]) => {
        const identify = keyIdentity(schema);
        const same = encode(schema, a).equals(encode(schema, b));
        assert.equal(new Set([identify(a), identify(b)]).size, same ? 1 : 2);
        if (schema.kind !== 'optional' && same)
          assert.equal(hashKey(a, schema), hashKey(b, schema));
      }),
      { numRuns: RUNS },
    );
  });

  test('order numbers through zero and infinities, and hold -0 and 0 as one', () => {
    const sorted = [-Infinity, -1e300, -1.5, -5e-324, 0, 5e-324, 1, 1.5, 2 ** 53, 1e300, Infinity];
    const bytes = sorted.map((n) => encode(t.double(), n));
    assert.deepEqual(bytes.toSorted(Buffer.compare), bytes);
    assert.deepEqual(encode(t.double(), -0), encode(t.double(), 0));
  });

  test('text that is a prefix of other text sorts first, also before what follows it in a tuple', () => {
    const schema = t.tuple(t.string(), t.string());
    const sorted = [
      ['', 'z'],
      ['\0', ''],
      ['a', 'z'],
      ['a\0', ''],
      ['a\0b', ''],
      ['ab', ''],
      ['é', ''],
      ['\uffff', ''],
      ['😀', ''],
    ];
    const bytes = sorted.map((key) => encode(schema, key));
    assert.deepEqual(bytes.toSorted(Buffer.compare), bytes);
  });

  test('two different texts never share their bytes, lone surrogates included', () => {
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        assert.equal(encode(t.string(), a).equals(encode(t.string(), b)), a === b);
        assert.equal(keyCodec(t.string()).decode(new ByteReader(encode(t.string(), a))), a);
      }),
      { numRuns: RUNS },
    );
  });

  test('decimals of one value are one key whatever their zeros', () => {
    const schema = t.decimal(6, 2);
    assert.deepEqual(encode(schema, '1.5'), encode(schema, '001.50'));
    assert.equal(keyIdentity(schema)('1.5'), keyIdentity(schema)('1.50'));
    assert.equal(hashKey('1.5', schema), hashKey('1.50', schema));
    assert.equal(keyCodec(schema).decode(new ByteReader(encode(schema, '-0.5'))), '-0.50');
    assert.deepEqual(encode(schema, '-0'), encode(schema, '0.00'));
  });

  test('pairs keep their identity however many texts there are, and whoever asks', () => {
    const schema = t.tuple(t.string(), t.int64());
    const identify = keyIdentity(schema);
    const keys = Array.from({ length: 70_000 }, (_, n) => [`text ${n}`, n % 7] as const);
    const first = keys.map(identify);
    assert.equal(new Set(first).size, keys.length);
    assert.deepEqual(keys.map(keyIdentity(schema)), first);
    const far = [2 ** 26, -1, 2 ** 40].map((n) => identify(['text 1', n]));
    assert.equal(new Set([...far, identify(['text 1', 1])]).size, 4);
  });

  test('text cannot pass for the identity of an array', () => {
    const identify = keyIdentity(t.key());
    const array = identify(['a', 1]);
    assert.notEqual(identify(array), array);
    assert.notEqual(identify(identify(array)), identify(array));
  });

  test('null, undefined and NaN are refused without showing anything else of the key', () => {
    for (const key of [null, undefined, NaN]) {
      assert.throws(() => encode(t.key(), key), { kind: 'invalid', code: 'NULL_KEY' });
      assert.throws(
        () => encode(t.key(), ['secret', key]),
        (error: Error) => !error.message.includes('secret'),
      );
    }
    for (const schema of [t.double(), t.int64(), t.float(), t.timestamp()])
      assert.throws(() => encode(schema, NaN), { kind: 'invalid', code: 'NULL_KEY' });
  });

  test('values of another type than the schema are refused', () => {
    const wrong: readonly (readonly [Schema<unknown>, unknown])[] = [
      [t.int8(), 200],
      [t.int32(), 1.5],
      [t.int64(), 1.5],
      [t.int64(), '1'],
      [t.bigint(), 1],
      [t.bigint(), 2n ** 63n],
      [t.string(), 1],
      [t.boolean(), 1],
      [t.bytes(), 'x'],
      [t.enum('a'), 'b'],
      [t.tuple(t.int8()), [1, 2]],
      [t.struct({ a: t.string() }), { a: null }],
      [t.struct({ a: t.string() }), null],
      [t.decimal(3, 1), '1.23'],
    ];
    for (const [schema, key] of wrong)
      assert.throws(() => encode(schema, key), {
        kind: 'invalid',
        code: 'VALUE_DOES_NOT_MATCH_SCHEMA',
      });
  });

  test('corrupt bytes are a data error or another key, never more', () => {
    fc.assert(
      fc.property(pairs, fc.nat(), fc.nat(255), fc.nat(), ([{ schema }, key], at, byte, cut) => {
        const bytes = encode(schema, key);
        if (bytes.length === 0) return;
        bytes[at % bytes.length] = byte;
        const end = cut % (bytes.length + 1);
        const reader = new ByteReader(Buffer.concat([bytes, Buffer.alloc(8, 1)]), 0, end);
        try {
          keyCodec(schema).decode(reader);
        } catch (error) {
          assert.ok(isMillraceError(error) && error.kind === 'data', String(error));
        }
        assert.ok(reader.position <= end);
      }),
      { numRuns: RUNS * 3 },
    );
    const nested = Buffer.alloc(100_000, Buffer.from([5, 1]));
    assert.throws(() => keyCodec(t.key()).decode(new ByteReader(nested)), { kind: 'data' });
  });

  test('indexes, flags and types that do not exist are a data error', () => {
    const bad: readonly (readonly [Schema<unknown>, readonly number[]])[] = [
      [t.enum('a', 'b'), [0, 2]],
      [t.boolean(), [2]],
      [t.optional(t.int8()), [2, 0]],
      [t.key(), [6]],
      [t.key(), [5, 2]],
      [t.string(), [0, 1, 0, 0]],
      [t.int64(), [0x80, 0, 0, 0, 0, 0, 0, 1]],
      [t.double(), [0xff, 0xff, 0, 0, 0, 0, 0, 0]],
      [t.decimal(1, 0), [0x80, ...new Array<number>(14).fill(0), 10]],
    ];
    for (const [schema, bytes] of bad)
      assert.throws(() => keyCodec(schema).decode(new ByteReader(Buffer.from(bytes))), {
        kind: 'data',
        code: 'CORRUPT_VALUE',
      });
  });

  test('schemas without an order are refused, and isKeySchema says so beforehand', () => {
    const never = [
      t.array(t.int8()),
      t.map(t.int8(), t.int8()),
      t.generic(),
      t.union('k', { a: t.struct({}) }),
    ];
    for (const schema of [
      ...never,
      ...never.map((inner) => t.tuple(inner)),
      t.struct({ a: t.optional(t.generic()) }),
    ]) {
      assert.equal(isKeySchema(schema), false);
      assert.throws(() => keyCodec<unknown>(schema), { kind: 'invalid', code: 'NOT_A_KEY_SCHEMA' });
    }
    fc.assert(
      fc.property(keySamples, ({ schema }) => assert.ok(isKeySchema(schema))),
      { numRuns: 50 },
    );
  });

  test('the bytes of version 1 stay as they are', () => {
    const hex = (schema: Schema<unknown>, key: unknown): string =>
      encode(schema, key).toString('hex');
    assert.equal(hex(t.int32(), -1), '7fffffff');
    assert.equal(hex(t.int64(), 1), 'bff0000000000000');
    assert.equal(hex(t.double(), -1), '400fffffffffffff');
    assert.equal(hex(t.bigint(), 1n), '8000000000000001');
    assert.equal(hex(t.string(), 'a\0é'), '6100ffc3a90000');
    assert.equal(hex(t.decimal(4, 1), '-0.1'), '7fffffffffffffffffffffffffffffff');
    assert.equal(
      hex(t.tuple(t.boolean(), t.enum('a', 'b'), t.optional(t.int8())), [true, 'b', undefined]),
      '01000100',
    );
    assert.equal(hex(t.key(), [true, 2n]), '050101010103800000000000000200');
  });
});
