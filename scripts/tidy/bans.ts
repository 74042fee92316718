/** What the engine may not touch directly, and what to use instead. Determinism hangs on this list. */
import { BAN_EXCEPTIONS } from './exceptions.ts';
import { isEngine, lineAt, type Source, type Violation } from './source.ts';

interface Ban {
  readonly pattern: RegExp;
  readonly what: string;
  readonly instead: string;
  /** Also in the test kit and connectors' tests. Default: the engine only. */
  readonly everywhere?: boolean;
}

const BANS: readonly Ban[] = [
  { pattern: /\bDate\.now\s*\(/g, what: 'Date.now', instead: 'World.clock.wallMs' },
  { pattern: /\bnew Date\s*\(\s*\)/g, what: 'new Date()', instead: 'World.clock.wallMs' },
  { pattern: /\bperformance\s*\./g, what: 'performance', instead: 'World.clock.monotonicMs' },
  { pattern: /\bprocess\.hrtime/g, what: 'process.hrtime', instead: 'World.clock.monotonicMs' },
  { pattern: /\bMath\.random\b/g, what: 'Math.random', instead: 'World.random' },
  {
    pattern: /\bcrypto\.(randomUUID|randomBytes|getRandomValues)/g,
    what: 'crypto randomness',
    instead: 'World.ids',
  },
  { pattern: /\b(setTimeout|setInterval)\s*\(/g, what: 'timers', instead: 'World.timers.after' },
  {
    pattern: /\b(setImmediate|queueMicrotask)\s*\(/g,
    what: 'scheduling',
    instead: 'World.timers.soon',
  },
  { pattern: /\bprocess\.nextTick/g, what: 'process.nextTick', instead: 'World.timers.soon' },
  { pattern: /\bprocess\.env\b/g, what: 'process.env', instead: 'options' },
  { pattern: /\bconsole\./g, what: 'console', instead: 'World.logger' },
  { pattern: /(?<![.#\w])fetch\s*\(/g, what: 'fetch', instead: 'World.network or storage' },
  { pattern: /\bAtomics\.wait/g, what: 'Atomics.wait', instead: 'MessageLink' },
  {
    pattern: /\bnew (Worker|MessageChannel|BroadcastChannel)\b/g,
    what: 'threads',
    instead: 'Threads',
  },
  {
    pattern: /\bthrow new (Error|TypeError|RangeError)\b/g,
    what: 'plain errors',
    instead: 'MillraceError with kind and code',
  },
  {
    pattern: /\binstanceof (Error|MillraceError)\b/g,
    what: 'instanceof on errors',
    instead: 'isMillraceError and kind/code',
  },
  {
    pattern: /\bas any\b|: any\b/g,
    what: 'any',
    instead: 'unknown, parsed at the edge',
    everywhere: true,
  },
  {
    pattern: /\b(it|test|describe)\.(skip|only|todo)\b/g,
    what: 'skipped tests',
    instead: 'a test that runs',
    everywhere: true,
  },
];

const BANNED_MODULES: Readonly<Record<string, string>> = {
  'node:fs': 'storage/object-store',
  'node:fs/promises': 'storage/object-store',
  'node:net': 'World.network',
  'node:http': 'World.network',
  'node:https': 'World.network',
  'node:tls': 'World.network',
  'node:dgram': 'World.network',
  'node:worker_threads': 'Threads',
  'node:child_process': 'Threads',
  'node:timers': 'World.timers',
  'node:timers/promises': 'World.timers',
  'node:os': 'options',
  'node:perf_hooks': 'World.clock',
};

const excepted = (path: string, what: string): boolean =>
  BAN_EXCEPTIONS.some((exception) => exception.path === path && exception.what.includes(what));

export function checkBans(sources: readonly Source[]): Violation[] {
  const violations: Violation[] = [];
  for (const source of sources) {
    const engine = isEngine(source.path);
    for (const ban of BANS) {
      if (!(engine || ban.everywhere === true) || excepted(source.path, ban.what)) continue;
      for (const match of source.code.matchAll(ban.pattern)) {
        const line = lineAt(source.code, match.index);
        violations.push({
          path: source.path,
          line,
          rule: 'ban',
          message: `${ban.what}: use ${ban.instead}`,
        });
      }
    }
    for (const { specifier, line } of source.imports) {
      const instead = BANNED_MODULES[specifier];
      if (!engine || instead === undefined || excepted(source.path, specifier)) continue;
      violations.push({
        path: source.path,
        line,
        rule: 'ban',
        message: `${specifier}: use ${instead}`,
      });
    }
  }
  return violations;
}
