/** Sizes: files stop at 600 lines (tests 1,000), functions at 70. */
import { SIZE_EXCEPTIONS } from './exceptions.ts';
import { isTest, lineAt, type Source, type Violation } from './source.ts';

const FILE_LINES_MAX = 600;
const TEST_FILE_LINES_MAX = 1000;
const FUNCTION_LINES_MAX = 70;

/** Heads of named functions and methods; the body is the brace that follows. */
const FUNCTION_HEAD =
  /(?:^|\n)([ \t]*)(?:export\s+)?(?:default\s+)?(?:static\s+|override\s+|private\s+|readonly\s+)*(?:async\s+)?(?:function\s*\*?\s*(\w+)|(?:get\s+|set\s+|\*\s*)?(#?\w+)(?=\s*(?:<[^>\n]*>)?\([^;]*?\)\s*(?::[^;={}]*)?\{))/g;

const KEYWORDS = new Set([
  'if',
  'for',
  'while',
  'switch',
  'catch',
  'return',
  'with',
  'constructor',
  'do',
  'else',
  'new',
  'await',
  'super',
  'describe',
  'test',
  'it',
]);

function closingBrace(code: string, open: number): number {
  let depth = 0;
  for (let i = open; i < code.length; i++) {
    if (code[i] === '{') depth++;
    else if (code[i] === '}' && --depth === 0) return i;
  }
  return code.length;
}

function checkFunctions(source: Source): Violation[] {
  const violations: Violation[] = [];
  for (const match of source.code.matchAll(FUNCTION_HEAD)) {
    const name = match[2] ?? match[3];
    if (name === undefined || KEYWORDS.has(name)) continue;
    const open = source.code.indexOf('{', match.index + match[0].length);
    if (open === -1) continue;
    const first = lineAt(source.code, match.index + 1);
    const lines =
      lineAt(source.code, closingBrace(source.code, open)) - lineAt(source.code, open) + 1;
    if (lines > FUNCTION_LINES_MAX) {
      violations.push({
        path: source.path,
        line: first,
        rule: 'size',
        message: `function ${name} has ${lines} lines, at most ${FUNCTION_LINES_MAX}: split it where its purposes part`,
      });
    }
  }
  return violations;
}

export function checkSizes(sources: readonly Source[]): Violation[] {
  const violations: Violation[] = [];
  for (const source of sources) {
    const lines = source.text.split('\n').length;
    const exception = SIZE_EXCEPTIONS.find(({ path }) => path === source.path);
    const max = exception?.lines ?? (isTest(source.path) ? TEST_FILE_LINES_MAX : FILE_LINES_MAX);
    if (lines > max) {
      violations.push({
        path: source.path,
        line: 1,
        rule: 'size',
        message: `${lines} lines, at most ${max}: split it where its purposes part`,
      });
    }
    // A contract suite is one function that registers many tests.
    if (!isTest(source.path) && !source.path.endsWith('-contract.ts'))
      violations.push(...checkFunctions(source));
  }
  return violations;
}
