import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SeededRandom } from '../testing/seeded-random.ts';
import { NumberMap } from './number-map.ts';

const keys = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -20, max: 20 }) },
  { weight: 2, arbitrary: fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 2 ** 52, 2 ** 52 + 1) },
  { weight: 1, arbitrary: fc.double() },
  { weight: 1, arbitrary: fc.constantFrom('1', 'a', true, 1n) },
);

describe('a map of numbers', () => {
  test('holds what a Map holds, through puts, deletions and growth', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(keys, fc.constantFrom('set', 'set', 'delete')), { maxLength: 300 }),
        (operations) => {
          const map = new NumberMap<{ readonly n: number }>();
          const model = new Map<unknown, { readonly n: number }>();
          operations.forEach(([key, operation], n) => {
            if (operation === 'set') {
              map.set(key, { n });
              model.set(key, { n });
            } else {
              assert.equal(map.delete(key), model.delete(key));
            }
            assert.deepEqual(map.get(key), model.get(key));
          });
          assert.equal(map.size, model.size);
          for (const [key] of operations) {
            assert.deepEqual(map.get(key), model.get(key));
            assert.equal(map.has(key), model.has(key));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('finds each of many numbers, dense or far apart, small or large', () => {
    for (const step of [1, 1024, 2 ** 26, 2 ** 32 + 1]) {
      const map = new NumberMap<{ readonly n: number }>();
      for (let n = 0; n < 20_000; n++) map.set(n * step, { n });
      for (let n = 0; n < 20_000; n += 2) assert.ok(map.delete(n * step));
      for (let n = 0; n < 20_000; n++)
        assert.equal(map.get(n * step)?.n, n % 2 === 0 ? undefined : n);
      assert.equal(map.size, 10_000);
    }
  });

  test('holds what a Map holds while it moves its entries, large as it is', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const random = new SeededRandom(seed);
      const map = new NumberMap<{ readonly n: number }>();
      const model = new Map<number, { readonly n: number }>();
      const keysMost = random.pick([3000, 10_000, 40_000]);
      for (let n = 0; n < 60_000; n++) {
        const key = random.int(keysMost);
        assert.equal(map.get(key), model.get(key));
        if (random.chance(0.3)) {
          assert.equal(map.delete(key), model.delete(key));
        } else {
          const value = { n };
          map.set(key, value);
          model.set(key, value);
        }
        if (n % 10_000 === 0) assert.deepEqual(new Set(map.values()), new Set(model.values()));
      }
      assert.equal(map.size, model.size);
      for (let key = 0; key < keysMost; key++) assert.equal(map.get(key), model.get(key));
    }
  });
});
