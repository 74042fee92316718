/**
 * `npm test`: every test file through Node's own runner, the style first. `npm test -- <path or pattern>` runs a part.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { MISSING_FILE_VARIABLE } from './services/service.ts';

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
const folder = mkdtempSync(`${tmpdir()}/millrace-test-`);
const missingFile = `${folder}/missing.txt`;
const run = spawnSync(
  process.execPath,
  ['--test', '--test-concurrency=2', '--test-timeout=600000', '--test-reporter=spec', ...patterns],
  { stdio: 'inherit', env: { ...process.env, [MISSING_FILE_VARIABLE]: missingFile } },
);
// Last, where it is seen.
if (existsSync(missingFile)) process.stdout.write(`\n${readFileSync(missingFile, 'utf8')}`);
rmSync(folder, { recursive: true });
process.exitCode = run.status ?? 1;
