import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkPages } from './check-docs.ts';

test('the examples of the reference pages compile', () => assert.deepEqual(checkPages(), []));

test('an example that does not compile is found, with its line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-pages-'));
  try {
    const page = [
      '# Page',
      '```ts',
      "import { t } from 'millrace';",
      '```',
      'Words.',
      '```ts',
      'const schema = t.string();',
      'schema.nothing;',
      '```',
    ].join('\n');
    writeFileSync(join(folder, 'page.md'), page);
    const [complaint, ...others] = checkPages(folder);
    assert.match(complaint!, /page\.md:8: error TS2339/);
    assert.deepEqual(others, []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
