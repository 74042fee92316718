import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LoadPolicy } from './load-policy.ts';

const calm = { missing: 1, nowMs: 0, urgent: false, starved: false };
const policyWith = (loads: number, averageMs = 0): LoadPolicy => {
  const policy = new LoadPolicy({ batchMax: 100, timeoutMs: 1000 });
  // The average is a moving one.
  for (let i = 0; i < 200; i++) {
    policy.began();
    policy.ended(averageMs);
  }
  for (let i = 0; i < loads; i++) policy.began();
  return policy;
};

describe('a load', () => {
  test('begins at once while none is under way, or when it is urgent', () => {
    assert.equal(policyWith(0).wants(calm), true);
    assert.equal(policyWith(0).wants({ ...calm, missing: 0 }), false);
    assert.equal(policyWith(64).wants({ ...calm, missing: 0, urgent: true }), true);
  });

  test('gathers for a sixteenth of what loads take, unless much is missing or there is nothing else to do', () => {
    const policy = policyWith(1, 160);
    assert.equal(policy.wants({ ...calm, nowMs: 50 }), false);
    assert.equal(policy.wants({ ...calm, nowMs: 59 }), false);
    assert.equal(policy.wants({ ...calm, nowMs: 60 }), true);
    assert.equal(policyWith(1, 160).wants({ ...calm, missing: 100 }), true);
    assert.equal(policyWith(1, 160).wants({ ...calm, starved: true }), true);
  });

  test('counts anew after each load', () => {
    const policy = policyWith(1, 160);
    policy.wants({ ...calm, nowMs: 0 });
    policy.began();
    assert.equal(policy.wants({ ...calm, nowMs: 20 }), false);
  });

  test('waits while 64 are under way', () => {
    assert.equal(policyWith(64).wants({ ...calm, missing: 1000, starved: true }), false);
  });

  test('never waits longer than the timeout', () => {
    const policy = policyWith(1, 1e6);
    policy.wants(calm);
    assert.equal(policy.wants({ ...calm, nowMs: 999 }), false);
    assert.equal(policy.wants({ ...calm, nowMs: 1000 }), true);
  });
});
