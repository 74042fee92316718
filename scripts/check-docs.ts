/**
 * Compiles the ```ts blocks of the reference pages. The first block of a page is in front of all the others; each of these is a function
 * body of its own, so that their names do not meet. `node scripts/check-docs.ts` prints the compiler's complaints with page and line.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const PAGES = join(ROOT, 'docs/reference');

/** A page as a module; every line of a block keeps its line number. */
export function moduleOf(page: string): string {
  const out: string[] = [];
  let block: 'none' | 'first' | 'body' = 'none';
  let seen = false;
  for (const line of page.split('\n')) {
    if (block === 'none') {
      const opens = line === '```ts';
      if (opens) block = seen ? 'body' : 'first';
      // A line of its own, so that numbers stay.
      out.push(opens && seen ? `export async function example${out.length}() {` : '');
      seen ||= opens;
    } else if (line === '```') {
      out.push(block === 'body' ? '}' : '');
      block = 'none';
    } else out.push(line);
  }
  return `${out.join('\n')}\nexport {};\n`;
}

const COMPLAINT = /([\w.-]+)\.page\.mts\((\d+),\d+\): (.*)/g;

/** What the compiler says about the pages of a folder: `page.md:12: error TS...`. */
export function checkPages(folder: string = PAGES): readonly string[] {
  const work = mkdtempSync(join(tmpdir(), 'millrace-docs-'));
  try {
    for (const name of readdirSync(folder).filter((file) => file.endsWith('.md'))) {
      const page = readFileSync(join(folder, name), 'utf8');
      if (page.includes('\n```ts\n'))
        writeFileSync(join(work, `${name.slice(0, -3)}.page.mts`), moduleOf(page));
    }
    const config = {
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions: {
        paths: {
          millrace: [join(ROOT, 'src/index.ts')],
          'millrace/state-processor': [join(ROOT, 'src/cli/state-processor/index.ts')],
          'millrace/testing': [join(ROOT, 'src/testing/index.ts')],
          '@millrace/*': [join(ROOT, 'connectors/*/index.ts')],
        },
        typeRoots: [join(ROOT, 'node_modules/@types')],
      },
      include: [join(work, '*.mts')],
    };
    writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(config));
    const { stdout, status } = spawnSync(
      process.execPath,
      [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', work],
      { encoding: 'utf8' },
    );
    const found = [...stdout.matchAll(COMPLAINT)].map(
      ([, page, line, complaint]) =>
        `${relative(ROOT, join(folder, page!))}.md:${line}: ${complaint}`,
    );
    return found.length === 0 && status !== 0 ? [stdout] : found;
  } finally {
    rmSync(work, { recursive: true });
  }
}

if (import.meta.main) {
  const complaints = checkPages();
  for (const complaint of complaints) console.error(complaint);
  process.exitCode = complaints.length === 0 ? 0 : 1;
}
