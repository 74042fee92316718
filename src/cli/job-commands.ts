/** `millrace stop` and `millrace cancel`, and what the savepoint commands ask of a running job. */
import type { Command } from 'commander';
import { durationMs } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import { keepAlive, realWorld } from '../base/real-world.ts';
import type { JsonValue } from '../base/json.ts';
import { askJob } from '../cluster/ask-job.ts';
import type { JobOperation } from '../cluster/job-control.ts';
import { findJob } from './checkpoint-location.ts';

type Config = Readonly<Record<string, JsonValue>>;
type Property = (given: string, before: Config) => Config;

/** How long a job may take to notice that it is asked something. */
export const PATIENCE_DEFAULT = '30 s';

export interface AskOptions {
  readonly D: Config;
  readonly timeout: string;
}

export function addJobCommands(program: Command, property: Property): void {
  program
    .command('stop <job>')
    .description('stops a running job with a savepoint')
    .option('-p, --savepointPath <dir>', 'where the savepoint goes, in a folder of its own')
    .option('-d, --drain', 'ends the input: windows and timers fire, and the job is finished')
    .option('--type <format>', 'canonical (default) or native', 'canonical')
    .option('--timeout <duration>', 'how long the job may take to notice', PATIENCE_DEFAULT)
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(stop);
  program
    .command('cancel <job>')
    .description('cancels a running job; its checkpoints stay for its next run')
    .option('--timeout <duration>', 'how long the job may take to notice', PATIENCE_DEFAULT)
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(async (location: string, options: AskOptions) => {
      await ask(location, { type: 'cancel' }, options);
      realWorld().print('canceled');
    });
}

interface StopOptions extends AskOptions {
  readonly savepointPath?: string;
  readonly drain?: boolean;
  readonly type: string;
}

async function stop(location: string, options: StopOptions): Promise<void> {
  const { savepointPath, drain = false, type } = options;
  const operation: JobOperation = {
    type: 'stop',
    directory: savepointPath,
    format: formatOf(type),
    drain,
  };
  realWorld().print(`stopped with savepoint ${(await ask(location, operation, options)) ?? ''}`);
}

export function formatOf(type: string): 'canonical' | 'native' {
  const format = type.toLowerCase();
  if (format === 'canonical' || format === 'native') return format;
  throw invalid('BAD_OPTION', `--type is canonical or native, not ${type}`);
}

/** Asks the job at that place, and waits for what it answers. */
export async function ask(
  location: string,
  operation: JobOperation,
  { D, timeout }: AskOptions,
): Promise<string | undefined> {
  const world = realWorld();
  const letGo = keepAlive();
  const { store, jobId } = await findJob(location, D).finally(letGo);
  const release = keepAlive();
  try {
    return await askJob({
      world,
      store,
      jobId,
      operation,
      patienceMs: durationMs(timeout as '1 s'),
    });
  } finally {
    release();
    await store.close();
  }
}
