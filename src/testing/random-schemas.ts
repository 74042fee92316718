/** Random schemas with values of them, for property tests of whatever is derived from a schema. */
import * as fc from 'fast-check';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';

export interface Sample {
  readonly schema: Schema<unknown>;
  readonly values: fc.Arbitrary<unknown>;
}

const int = (bits: number): fc.Arbitrary<number> =>
  fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });

/** Any text: ASCII, other scripts, zeros, lone surrogates, and lengths around the limits of the layouts. */
export const texts: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary-ascii', maxLength: 70 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 })
    .map((units) => String.fromCharCode(...units)),
  fc.constantFrom(
    '',
    '\0',
    '\0\xff',
    '\ud800',
    'a\udfffb',
    '__proto__',
    'x'.repeat(63),
    'x'.repeat(64),
    'é'.repeat(9000),
  ),
);

const decimals = (precision: number, scale: number): fc.Arbitrary<string> =>
  fc
    .bigInt({ min: -(10n ** BigInt(precision)) + 1n, max: 10n ** BigInt(precision) - 1n })
    .map((unscaled) => {
      const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
      const sign = unscaled < 0n ? '-' : '';
      return scale === 0
        ? sign + digits
        : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
    });

const doubles = fc.double({ noNaN: true });

const KEY_PRIMITIVES: readonly Sample[] = [
  { schema: t.boolean(), values: fc.boolean() },
  { schema: t.int8(), values: int(8) },
  { schema: t.int16(), values: int(16) },
  { schema: t.int32(), values: int(32) },
  { schema: t.int64(), values: fc.maxSafeInteger() },
  { schema: t.timestamp(), values: fc.maxSafeInteger() },
  { schema: t.bigint(), values: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
  { schema: t.double(), values: doubles },
  { schema: t.string(), values: texts },
  { schema: t.bytes(), values: fc.uint8Array({ maxLength: 12 }) },
  { schema: t.decimal(9, 3), values: decimals(9, 3) },
  { schema: t.decimal(38, 0), values: decimals(38, 0) },
  { schema: t.enum('low', 'middle', 'high'), values: fc.constantFrom('low', 'middle', 'high') },
];

const selfDescribing: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  key: fc.oneof(
    { maxDepth: 3 },
    fc.boolean(),
    doubles,
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    texts,
    fc.array(tie('key'), { maxLength: 3 }),
  ),
})).key;

const KEYS: readonly Sample[] = [...KEY_PRIMITIVES, { schema: t.key(), values: selfDescribing }];

const VALUES: readonly Sample[] = [
  ...KEYS,
  { schema: t.float(), values: fc.float({ noNaN: true }) },
  {
    schema: t.generic(),
    values: fc.anything({
      withBigInt: true,
      withMap: true,
      withSet: true,
      key: fc.string().filter((name) => name !== '__proto__'),
    }),
  },
];

const names = fc.uniqueArray(
  fc.oneof(
    fc.constantFrom(
      '__proto__',
      'constructor',
      'toString',
      'a b',
      '1',
      '',
      "'; throw 0; '",
      'x',
      'y',
      'z',
      '\u2028',
    ),
    fc.string({ maxLength: 4 }),
  ),
  { minLength: 0, maxLength: 10 },
);

/** An object with these own properties, whatever their names. */
export function ownObject(entries: Iterable<readonly [string, unknown]>): Record<string, unknown> {
  return Object.fromEntries(entries);
}

function structOf(samples: fc.Arbitrary<Sample>, optionals: boolean): fc.Arbitrary<Sample> {
  return fc
    .tuple(names, fc.array(fc.tuple(samples, fc.boolean()), { minLength: 10, maxLength: 10 }))
    .map(([fieldNames, parts]) => {
      const fields = fieldNames.map((name, i): [string, Sample] => {
        const [sample, optional] = parts[i]!;
        return optional && optionals && sample.schema.kind !== 'optional'
          ? [name, optionalOf(sample)]
          : [name, sample];
      });
      return {
        schema: t.struct(Object.fromEntries(fields.map(([name, { schema }]) => [name, schema]))),
        values: fc
          .tuple(...fields.map(([, { values }]) => values))
          .map((values) => ownObject(fields.map(([name], i) => [name, values[i]]))),
      };
    });
}

const optionalOf = ({ schema, values }: Sample): Sample => ({
  schema: t.optional(schema),
  values: fc.option(values, { nil: undefined }),
});

const tupleOf = (samples: fc.Arbitrary<Sample>): fc.Arbitrary<Sample> =>
  fc.array(samples, { maxLength: 4 }).map((parts) => ({
    schema: t.tuple(...parts.map(({ schema }) => schema)),
    values: fc.tuple(...parts.map(({ values }) => values)),
  }));

const unionOf = (structs: fc.Arbitrary<Sample>): fc.Arbitrary<Sample> =>
  fc
    .tuple(fc.constantFrom('kind', '__proto__'), fc.array(structs, { minLength: 1, maxLength: 3 }))
    .filter(([tag, variants]) =>
      variants.every(
        ({ schema }) => schema.kind === 'struct' && schema.fields.every(({ name }) => name !== tag),
      ),
    )
    .map(([tag, variants]) => ({
      schema: t.union(
        tag,
        Object.fromEntries(variants.map(({ schema }, i) => [`v${i}`, schema as Schema<object>])),
      ), // structs, filtered above
      values: fc.oneof(
        ...variants.map(({ values }, i) =>
          values.map((value) => ownObject([[tag, `v${i}`], ...Object.entries(value as object)])),
        ),
      ),
    }));

/** Any schema, nested a few levels, with an arbitrary of its values. NaN is left out. */
export const samples: fc.Arbitrary<Sample> = fc.letrec<{ any: Sample; struct: Sample }>((tie) => ({
  struct: structOf(tie('any'), true),
  any: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'schema' },
    fc.constantFrom(...VALUES),
    tie('struct'),
    tie('any')
      .filter(({ schema }) => schema.kind !== 'optional')
      .map(optionalOf),
    tie('any').map(({ schema, values }) => ({
      schema: t.array(schema),
      values: fc.array(values, { maxLength: 4 }),
    })),
    fc.tuple(fc.constantFrom(...KEY_PRIMITIVES), tie('any')).map(([key, value]) => ({
      schema: t.map(key.schema, value.schema),
      values: fc
        .array(fc.tuple(key.values, value.values), { maxLength: 4 })
        .map((entries) => new Map(entries)),
    })),
    tupleOf(tie('any')),
    unionOf(tie('struct')),
  ),
})).any;

/** Any key schema with an arbitrary of its values. */
export const keySamples: fc.Arbitrary<Sample> = fc.letrec<{ any: Sample }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 2, depthIdentifier: 'key' },
    fc.constantFrom(...KEYS),
    tupleOf(tie('any')),
    structOf(tie('any'), true),
  ),
})).any;
