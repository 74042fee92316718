/** Names: kebab-case files, and words that say nothing are refused. */
import { lineAt, type Source, type Violation } from './source.ts';

const FILE_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.(?:test|bench|fuzz))?\.ts$/;
const DECLARED_TYPE = /\b(?:class|interface|type)\s+([A-Z]\w*)/g;
const EMPTY_WORDS = /(?:Impl|Helper|Helpers|Util|Utils)$|^Abstract|^Base(?=[A-Z])|^I(?=[A-Z][a-z])/;
const MANAGERS = /(?:Job|Task)Manager$/;
/** Words of the field that merely look like the refused ones. */
const NOT_PREFIXED = /^(?:If|In|Is|Id|Ids|Int|Io)[A-Z]?/;

export function checkNames(sources: readonly Source[]): Violation[] {
  const violations: Violation[] = [];
  for (const source of sources) {
    const file = source.path.slice(source.path.lastIndexOf('/') + 1);
    if (!FILE_NAME.test(file)) {
      violations.push({
        path: source.path,
        line: 1,
        rule: 'name',
        message: 'file names are kebab-case',
      });
    }
    for (const match of source.code.matchAll(DECLARED_TYPE)) {
      const name = match[1]!;
      const empty = EMPTY_WORDS.test(name) && !NOT_PREFIXED.test(name);
      const manager = name.endsWith('Manager') && !MANAGERS.test(name);
      if (empty || manager) {
        violations.push({
          path: source.path,
          line: lineAt(source.code, match.index),
          rule: 'name',
          message: `${name}: name it after what it is (no I-, Abstract-, Base-, -Impl, -Helper, -Util, -Manager)`,
        });
      }
    }
  }
  return violations;
}
