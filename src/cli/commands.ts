/** What `millrace` can do: one action a file, composed here. */
import { Command } from 'commander';
import { asError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { keepAlive } from '../base/real-world.ts';
import { runCompactor } from './compactor.ts';
import { addCheckCommands } from './check-command.ts';
import { addForkCommand } from './fork-command.ts';
import { addJobCommands } from './job-commands.ts';
import { addRunCommand } from './run-command.ts';
import { addSavepointCommands } from './savepoint-commands.ts';
import { addStateCommands } from './state-commands.ts';

const program = new Command('millrace')
  .description('A stateful stream processor for TypeScript')
  .enablePositionalOptions();

/** `-D key=value`, as Flink's. */
const property = (
  given: string,
  before: Readonly<Record<string, JsonValue>>,
): Readonly<Record<string, JsonValue>> => {
  const at = given.indexOf('=');
  return {
    ...before,
    [given.slice(0, at === -1 ? undefined : at)]: at === -1 ? true : given.slice(at + 1),
  };
};

program
  .command('compactor')
  .description('does the compactions of jobs whose state.backend.forst.compaction.mode is remote')
  .requiredOption('--dir <location>', 'the execution.checkpointing.dir of the jobs')
  .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
  .action(async ({ dir, D }: { dir: string; D: Readonly<Record<string, JsonValue>> }) => {
    const abort = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort());
    const release = keepAlive();
    await runCompactor({ dir, config: D, signal: abort.signal }).finally(release);
  });

addRunCommand(program, property);
addCheckCommands(program, property);
addJobCommands(program, property);
addForkCommand(program, property);
addStateCommands(program, property);
addSavepointCommands(program, property);

/** Does what the command line says. A failure is written to standard error, and is the exit code 1. */
export async function runCommand(): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    process.stderr.write(`${asError(error).message}\n`);
    process.exitCode = 1;
  }
}
