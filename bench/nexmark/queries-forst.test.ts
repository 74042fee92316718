/** The stateful queries yield the same with their state in forst. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { QUERIES } from './queries.ts';
import { events, run } from './query-harness.ts';
import { referenceOf } from './reference.ts';
import { settled } from './settled.ts';

describe('Nexmark with state in forst', () => {
  for (const [name, query] of Object.entries(QUERIES)) {
    const reference = query.isStateful ? referenceOf(name, events) : undefined;
    if (reference === undefined) continue;
    test(name, async () => {
      const results = await run(query, 1, { 'state.backend.type': 'forst' });
      assert.deepEqual(settled(results, query), settled(reference, query));
    });
  }
});
