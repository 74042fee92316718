import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { KeyIndex } from './key-index.ts';

const id = fc.oneof(
  fc.nat(20),
  fc.constantFrom(-0, 0, Number.NaN, 0.5, -1, 2 ** 31, 2 ** 40, 2 ** 40 + 1, Infinity),
  fc.constantFrom('', 'a', 'ab', '1', 1n, true),
);

/** As a Map compares. */
const sameValueZero = (a: unknown, b: unknown): boolean => a === b || Object.is(a, b);

describe('the index of waiting keys', () => {
  test('finds what a Map finds, whatever is added and removed', () => {
    const steps = fc.array(fc.record({ id, adds: fc.boolean() }), { maxLength: 300 });
    fc.assert(
      fc.property(steps, (script) => {
        const index = new KeyIndex();
        const model = new Map<unknown, number>();
        let n = 0;
        for (const step of script) {
          const known = model.get(step.id);
          assert.equal(index.find(step.id), known ?? 0);
          if (known !== undefined) assert.ok(sameValueZero(index.idOf(known), step.id));
          if (known !== undefined) assert.equal(index.mayHold(step.id), true);
          if (step.adds && known === undefined) {
            index.add(step.id, ++n);
            model.set(step.id, n);
          } else if (!step.adds && known !== undefined) {
            index.remove(known);
            model.delete(step.id);
          }
          assert.equal(index.size, model.size);
        }
        assert.deepEqual([...index.all()].toSorted(), [...model.values()].toSorted());
      }),
    );
  });

  test('says of most numbers that they have none, and of no number while there are identities of another kind', () => {
    const index = new KeyIndex();
    for (let i = 1; i <= 500; i++) index.add(i, i);
    let held = 0;
    for (let i = 1; i <= 10_500; i++) if (index.mayHold(i)) held++;
    assert.ok(held >= 500 && held < 2000, `${held} of 10,500 with 500 in it`);
    index.add('identity of the number 7777', 501);
    assert.equal(index.mayHold(7777), true);
    index.remove(501);
    for (let i = 1; i <= 500; i++) index.remove(i);
    assert.equal(index.mayHold(7777), false);
  });

  test('finds all of many, after most have gone and come back under other numbers', () => {
    const index = new KeyIndex();
    for (let i = 1; i <= 10_000; i++) index.add(i * 1024, i);
    for (let i = 1; i <= 10_000; i++) if (i % 10 !== 0) index.remove(i);
    for (let i = 1; i <= 10_000; i++) assert.equal(index.find(i * 1024), i % 10 === 0 ? i : 0);
    for (let i = 10_000; i >= 1; i--) if (i % 10 !== 0) index.add((10_001 - i) * 2 ** 33, i);
    for (let i = 1; i <= 10_000; i++)
      if (i % 10 !== 0) assert.equal(index.find((10_001 - i) * 2 ** 33), i);
  });
});
