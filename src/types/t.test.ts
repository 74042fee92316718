import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Infer, Schema } from './schema.ts';
import { t } from './t.ts';

/** Compiles only when both types are the same. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const isSame = <A, B>(_same: Same<A, B>): void => {};

suite('schema builder', () => {
  test('infers the type of what it describes', () => {
    const bid = t.struct({
      auction: t.int64(),
      price: t.field(t.decimal(10, 2), { aliases: ['cost'], default: '0' }),
      note: t.optional(t.string()),
      tags: t.array(t.enum('a', 'b')),
      counts: t.map(t.string(), t.bigint()),
      pair: t.tuple(t.boolean(), t.bytes()),
    });
    isSame<
      Infer<typeof bid>,
      {
        readonly auction: number;
        readonly price: string;
        readonly note?: string | undefined;
        readonly tags: readonly ('a' | 'b')[];
        readonly counts: ReadonlyMap<string, bigint>;
        readonly pair: readonly [boolean, Uint8Array];
      }
    >(true);
    const shape = t.union('kind', { circle: t.struct({ r: t.double() }), dot: t.struct({}) });
    isSame<
      Infer<typeof shape>,
      { readonly kind: 'circle'; readonly r: number } | { readonly kind: 'dot' }
    >(true);
    const generic = t.generic<Date>();
    isSame<Infer<typeof generic>, Date>(true);
    const key = t.key();
    isSame<Infer<typeof key>, unknown>(true);
    // @ts-expect-error a number is no text
    const wrong: Schema<string> = t.int64();
    assert.equal(wrong.kind, 'int64');
    // @ts-expect-error the default is of another type
    assert.throws(() => t.field(t.int8(), { default: 'x' }), { code: 'BAD_SCHEMA' });
  });

  test('schemas are frozen all the way down', () => {
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' ||
      value === null ||
      (Object.isFrozen(value) && Object.values(value).every(frozen));
    const schema = t.struct({
      a: t.field(t.array(t.map(t.string(), t.enum('x'))), { aliases: ['b'] }),
      u: t.union('k', {
        v: t.struct({ n: t.optional(t.tuple(t.decimal(3, 1), t.key(), t.generic())) }),
      }),
    });
    assert.ok(frozen(schema));
    assert.ok(frozen(t));
  });

  test('refuses what no codec could keep apart', () => {
    const bad: readonly (() => unknown)[] = [
      () => t.enum('a', 'a'),
      () => t.decimal(0, 0),
      () => t.decimal(39, 0),
      () => t.decimal(3, 4),
      () => t.decimal(1.5, 0),
      () => t.union('k', { a: t.struct({ k: t.int8() }) }),
      () => t.union('k', { a: t.int8() as Schema<unknown> as Schema<object> }),
      () => t.struct({ a: t.int8(), b: t.field(t.int8(), { aliases: ['a'] }) }),
      () =>
        t.struct({
          a: t.field(t.int8(), { aliases: ['b'] }),
          c: t.field(t.int8(), { aliases: ['b'] }),
        }),
      () => t.field(t.struct({ n: t.int8() }), { default: { n: 1000 } }),
    ];
    for (const build of bad) assert.throws(build, { kind: 'invalid', code: 'BAD_SCHEMA' });
  });
});
