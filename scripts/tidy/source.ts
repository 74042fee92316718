/** Source files as the rules see them: text, code with comments and strings blanked, imports, exports. */
import { execFileSync } from 'node:child_process';

export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

export interface Import {
  readonly specifier: string;
  /** Imported names; empty for side-effect imports; `*` for namespace and dynamic ones. */
  readonly names: readonly string[];
  readonly line: number;
}

export interface Source {
  readonly path: string;
  readonly text: string;
  /** Same length and lines as `text`; comments and string contents are blanks. */
  readonly code: string;
  readonly imports: readonly Import[];
}

/** Files git knows or would add, so that ignored output never counts. */
export function listFiles(root: string): readonly string[] {
  const out = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--deduplicate'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const deleted = new Set(
    execFileSync('git', ['ls-files', '-d'], { cwd: root, encoding: 'utf8' }).split('\n'),
  );
  return out
    .split('\n')
    .filter((path) => path !== '' && !deleted.has(path))
    .sort();
}

export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf('\n'); i !== -1 && i < offset; i = text.indexOf('\n', i + 1)) line++;
  return line;
}

const blanks = (text: string): string => text.replaceAll(/[^\n]/g, ' ');

/**
 * Blanks comments, and the contents of strings and template literals (expressions inside templates too). A regular-expression literal
 * is recognised where a value cannot stand before it.
 */
export function blankText(text: string): string {
  const token =
    /\/\/[^\n]*|\/\*[^]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<=[=(,:;!&|?{}[\n]\s*|return\s+)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[dgimsuvy]*/g;
  return text.replaceAll(token, (match) =>
    match.startsWith('//') || match.startsWith('/*') || match.length < 2
      ? blanks(match)
      : match[0] + blanks(match.slice(1, -1)) + match.at(-1),
  );
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(?:type\s+)?(?:(\*(?:\s+as\s+\w+)?)|(?:(\w+)\s*,?\s*)?(?:\{([^}]*)\})?)\s*(?:from\s*)?'([^']+)'|import\(\s*'([^']+)'\s*\)/g;

export function parseSource(path: string, text: string): Source {
  const imports: Import[] = [];
  const withoutComments = text.replaceAll(/\/\/[^\n]*|\/\*[^]*?\*\//g, blanks);
  for (const match of withoutComments.matchAll(IMPORT)) {
    const [, star, single, list, from, dynamic] = match;
    const names =
      star !== undefined || dynamic !== undefined
        ? ['*']
        : [
            ...(single === undefined || single === 'type' ? [] : ['default']),
            ...(list ?? '')
              .split(',')
              .map((name) =>
                name
                  .replace(/^\s*type\s+/, '')
                  .trim()
                  .split(/\s+as\s+/)[0]!
                  .trim(),
              )
              .filter((name) => name !== ''),
          ];
    const specifier = from ?? dynamic!;
    imports.push({
      specifier,
      names,
      line: lineAt(text, match.index + match[0].indexOf(specifier)),
    });
  }
  return { path, text, code: blankText(text), imports };
}

/** The path an import leads to, relative to the root; undefined for packages. */
export function resolveImport(fromPath: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  const parts = fromPath.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

export const isTest = (path: string): boolean =>
  path.endsWith('.test.ts') || path.startsWith('tests/');

/** Code that ships: everything under src and connectors but tests and the test kit. */
export const isEngine = (path: string): boolean =>
  (path.startsWith('src/') || path.startsWith('connectors/')) &&
  !isTest(path) &&
  !path.startsWith('src/testing/');
