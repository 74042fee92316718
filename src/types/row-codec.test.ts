import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { isMillraceError } from '../base/errors.ts';
import { type Sample, samples } from '../testing/random-schemas.ts';
import { batchCodec, decodeBatch } from './batch-codec.ts';
import { rowCodec } from './row-codec.ts';
import type { Schema } from './schema.ts';
import { t } from './t.ts';

const RUNS = 300;

function encode<T>(schema: Schema<T>, value: T): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(1);
  rowCodec(schema).encode(value, writer);
  return writer.take();
}

const decode = <T>(schema: Schema<T>, bytes: Uint8Array): T =>
  rowCodec(schema).decode(new ByteReader(bytes));

/** A sample and one value of it. */
const cases: fc.Arbitrary<readonly [Sample, unknown]> = samples.chain((sample) =>
  fc.tuple(fc.constant(sample), sample.values),
);

/** What a row makes of a value: -0 of small integers and keys is 0, which deepEqual tells apart. */
const plusZero = (value: unknown): unknown => {
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(plusZero);
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [plusZero(k), plusZero(v)]));
  if (value instanceof Set) return new Set([...value].map(plusZero));
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plusZero(v)]));
};

suite('row codec', () => {
  test('reads back what it wrote, for any schema and value, and reads nothing more', () => {
    fc.assert(
      fc.property(cases, ([{ schema }, value]) => {
        const bytes = encode(schema, value);
        const reader = new ByteReader(
          Buffer.concat([bytes, Buffer.alloc(9, 0xee)]),
          0,
          bytes.length,
        );
        assert.deepEqual(plusZero(rowCodec(schema).decode(reader)), plusZero(value));
        assert.equal(reader.position, bytes.length);
      }),
      { numRuns: RUNS },
    );
  });

  test('writes the same bytes in a batch as one by one', () => {
    fc.assert(
      fc.property(
        samples.chain((sample) =>
          fc.tuple(fc.constant(sample), fc.array(sample.values, { minLength: 1, maxLength: 5 })),
        ),
        fc.boolean(),
        ([{ schema }, values], timed) => {
          const codec = batchCodec(schema);
          const timestamps = timed ? Float64Array.from(values, (_, i) => i - 0.5) : null;
          const writer = new ByteWriter(1);
          codec.encodeInto(values, timestamps, 0, values.length, writer);
          const bytes = writer.take();
          const rows = Buffer.concat(values.map((value) => encode(schema, value)));
          assert.deepEqual(Buffer.from(bytes.subarray(bytes.length - rows.length)), rows);
          const batch = codec.decode(new ByteReader(bytes));
          assert.deepEqual(plusZero(batch.values), plusZero(values));
          assert.deepEqual(batch.timestamps, timestamps);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('fails with a data error, or reads some value, on any corrupt bytes', () => {
    const damage = fc.record({ at: fc.nat(), byte: fc.nat(255), cut: fc.nat(), mode: fc.nat(3) });
    fc.assert(
      fc.property(
        cases,
        fc.array(damage, { minLength: 1, maxLength: 4 }),
        ([{ schema }, value], damages) => {
          let bytes = Buffer.from(encode(schema, value));
          for (const { at, byte, cut, mode } of damages) {
            if (bytes.length === 0) return;
            if (mode === 0) bytes = bytes.subarray(0, cut % bytes.length);
            else bytes[at % bytes.length] = byte;
          }
          const padded = Buffer.concat([bytes, Buffer.alloc(16, 0x7f)]);
          const reader = new ByteReader(padded, 0, bytes.length);
          try {
            rowCodec(schema).decode(reader);
          } catch (error) {
            assert.ok(isMillraceError(error), String(error));
            assert.equal(error.kind, 'data');
            assert.equal(error.code, 'CORRUPT_VALUE');
          }
          assert.ok(reader.position <= bytes.length);
        },
      ),
      { numRuns: RUNS * 4 },
    );
  });

  test('takes no memory and no time for what corrupt bytes claim to hold', () => {
    const claims = Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0x7f]), Buffer.alloc(300)]);
    const schemas = [
      t.array(t.array(t.tuple(t.struct({}), t.tuple()))),
      t.map(t.struct({}), t.struct({})),
      t.generic(),
      t.string(),
      t.bytes(),
    ];
    for (const schema of schemas)
      assert.throws(() => decode<unknown>(schema, claims), { kind: 'data', code: 'CORRUPT_VALUE' });
    // MessagePack heads of arrays, maps, extensions, bytes and text of four billion.
    for (const head of [0xdd, 0xdf, 0xc9, 0xc6, 0xdb]) {
      const claim = Buffer.concat([
        Buffer.from([40, head]),
        Buffer.alloc(4, 0xff),
        Buffer.alloc(35, 1),
      ]);
      assert.throws(() => decode<unknown>(t.generic(), claim), {
        kind: 'data',
        code: 'CORRUPT_VALUE',
      });
    }
  });

  test('names the field that does not match', () => {
    const schema = t.struct({
      a: t.array(t.struct({ n: t.int64() })),
      m: t.optional(t.map(t.string(), t.int8())),
    });
    const cast = (value: unknown): never => value as never; // wrong on purpose
    const paths: readonly (readonly [unknown, string])[] = [
      [{ a: [{ n: 1 }, { n: 1.5 }] }, 'a[].n'],
      [{ a: [{ n: 2 ** 53 }] }, 'a[].n'],
      [{ a: [{}] }, 'a[].n'],
      [{ a: 'text' }, 'a'],
      [{ a: [], m: new Map([['x', 128]]) }, 'm{}'],
      [{ a: [], m: new Map([[5, 1]]) }, 'm{key}'],
      [{ a: [], m: {} }, 'm'],
      [null, ''],
    ];
    for (const [value, path] of paths)
      assert.throws(() => encode(schema, cast(value)), {
        kind: 'invalid',
        code: 'VALUE_DOES_NOT_MATCH_SCHEMA',
        details: { path },
      });
  });

  test('refuses every value of the wrong type or range', () => {
    const wrong: readonly (readonly [Schema<unknown>, readonly unknown[]])[] = [
      [t.boolean(), [0, 'true', null, undefined]],
      [t.int8(), [128, -129, 1.5, NaN, '1', 1n, Symbol.iterator, {}]],
      [t.int16(), [32768, -32769, 1n]],
      [t.int32(), [2 ** 31, -(2 ** 31) - 1, 1n, '1', NaN]],
      [t.int64(), [2 ** 53, NaN, Infinity, 1n]],
      [t.bigint(), [1, 2n ** 63n, -(2n ** 63n) - 1n]],
      [t.timestamp(), [Infinity, 0.5, '0']],
      [t.double(), ['1', 1n, null]],
      [t.float(), ['1']],
      [t.string(), [1, null, Object('boxed')]],
      [t.bytes(), [[1], new ArrayBuffer(1), new Uint16Array(1)]],
      [t.decimal(4, 2), ['123.4', '1.234', '1e2', '', '.5', '-', ' 1', 1]],
      [t.decimal(2, 2), ['1', '1.00']],
      [t.enum('a'), ['b', 0, undefined]],
      [t.tuple(t.int8()), [[], [1, 2], {}]],
      [t.union('k', { a: t.struct({}) }), [{ k: 'b' }, {}, null, { k: 'toString' }]],
      [t.key(), [{}, null, undefined, NaN, [NaN], 2n ** 63n]],
      [
        t.generic(),
        [() => 0, Symbol.iterator, { deep: [() => 0] }, JSON.parse('{"__proto__": 1}')],
      ],
    ];
    for (const [schema, values] of wrong)
      for (const value of values)
        assert.throws(
          () => encode(schema, value),
          { kind: 'invalid' },
          `${schema.kind}: ${typeof value}`,
        );
  });

  test('refuses a schemaless value that holds itself', () => {
    const circle: unknown[] = [];
    circle.push(circle);
    assert.throws(() => encode(t.generic(), circle), { code: 'VALUE_DOES_NOT_MATCH_SCHEMA' });
  });

  test('keeps __proto__ as plain data and leaves prototypes alone', () => {
    const schema = t.struct({
      a: t.int8(),
      ['__proto__']: t.struct({ polluted: t.boolean() }),
      b: t.int8(),
    });
    const value: unknown = JSON.parse('{"a": 1, "__proto__": {"polluted": true}, "b": 2}');
    const read = decode<object>(schema, encode<unknown>(schema, value));
    assert.deepEqual(Object.keys(read), ['a', '__proto__', 'b']);
    assert.equal(Object.getPrototypeOf(read), Object.prototype);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });

  test('does not mistake inherited properties for fields', () => {
    const schema = t.struct({
      constructor: t.optional(t.string()),
      toString: t.optional(t.int8()),
    });
    const empty = {} as { constructor?: string; toString?: number }; // the point of the test
    assert.deepEqual(Object.entries(decode(schema, encode(schema, empty as never))), [
      ['constructor', undefined],
      ['toString', undefined],
    ]);
  });

  test('decodes bytes and text into memory of their own', () => {
    const schema = t.struct({ bytes: t.bytes(), text: t.string() });
    const frame = encode(schema, { bytes: Buffer.from('abc'), text: 'x'.repeat(100) });
    const read = decode(schema, frame);
    frame.fill(0);
    assert.deepEqual(read, { bytes: Uint8Array.of(97, 98, 99), text: 'x'.repeat(100) });
    assert.equal(read.bytes.buffer.byteLength, 3);
    assert.equal(Object.getPrototypeOf(read.bytes), Uint8Array.prototype);
  });

  test('a codec is generated once per schema object, and a schema that is too large is refused', () => {
    const schema = t.struct({ a: t.int8() });
    assert.equal(rowCodec(schema), rowCodec(schema));
    let deep: Schema<unknown> = t.int8();
    for (let i = 0; i < 70; i++) deep = t.array(deep);
    assert.throws(() => rowCodec(deep), { code: 'SCHEMA_TOO_LARGE' });
    let wide: Schema<unknown> = t.int8();
    for (let i = 0; i < 30; i++) wide = t.tuple(wide, wide);
    assert.throws(() => rowCodec(wide), { code: 'SCHEMA_TOO_LARGE' });
  });

  test('the bytes of version 1 stay as they are', () => {
    const schema = t.struct({
      id: t.int64(),
      note: t.optional(t.string()),
      tags: t.array(t.enum('red', 'blue')),
      at: t.union('k', { none: t.struct({}), some: t.struct({ n: t.int16() }) }),
    });
    const hex = Buffer.from(
      encode(schema, { id: 1, note: 'né', tags: ['blue'], at: { k: 'some', n: -2 } }),
    ).toString('hex');
    assert.equal(hex, '01000000000000f03f076ec3a9010101feff');
    assert.equal(Buffer.from(encode(t.string(), '\ud800')).toString('hex'), '07ff00d8');
    assert.equal(
      Buffer.from(encode(t.key(), ['a', 1])).toString('hex'),
      '0501046100000102bff000000000000000',
    );
  });
});

suite('batch codec', () => {
  test('refuses batches of no record, of too many, and frames that are cut off', () => {
    const codec = rowCodec(t.int8());
    for (const bytes of [[0, 0], [0x81, 8, 0], [], [1], [1, 2, 1], [2, 1, 0, 0]])
      assert.throws(() => decodeBatch(codec, new ByteReader(Buffer.from(bytes))), {
        kind: 'data',
        code: 'CORRUPT_VALUE',
      });
    assert.throws(() => batchCodec(t.int8()).encodeInto([], null, 0, 0, new ByteWriter()), {
      kind: 'internal',
    });
  });
});
