import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  checkConserved,
  checkExactlyOnce,
  checkKeyOrder,
  checkSameResults,
  describeViolations,
} from './checkers.ts';

describe('checkers', () => {
  test('exactly once: lost, invented and repeated ids are told apart', () => {
    assert.deepEqual(checkExactlyOnce(['a', 'b'], ['b', 'a']), []);
    const [lost, invented, repeated] = checkExactlyOnce(['a', 'b', 'c'], ['a', 'a', 'x', 'b']);
    assert.match(lost!.message, /lost/);
    assert.deepEqual(lost!.evidence, { ids: ['c'] });
    assert.match(invented!.message, /never went in/);
    assert.match(repeated!.message, /more than once/);
    assert.deepEqual(checkExactlyOnce(['a'], ['a', 'a'], 'at-least-once'), []);
    assert.equal(checkExactlyOnce(['a'], [], 'at-least-once').length, 1);
  });

  test('key order: each key on its own; repeats are out of order too', () => {
    const order = (...records: [string, number][]) =>
      checkKeyOrder(records.map(([key, n]) => ({ key, order: n })));
    assert.deepEqual(order(['a', 1], ['b', 5], ['a', 2], ['b', 6]), []);
    assert.equal(order(['a', 2], ['a', 1], ['a', 3]).length, 1);
    assert.equal(order(['a', 1], ['a', 1]).length, 1);
  });

  test('conserved sums name the checkpoint that breaks them', () => {
    assert.deepEqual(checkConserved([{ checkpointId: 1, sent: 5, received: 5 }]), []);
    const [violation] = checkConserved([{ checkpointId: 2, sent: 5, received: 4 }]);
    assert.match(violation!.message, /checkpoint 2/);
  });

  test('results are compared as multisets, whatever the order of properties', () => {
    assert.deepEqual(checkSameResults('x', [{ a: 1, b: 2n }, 3], [3, { b: 2n, a: 1 }]), []);
    const [violation] = checkSameResults('x', [1, 1, 2], [1, 2, 2]);
    assert.deepEqual(violation!.evidence, { missing: ['1'], surplus: ['2'] });
    assert.match(describeViolations([violation!]), /C4.*\n.*missing/);
  });
});
