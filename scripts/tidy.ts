/**
 * The style as a test. Run by `npm test` and `npm run tidy`; prints every violation with its replacement.
 *
 * Rules: layers and import cycles (types included), banned globals and modules, sizes of files and functions, names,
 * dead files, dead exports, links in the docs. Exceptions live in `tidy-exceptions.ts`, each with its reason.
 */
import { readFileSync } from 'node:fs';
import { checkBans } from './tidy/bans.ts';
import { checkDeadCode } from './tidy/dead-code.ts';
import { checkDocs } from './tidy/docs.ts';
import { checkImports } from './tidy/imports.ts';
import { checkNames } from './tidy/names.ts';
import { checkSizes } from './tidy/sizes.ts';
import { listFiles, parseSource, type Violation } from './tidy/source.ts';

/** Every violation in the tree at `root`, in file order. */
export function tidy(root: string): readonly Violation[] {
  const files = listFiles(root);
  const sources = files
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .map((path) => parseSource(path, readFileSync(`${root}/${path}`, 'utf8')));
  return [
    ...checkImports(sources),
    ...checkBans(sources),
    ...checkSizes(sources),
    ...checkNames(sources),
    ...checkDeadCode(sources),
    ...checkDocs(root, files),
  ];
}

if (import.meta.main) {
  const violations = tidy(process.cwd());
  for (const { path, line, rule, message } of violations) {
    console.error(`${path}:${line}: ${rule}: ${message}`);
  }
  console.log(violations.length === 0 ? 'tidy: clean' : `tidy: ${violations.length} violations`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
