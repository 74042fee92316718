/** `millrace run`: runs a program with options from the command line, in this process. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { realEnvironment, setEnvironment } from '../base/real-world.ts';
import type { JsonValue } from '../base/json.ts';
import { forkOptions } from './fork-command.ts';
import { givenOptions, OPTIONS_VARIABLE } from './given-options.ts';

type Config = Readonly<Record<string, JsonValue>>;
type Property = (given: string, before: Config) => Config;

interface RunOptions {
  readonly D: Config;
  readonly until?: string;
  readonly fromSavepoint?: string;
  readonly claimMode?: string;
  readonly allowNonRestoredState?: boolean;
  readonly parallelism?: string;
  readonly fork?: string;
}

export function addRunCommand(program: Command, property: Property): void {
  program
    .command('run <program> [arguments...]')
    .description('runs a program such as job.ts; its options win over those in the program')
    .option('--until <moment>', 'now: processes what there is, and ends; the next run goes on')
    .option('-s, --fromSavepoint <path>', 'starts from a savepoint')
    .option('--claimMode <mode>', 'whose the savepoint is then: no-claim (default) or claim')
    .option('-n, --allowNonRestoredState', 'drops state that the program has no operator for')
    .option('--fork <dir>', 'as a fork that `millrace fork` made: until now, results captured')
    .option('-p, --parallelism <n>', 'of operators that set none')
    .option('-D <key=value>', 'an option such as state.backend.type', property, {})
    .passThroughOptions()
    .action(run);
}

async function run(
  file: string,
  programArguments: readonly string[],
  options: RunOptions,
): Promise<void> {
  const fork = options.fork === undefined ? {} : await forkOptions(options.fork);
  await loadProgram(file, programArguments, { ...fork, ...optionsOf(options) });
}

/** Settles when the module has been run, with options that win over its own. */
export async function loadProgram(
  file: string,
  programArguments: readonly string[],
  options: Config,
): Promise<void> {
  const path = resolve(file);
  const given = { ...givenOptions(realEnvironment()), ...options };
  setEnvironment(OPTIONS_VARIABLE, JSON.stringify(given));
  // Worker threads run the module that the process was started with: from here on it is the program.
  process.argv = [process.argv[0]!, path, ...programArguments];
  await import(pathToFileURL(path).href);
}

function optionsOf(options: RunOptions): Config {
  const { D, until, fromSavepoint, claimMode, allowNonRestoredState, parallelism } = options;
  return {
    ...D,
    ...(until === undefined ? {} : { 'execution.until': until }),
    ...(fromSavepoint === undefined ? {} : { 'execution.state-recovery.path': fromSavepoint }),
    ...(claimMode === undefined ? {} : { 'execution.state-recovery.claim-mode': claimMode }),
    ...(allowNonRestoredState === true
      ? { 'execution.state-recovery.ignore-unclaimed-state': true }
      : {}),
    ...(parallelism === undefined ? {} : { 'parallelism.default': parallelism }),
  };
}
