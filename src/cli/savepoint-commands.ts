/** `millrace savepoint`: of a running job; `create`, from any checkpoint without the job; `dispose`. */
import type { Command } from 'commander';
import { realWorld } from '../base/real-world.ts';
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { StoreSnapshotReader } from '../state/checkpoint-storage.ts';
import { pinCheckpoint, releasePin } from '../state/pins.ts';
import { disposeSavepoint } from '../state/savepoint/dispose-savepoint.ts';
import { SAVEPOINT_RECORD_KEY, writeSavepoint } from '../state/savepoint/write-savepoint.ts';
import { type FoundCheckpoint, findCheckpoint } from './checkpoint-location.ts';
import { openStoreAt } from './fork-origin.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { ask, type AskOptions, formatOf, PATIENCE_DEFAULT } from './job-commands.ts';

type Config = Readonly<Record<string, JsonValue>>;
type Property = (given: string, before: Config) => Config;

export function addSavepointCommands(program: Command, property: Property): void {
  const savepoint = program
    .command('savepoint')
    .description('savepoints: state in a format of its own, for any backend, parallelism and tool');
  savepoint
    .command('trigger <job> [directory]', { isDefault: true })
    .description('takes a savepoint of a running job, in a new folder in the directory')
    .option('--type <format>', 'canonical (default) or native', 'canonical')
    .option('--timeout <duration>', 'how long the job may take to notice', PATIENCE_DEFAULT)
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(trigger);
  savepoint
    .command('create <checkpoint> <target>')
    .description('writes a savepoint of a checkpoint into a new folder or s3://bucket/prefix')
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(create);
  savepoint
    .command('dispose <savepoint>')
    .description('deletes a savepoint; jobs that were started from it do not need it')
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(dispose);
}

async function trigger(
  location: string,
  directory: string | undefined,
  options: AskOptions & { readonly type: string },
): Promise<void> {
  const operation = { type: 'savepoint', directory, format: formatOf(options.type) } as const;
  realWorld().print(`savepoint ${(await ask(location, operation, options)) ?? ''}`);
}

async function create(
  location: string,
  target: string,
  { D }: { readonly D: Config },
): Promise<void> {
  const world = realWorld();
  const { store, key, record } = await findCheckpoint(location, D);
  const into = openStoreAt(target.replace(/\/+$/, ''), D);
  try {
    if ((await into.head(SAVEPOINT_RECORD_KEY)) !== undefined)
      throw invalid(
        'SAVEPOINT_EXISTS',
        `there is a savepoint in ${target} already; choose another folder`,
      );
    const source = {
      store,
      reader: new StoreSnapshotReader(store),
      yieldToLoop: () => new Promise<void>((resolve) => world.timers.soon(resolve)),
    };
    const { vertices, checkpointId } = await whilePinned(store, { key, record, target }, () =>
      writeSavepoint(record, source, into),
    );
    const bytes = vertices
      .flatMap(({ subtasks }) => subtasks)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    world.print(`savepoint of checkpoint ${checkpointId}: ${target}, ${bytes} bytes`);
  } finally {
    await into.close();
    await store.close();
  }
}

/** A running job may drop the checkpoint meanwhile: a pin keeps what it names. A savepoint belongs to no job, and nobody drops it. */
async function whilePinned<R>(
  store: ObjectStore,
  { key, record, target }: Pick<FoundCheckpoint, 'key' | 'record'> & { readonly target: string },
  use: () => Promise<R>,
): Promise<R> {
  const { jobId, checkpointId } = record;
  if (!key.startsWith(`${jobId}/`)) return use();
  const id = `savepoint-${realWorld().ids.next().slice(0, 12)}`;
  await pinCheckpoint(store, jobId, { id, checkpointId, key, owner: `the savepoint ${target}` });
  try {
    return await use();
  } finally {
    await releasePin(store, jobId, id);
  }
}

async function dispose(location: string, { D }: { readonly D: Config }): Promise<void> {
  const savepoint = openStoreAt(location.replace(/\/+$/, ''), D);
  try {
    await disposeSavepoint(savepoint, (origin) => openStoreAt(origin, D));
  } finally {
    await savepoint.close();
  }
  realWorld().print(`disposed of ${location}`);
}
