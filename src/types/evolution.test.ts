import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { samples } from '../testing/random-schemas.ts';
import { checkCompatibility, resolvingDecoder } from './evolution.ts';
import { rowCodec } from './row-codec.ts';
import { schemaFromJson, schemaToJson } from './schema-json.ts';
import type { Schema } from './schema.ts';
import { t } from './t.ts';

/** A value written with one schema and read with another. */
function reread(writer: Schema<unknown>, reader: Schema<unknown>, value: unknown): unknown {
  const bytes = new ByteWriter();
  rowCodec(writer).encode(value, bytes);
  return resolvingDecoder(writer, reader)(new ByteReader(bytes.take()));
}

const INTS: readonly Schema<unknown>[] = [t.int8(), t.int16(), t.int32(), t.int64()];

/** Every pair of primitives that may change into one another, apart from staying the same. */
const WIDENINGS = new Set([
  'int8>int16',
  'int8>int32',
  'int8>int64',
  'int8>bigint',
  'int8>double',
  'int16>int32',
  'int16>int64',
  'int16>bigint',
  'int16>double',
  'int32>int64',
  'int32>bigint',
  'int32>double',
  'int64>bigint',
  'int64>double',
  'int64>timestamp',
  'timestamp>int64',
  'timestamp>double',
  'float>double',
]);

const ONE_OF_EACH: readonly (readonly [Schema<unknown>, unknown])[] = [
  [t.boolean(), true],
  [t.int8(), 5],
  [t.int16(), 5],
  [t.int32(), 5],
  [t.int64(), 5],
  [t.bigint(), 5n],
  [t.float(), 0.5],
  [t.double(), 0.5],
  [t.string(), 'x'],
  [t.bytes(), Uint8Array.of(1)],
  [t.timestamp(), 5],
];

suite('schema evolution', () => {
  test('the matrix of primitives: what is listed is read, everything else is refused with its path', () => {
    for (const [writer, value] of ONE_OF_EACH) {
      for (const [reader] of ONE_OF_EACH) {
        const [from, to] = [t.struct({ a: t.array(writer) }), t.struct({ a: t.array(reader) })];
        const found = checkCompatibility(from, to);
        if (writer.kind === reader.kind) {
          assert.deepEqual(found, { outcome: 'as-is' });
        } else if (WIDENINGS.has(`${writer.kind}>${reader.kind}`)) {
          assert.deepEqual(found, { outcome: 'after-migration' });
          const expected = reader.kind === 'bigint' ? 5n : value;
          assert.deepEqual(reread(from, to, { a: [value] }), { a: [expected] });
        } else {
          assert.deepEqual(found, {
            outcome: 'incompatible',
            reasons: [`a[]: stored as ${writer.kind}, which cannot be read as ${reader.kind}`],
          });
        }
      }
    }
  });

  test('widening keeps the least and the greatest value', () => {
    for (const [i, writer] of INTS.entries()) {
      const greatest = i === 3 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * 2 ** i - 1) - 1;
      for (const value of [greatest, -greatest]) {
        assert.equal(reread(writer, t.double(), value), value);
        assert.equal(reread(writer, t.bigint(), value), BigInt(value));
      }
    }
  });

  test('fields are added with a default or as optional, removed, reordered and renamed', () => {
    const writer = t.struct({ id: t.int32(), old: t.string(), gone: t.boolean() });
    const reader = t.struct({
      fresh: t.field(t.int8(), { default: 7 }),
      name: t.field(t.string(), { aliases: ['older', 'old'] }),
      maybe: t.optional(t.string()),
      id: t.int64(),
    });
    const read = reread(writer, reader, { id: 1, old: 'x', gone: true });
    assert.deepEqual(Object.entries(read as object), [
      ['fresh', 7],
      ['name', 'x'],
      ['maybe', undefined],
      ['id', 1],
    ]);
  });

  test('the newest alias that is stored wins, and the name itself before all', () => {
    const reader = t.struct({ c: t.field(t.int8(), { aliases: ['b', 'a'] }) });
    assert.deepEqual(reread(t.struct({ a: t.int8(), b: t.int8() }), reader, { a: 1, b: 2 }), {
      c: 2,
    });
    assert.deepEqual(reread(t.struct({ b: t.int8(), c: t.int8() }), reader, { b: 2, c: 3 }), {
      c: 3,
    });
  });

  test('a field added without a default, a removed symbol and a removed variant are refused, all of them named', () => {
    const writer = t.struct({
      e: t.enum('a', 'b'),
      u: t.union('k', { x: t.struct({}), constructor: t.struct({}) }),
      o: t.optional(t.int8()),
    });
    const reader = t.struct({
      e: t.enum('b'),
      u: t.union('k', { x: t.struct({ n: t.int8() }) }),
      o: t.int8(),
      f: t.int8(),
    });
    assert.deepEqual(checkCompatibility(writer, reader), {
      outcome: 'incompatible',
      reasons: [
        'e: enum symbol a was removed',
        'u<x>.n: added without a default; give it one or make it optional',
        'u: union variant constructor was removed',
        'o: stored as int8?, which cannot be read as int8',
        'f: added without a default; give it one or make it optional',
      ],
    });
    assert.throws(() => resolvingDecoder(writer, reader), {
      kind: 'data',
      code: 'SCHEMA_INCOMPATIBLE',
    });
  });

  test('enum symbols, variants, decimals, optionals, maps and tuples change inside', () => {
    const pairs: readonly (readonly [Schema<unknown>, Schema<unknown>, unknown, unknown])[] = [
      [t.enum('a', 'b'), t.enum('z', 'b', 'a'), 'a', 'a'],
      [t.decimal(4, 2), t.decimal(6, 3), '12.34', '12.34'],
      [t.int8(), t.optional(t.int64()), 5, 5],
      [t.optional(t.int8()), t.optional(t.bigint()), undefined, undefined],
      [
        t.map(t.int8(), t.int8()),
        t.map(t.bigint(), t.double()),
        new Map([[1, 2]]),
        new Map([[1n, 2]]),
      ],
      [t.tuple(t.int8(), t.string()), t.tuple(t.bigint(), t.string()), [1, 'x'], [1n, 'x']],
      [
        t.union('k', { a: t.struct({ n: t.int8() }), b: t.struct({}) }),
        t.union('k', { c: t.struct({}), b: t.struct({}), a: t.struct({ n: t.bigint() }) }),
        { k: 'a', n: 1 },
        { k: 'a', n: 1n },
      ],
    ];
    for (const [writer, reader, value, expected] of pairs)
      assert.deepEqual(reread(writer, reader, value), expected);
    for (const reader of [t.decimal(4, 1), t.decimal(4, 3)])
      assert.equal(checkCompatibility(t.decimal(4, 2), reader).outcome, 'incompatible');
    assert.equal(
      checkCompatibility(t.tuple(t.int8()), t.tuple(t.int8(), t.int8())).outcome,
      'incompatible',
    );
    assert.equal(checkCompatibility(t.union('k', {}), t.union('l', {})).outcome, 'incompatible');
  });

  test('a field named __proto__ stays plain data through a migration', () => {
    const read = reread(
      t.struct({ ['__proto__']: t.int8() }),
      t.struct({ ['__proto__']: t.bigint() }),
      JSON.parse('{"__proto__": 1}'),
    ) as object; // a struct
    assert.equal(Object.getPrototypeOf(read), Object.prototype);
    assert.deepEqual(Object.entries(read), [['__proto__', 1n]]);
  });

  test('aliases and defaults change no bytes', () => {
    const plain = t.struct({ a: t.int8() });
    assert.deepEqual(
      checkCompatibility(plain, t.struct({ a: t.field(t.int8(), { aliases: ['b'], default: 1 }) })),
      { outcome: 'as-is' },
    );
  });

  test('any schema reads its own data through the schema that was stored with it, and with a field added', () => {
    fc.assert(
      fc.property(
        samples.chain((sample) => fc.tuple(fc.constant(sample), sample.values)),
        ([{ schema }, value]) => {
          const writer = schemaFromJson(JSON.parse(JSON.stringify(schemaToJson(schema))));
          const bytes = new ByteWriter();
          rowCodec(schema).encode(value, bytes);
          const expected = rowCodec(schema).decode(new ByteReader(bytes.view()));
          assert.deepEqual(checkCompatibility(writer, schema), { outcome: 'as-is' });
          assert.deepEqual(reread(writer, schema, value), expected);
          const wrapped = t.struct({ v: schema, added: t.field(t.string(), { default: 'd' }) });
          const read = reread(t.struct({ v: writer }), wrapped, { v: value });
          assert.deepEqual(read, { v: expected, added: 'd' });
        },
      ),
      { numRuns: 200 },
    );
  });
});
