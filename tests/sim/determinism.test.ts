import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate } from './job-sim.ts';

test('a seed replays its history exactly', async () => {
  const hashes = new Set<string>();
  for (let seed = 1; seed <= 15; seed++) {
    const first = await simulate({ seed });
    const again = await simulate({ seed });
    assert.equal(again.traceHash, first.traceHash, `seed ${seed}`);
    assert.equal(again.events, first.events);
    assert.deepEqual(again.violations, first.violations);
    hashes.add(first.traceHash);
  }
  assert.equal(hashes.size, 15);
});
