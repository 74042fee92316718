import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { MapEntries, MARK } from './map-entries.ts';

interface Known {
  readonly key: unknown;
  value: unknown;
  present: boolean;
  dirty: boolean;
}

const integer = fc.oneof(
  fc.integer({ min: -30, max: 30 }),
  fc.constantFrom(0, -0, 2 ** 31, 2 ** 40, 2 ** 40 + 1, Number.MIN_SAFE_INTEGER),
);
/** Under the identity that its type gives it. */
const composite = fc.tuple(fc.nat(30), fc.constantFrom('a', 'b'));
const identify = (key: unknown): unknown => (Array.isArray(key) ? key.join('/') : key);

const actions = fc.constantFrom('put', 'put', 'remove', 'know', 'write', 'clear');

function check(integers: boolean, keys: fc.Arbitrary<unknown>): void {
  const script = fc.array(fc.tuple(keys, actions, fc.option(fc.nat(9), { nil: undefined })), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(script, (steps) => {
      const entries = new MapEntries(integers);
      const model = new Map<unknown, Known>();
      for (const [key, action, value] of steps) {
        const id = identify(key);
        if (action === 'clear') {
          entries.clear();
          model.clear();
        } else if (action === 'write') {
          const written = entries.takeDirty().map((at) => identify(entries.keyAt(at)));
          const expected = [...model].filter(([, { dirty }]) => dirty).map(([id]) => id);
          assert.deepEqual(new Set(written), new Set(expected));
          assert.equal(written.length, expected.length);
          for (const known of model.values()) known.dirty = false;
        } else {
          const at = entries.find(id) === -1 ? entries.add(id, key) : entries.find(id);
          const known = model.get(id) ?? { key, value: undefined, present: false, dirty: false };
          model.set(id, known);
          if (action === 'know') continue;
          known.present = action === 'put';
          known.value = known.present ? value : undefined;
          known.dirty = true;
          entries.setValue(at, value, known.present);
          entries.touch(at);
        }
        assert.equal(entries.size, model.size);
        assert.equal(entries.isEmpty, ![...model.values()].some(({ present }) => present));
      }
      for (const [id, { key, value, present, dirty }] of model) {
        const at = entries.find(id);
        assert.deepEqual(entries.keyAt(at), key);
        assert.equal(entries.valueAt(at), value);
        assert.equal(entries.is(at, MARK.present), present);
        assert.equal(entries.is(at, MARK.dirty), dirty);
        assert.equal(entries.is(at, MARK.inTree), false);
      }
      const present = [...model.values()].filter((known) => known.present).map(({ key }) => key);
      assert.deepEqual(
        new Set(entries.presentPlaces().map((at) => identify(entries.keyAt(at)))),
        new Set(present.map(identify)),
      );
    }),
  );
}

describe('the known entries of a map', () => {
  test('are those of a plain map where keys are integers', () => check(true, integer));

  test('are those of a plain map where keys are composites', () => check(false, composite));

  test('are found among many, through every size of the index', () => {
    const entries = new MapEntries(true);
    const keyOf = (n: number): number => n * 1024 - 50_000;
    for (let n = 0; n < 100_000; n++) {
      assert.equal(entries.find(keyOf(n)), -1);
      entries.setValue(entries.add(keyOf(n), keyOf(n)), n, n % 3 > 0);
      if (n % 5 === 0) entries.mark(n, MARK.inTree);
    }
    for (let n = 0; n < 100_000; n++) {
      assert.equal(entries.find(keyOf(n)), n);
      assert.equal(entries.valueAt(n), n % 3 > 0 ? n : undefined);
      assert.equal(entries.is(n, MARK.inTree), n % 5 === 0);
    }
    assert.equal(entries.find(keyOf(100_000)), -1);
  });
});
