import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCurrent } from './config-docs.ts';

test('docs/configuration.md is current; if not, run node scripts/config-docs.ts', () =>
  assert.equal(isCurrent(), true));
