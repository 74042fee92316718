/** Dead files and dead exports of the engine: what nothing imports goes. Tests alone do not keep code alive. */
import { isEngine, isTest, lineAt, resolveImport, type Source, type Violation } from './source.ts';

const EXPORT =
  /\nexport\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:const|let|function\*?|class|interface|type)\s+(\w+)/g;

/** Files that are entered from outside: package entries, commands, worker entries. */
const isEntry = (path: string): boolean => /(?:^|\/)(?:index|main)\.ts$/.test(path);

/** Exports that only exist for users of the package or for tests carry this tag. */
const KEPT = /@(?:public|testing)\b/;

function usesByFile(sources: readonly Source[]): Map<string, Set<string>> {
  const uses = new Map<string, Set<string>>();
  for (const source of sources) {
    if (isTest(source.path)) continue;
    for (const { specifier, names } of source.imports) {
      const target = resolveImport(source.path, specifier);
      if (target === undefined) continue;
      const set = uses.get(target) ?? new Set();
      for (const name of names) set.add(name);
      uses.set(target, set);
    }
  }
  return uses;
}

const docBefore = (text: string, offset: number): string => {
  const head = text.slice(0, offset).trimEnd();
  return head.endsWith('*/') ? head.slice(head.lastIndexOf('/**')) : '';
};

export function checkDeadCode(sources: readonly Source[]): Violation[] {
  const uses = usesByFile(sources);
  const violations: Violation[] = [];
  for (const source of sources) {
    if (!isEngine(source.path) || isEntry(source.path)) continue;
    const used = uses.get(source.path);
    if (used === undefined) {
      violations.push({
        path: source.path,
        line: 1,
        rule: 'dead',
        message: 'no source imports this file',
      });
      continue;
    }
    if (used.has('*')) continue;
    for (const match of source.code.matchAll(EXPORT)) {
      const name = match[1]!;
      const local = new RegExp(`\\b${name}\\b`, 'g');
      const elsewhere = (source.code.match(local)?.length ?? 0) > 1;
      if (used.has(name) || elsewhere || KEPT.test(docBefore(source.text, match.index))) continue;
      violations.push({
        path: source.path,
        line: lineAt(source.code, match.index + 1),
        rule: 'dead',
        message: `export ${name} is used nowhere; remove it, or tag its docstring @public or @testing`,
      });
    }
  }
  return violations;
}
