/**
 * `npm test`: every test file through Node's own runner, the style first. `npm test -- <path or pattern>` runs a part.
 */
import { spawnSync } from 'node:child_process';

const given = process.argv.slice(2);
const patterns =
  given.length > 0
    ? given
    : [
        'scripts/*.test.ts',
        'src/**/*.test.ts',
        'connectors/**/*.test.ts',
        'examples/**/*.test.ts',
        'bench/**/*.test.ts',
        'tests/**/*.test.ts',
      ];
const run = spawnSync(
  process.execPath,
  ['--test', '--test-concurrency=2', '--test-timeout=600000', '--test-reporter=spec', ...patterns],
  { stdio: 'inherit' },
);
process.exitCode = run.status ?? 1;
