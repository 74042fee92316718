import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkBans } from './tidy/bans.ts';
import { checkDeadCode } from './tidy/dead-code.ts';
import { checkImports } from './tidy/imports.ts';
import { checkNames } from './tidy/names.ts';
import { checkSizes } from './tidy/sizes.ts';
import { blankText, parseSource } from './tidy/source.ts';
import { tidy } from './tidy.ts';

const rules = (violations: readonly { rule: string }[]): string[] => violations.map((v) => v.rule);

describe('tidy', () => {
  test('the tree is clean', () => {
    const found = tidy(`${import.meta.dirname}/..`);
    assert.deepEqual(
      found.map((v) => `${v.path}:${v.line}: ${v.rule}: ${v.message}`),
      [],
    );
  });

  test('an upward import is found, types included', () => {
    const source = parseSource('src/base/a.ts', `import type { B } from '../types/b.ts';\n`);
    assert.deepEqual(rules(checkImports([source])), ['layer']);
  });

  test('an import cycle is found', () => {
    const a = parseSource('src/base/a.ts', `import { b } from './b.ts';\n`);
    const b = parseSource('src/base/b.ts', `import { a } from './a.ts';\n`);
    assert.deepEqual(rules(checkImports([a, b])), ['cycle']);
  });

  test('banned globals are found in the engine, not in strings, comments or tests', () => {
    const text = `// Date.now()\nconst s = 'Date.now()';\nconst t = Date.now();\n`;
    assert.deepEqual(
      checkBans([parseSource('src/state/a.ts', text)]).map((v) => v.line),
      [3],
    );
    assert.deepEqual(checkBans([parseSource('src/state/a.test.ts', text)]), []);
  });

  test('banned modules are found', () => {
    const source = parseSource('src/state/a.ts', `import { open } from 'node:fs/promises';\n`);
    assert.deepEqual(rules(checkBans([source])), ['ban']);
  });

  test('a function over the limit is found', () => {
    const body = Array.from({ length: 80 }, () => '  work();').join('\n');
    const source = parseSource('src/state/a.ts', `\nexport function long(): void {\n${body}\n}\n`);
    assert.deepEqual(rules(checkSizes([source])), ['size']);
  });

  test('an export that only a test uses is dead', () => {
    const used = parseSource('src/state/a.ts', `\nexport const one = 1;\nexport const two = 2;\n`);
    const user = parseSource('src/state/b.ts', `import { one } from './a.ts';\n`);
    const check = parseSource('src/state/a.test.ts', `import { two } from './a.ts';\n`);
    const dead = checkDeadCode([used, user, check]).filter((v) => v.path === 'src/state/a.ts');
    assert.equal(dead.length, 1);
    assert.match(dead[0]!.message, /two/);
  });

  test('empty words in names are refused', () => {
    const source = parseSource(
      'src/state/a.ts',
      'class StateImpl {}\nclass InputGate {}\nclass CacheManager {}\n',
    );
    assert.equal(checkNames([source]).length, 2);
  });

  test('blanking keeps offsets', () => {
    const text = `const a = 'x'; // y\nconst r = /'/g;\nconst b = \`\${a}\`;\n`;
    assert.equal(blankText(text).length, text.length);
    assert.equal(blankText(text).includes('y'), false);
  });
});
