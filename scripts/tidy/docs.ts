/** Links between pages lead somewhere, and every layer has its README. */
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import type { Violation } from './source.ts';

const LINK = /\[[^\]]*\]\(([^)\s]+)\)/g;

export function checkDocs(root: string, files: readonly string[]): Violation[] {
  const violations: Violation[] = [];
  for (const path of files.filter((file) => file.endsWith('.md'))) {
    const lines = readFileSync(`${root}/${path}`, 'utf8').split('\n');
    lines.forEach((text, index) => {
      for (const match of text.matchAll(LINK)) {
        const target = match[1]!.split('#')[0]!;
        if (target === '' || /^[a-z]+:/.test(target)) continue;
        const resolved = posix.join(posix.dirname(path), target);
        if (!existsSync(`${root}/${resolved}`)) {
          violations.push({
            path,
            line: index + 1,
            rule: 'docs',
            message: `dead link: ${match[1]}`,
          });
        }
      }
    });
  }
  const layers = new Set(
    files
      .map((file) => /^src\/([^/]+)\/.*\.ts$/.exec(file)?.[1])
      .filter((layer) => layer !== undefined),
  );
  for (const layer of layers) {
    if (!files.includes(`src/${layer}/README.md`)) {
      violations.push({
        path: `src/${layer}`,
        line: 1,
        rule: 'docs',
        message:
          'a layer has a README.md: two sentences, concept -> file table, invariants, where to start',
      });
    }
  }
  return violations;
}
