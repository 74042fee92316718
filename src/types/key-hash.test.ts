import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { keySamples } from '../testing/random-schemas.ts';
import { keyGroupRangeOf, subtaskOfKeyGroup } from './key-group.ts';
import { hashKey, keyGroupFunction, keyGroupOf, murmurHash } from './key-hash.ts';
import { t } from './t.ts';

/** The finaliser over unbounded integers, cut to 32 bits after every step: what the fast one must equal. */
function referenceMurmur(code: number): number {
  const cut = (n: bigint): bigint => BigInt.asUintN(32, n);
  const rotate = (n: bigint, by: bigint): bigint => cut((n << by) | (n >> (32n - by)));
  let h = rotate(cut(cut(BigInt(code)) * 0xcc9e2d51n), 15n);
  h = rotate(cut(h * 0x1b873593n), 13n);
  h = cut(h * 5n + 0xe6546b64n) ^ 4n;
  h = cut((h ^ (h >> 16n)) * 0x85ebca6bn);
  h = cut((h ^ (h >> 13n)) * 0xc2b2ae35n);
  const signed = Number(BigInt.asIntN(32, h ^ (h >> 16n)));
  return signed === -(2 ** 31) ? 0 : Math.abs(signed);
}

/** Pearson's statistic divided by its degrees of freedom: about 1 for a uniform spread. */
function unevenness(groups: readonly number[], count: number): number {
  const sizes = new Float64Array(count);
  for (const group of groups) sizes[group]!++;
  const mean = groups.length / count;
  return sizes.reduce((sum, size) => sum + (size - mean) ** 2 / mean, 0) / (count - 1);
}

suite('key groups', () => {
  test('the murmur finaliser equals the reference at every integer', () => {
    const corners = [0, 1, -1, 42, 2 ** 31 - 1, -(2 ** 31), 0x12345678];
    for (const code of corners) assert.equal(murmurHash(code), referenceMurmur(code));
    fc.assert(
      fc.property(fc.integer(), (code) => {
        assert.equal(murmurHash(code), referenceMurmur(code));
        assert.ok(murmurHash(code) >= 0);
      }),
    );
  });

  test('hashes stay as they are, since stored state lies by them', () => {
    const hashes = [
      0,
      1,
      -1,
      1.5,
      2 ** 40,
      true,
      false,
      5n,
      -1n,
      2n ** 40n,
      '',
      'a',
      'key-17',
      'é😀',
      ['a', 1],
    ].map((key) => hashKey(key));
    assert.deepEqual(
      hashes,
      [
        0, 1, -1, 1073217536, 1114636288, 1231, 1237, 5, 0, 256, 0, 97, -1134722988, 1996812,
        -252003851,
      ],
    );
  });

  test('a function for one schema gives the group of every key that the general one gives', () => {
    fc.assert(
      fc.property(
        keySamples
          .filter(({ schema }) => schema.kind !== 'optional')
          .chain(({ schema, values }) => fc.tuple(fc.constant(schema), values)),
        fc.integer({ min: 1, max: 32768 }),
        ([schema, key], maxParallelism) => {
          const group = keyGroupFunction(schema, maxParallelism)(key);
          assert.equal(group, keyGroupOf(key, maxParallelism, schema));
          assert.ok(Number.isInteger(group) && group >= 0 && group < maxParallelism);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('keys that look alike spread evenly', () => {
    const n = 40_000;
    const list = <T>(make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));
    const families: Readonly<Record<string, readonly unknown[]>> = {
      'counting up': list((i) => i),
      'multiples of a power of two': list((i) => i * 4096),
      fractions: list((i) => i / 7),
      'large integers': list((i) => 2 ** 40 + i),
      bigints: list((i) => BigInt(i) << 20n),
      'numbered text': list((i) => `user-${i}`),
      'hexadecimal text': list((i) => (i * 2654435761).toString(16).padStart(12, '0')),
      pairs: list((i) => [i % 200, Math.floor(i / 200)]),
    };
    for (const [name, keys] of Object.entries(families)) {
      const spread = unevenness(
        keys.map((key) => keyGroupOf(key, 128)),
        128,
      );
      assert.ok(spread < 2, `${name}: ${spread}`);
    }
  });

  test('keys that are null, undefined or NaN are refused', () => {
    for (const schema of [t.key(), t.int64(), t.string(), t.double()])
      for (const key of [null, undefined, NaN])
        assert.throws(() => keyGroupFunction(schema, 128)(key), {
          kind: 'invalid',
          code: 'NULL_KEY',
        });
  });

  test('every group belongs to the one subtask whose range holds it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 32768 }), fc.nat(), fc.nat(), (max, p, g) => {
        const parallelism = 1 + (p % max);
        const group = g % max;
        const subtask = subtaskOfKeyGroup(group, parallelism, max);
        const { start, end } = keyGroupRangeOf(subtask, parallelism, max);
        assert.ok(start <= group && group <= end);
        if (subtask > 0)
          assert.equal(keyGroupRangeOf(subtask - 1, parallelism, max).end, start - 1);
      }),
    );
  });
});
