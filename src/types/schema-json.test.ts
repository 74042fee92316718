import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { isMillraceError } from '../base/errors.ts';
import { samples } from '../testing/random-schemas.ts';
import { describeSchema, schemaFromJson, schemaToJson } from './schema-json.ts';
import type { Schema } from './schema.ts';
import { t } from './t.ts';

suite('schemas as JSON', () => {
  test('any schema survives text and back', () => {
    fc.assert(
      fc.property(samples, ({ schema }) => {
        const text = JSON.stringify(schemaToJson(schema));
        const back = schemaFromJson(JSON.parse(text));
        assert.deepEqual(back, schema);
        assert.equal(JSON.stringify(schemaToJson(back)), text);
      }),
      { numRuns: 200 },
    );
  });

  test('keeps defaults, whatever their type', () => {
    const defaults: readonly [Schema<unknown>, unknown][] = [
      [t.int64(), 5],
      [t.double(), Number.NaN],
      [t.double(), -0],
      [t.bigint(), 9_223_372_036_854_775_807n],
      [t.bytes(), new Uint8Array([1, 2, 255])],
      [t.optional(t.string()), undefined],
      [t.map(t.string(), t.int8()), new Map([['$map', 1]])],
      [t.struct({ $bigint: t.string(), b: t.array(t.int8()) }), { $bigint: 'x', b: [1] }],
    ];
    for (const [schema, value] of defaults) {
      const struct = t.struct({ field: t.field(schema, { default: value }) });
      const back = schemaFromJson(JSON.parse(JSON.stringify(schemaToJson(struct))));
      assert.deepStrictEqual(back, struct);
    }
  });

  test('says where and what is wrong', () => {
    const int8 = { kind: 'int8' };
    const field = (name: unknown, schema: unknown, more: object = {}): object => ({
      name,
      schema,
      ...more,
    });
    const struct = (...fields: unknown[]): object => ({ kind: 'struct', fields });
    const wrong: readonly (readonly [unknown, string])[] = [
      [null, '$'],
      [[], '$'],
      [{}, '$'],
      [{ kind: 'int9' }, '$'],
      [Object.create(int8), '$'],
      [struct(field('a', int8, { default: 300 })), '$.fields[0].default'],
      [{ kind: 'toString' }, '$'],
      [{ kind: 'decimal', precision: '3', scale: 0 }, '$'],
      [{ kind: 'decimal', precision: 3, scale: 9 }, '$'],
      [{ kind: 'array' }, '$.element'],
      [{ kind: 'map', key: int8, value: { kind: 'optional', inner: 1 } }, '$.value.inner'],
      [{ kind: 'enum', symbols: [] }, '$'],
      [{ kind: 'enum', symbols: ['a', 1] }, '$'],
      [{ kind: 'tuple', elements: [int8, 'x'] }, '$.elements[1]'],
      [{ kind: 'union', tag: 'k', variants: [['a', int8]] }, '$'],
      [
        {
          kind: 'union',
          tag: 'k',
          variants: [
            ['a', struct()],
            ['a', struct()],
          ],
        },
        '$.variants[1]',
      ],
      [{ kind: 'union', tag: 'k', variants: [{}] }, '$.variants[0]'],
      [struct(field('a', int8), field('a', int8)), '$'],
      [struct(field(1, int8)), '$.fields[0]'],
      [struct(field('a', int8, { aliases: [1] })), '$.fields[0]'],
      [struct(null), '$.fields[0]'],
      [struct(...new Array(10_001).fill(field('a', int8))), '$'],
    ];
    for (const [json, path] of wrong)
      assert.throws(
        () => schemaFromJson(json),
        { kind: 'invalid', code: 'BAD_SCHEMA_JSON', details: { path } },
        JSON.stringify(json)?.slice(0, 100),
      );
  });

  test('refuses what is nested too deep, in either direction', () => {
    let json: object = { kind: 'int8' };
    for (let i = 0; i < 65; i++) json = { kind: 'array', element: json };
    assert.throws(() => schemaFromJson(json), { code: 'BAD_SCHEMA_JSON' });
    let wide: ReturnType<typeof t.tuple> = t.tuple();
    for (let i = 0; i < 40; i++) wide = t.tuple(wide, wide);
    assert.throws(() => schemaToJson(wide), { code: 'SCHEMA_TOO_LARGE' });
  });

  test('any JSON is a schema or an error that names its place', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom('struct', 'union', 'enum', 'tuple', 'array'),
        (value, kind) => {
          try {
            schemaFromJson({
              kind,
              fields: value,
              variants: value,
              symbols: value,
              elements: value,
              element: value,
              tag: 'k',
            });
          } catch (error) {
            assert.ok(isMillraceError(error) && error.kind === 'invalid', String(error));
          }
        },
      ),
    );
  });

  test('describes itself in a line', () => {
    const schema = t.struct({
      id: t.int64(),
      note: t.optional(t.string()),
      at: t.map(t.key(), t.array(t.decimal(4, 2))),
    });
    assert.equal(
      describeSchema(schema),
      'struct{id: int64, note?: string, at: map<key, array<decimal(4, 2)>>}',
    );
    assert.equal(
      describeSchema(t.tuple(t.enum('a', 'b'), t.union('k', { x: t.struct({}) }))),
      '[enum(a | b), union(k: x)]',
    );
  });
});
