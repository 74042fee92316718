/** `millrace savepoint create`: a savepoint from any checkpoint, without the job. */
import type { Command } from 'commander';
import { realWorld } from '../base/real-world.ts';
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { StoreSnapshotReader } from '../state/checkpoint-storage.ts';
import { SAVEPOINT_RECORD_KEY, writeSavepoint } from '../state/savepoint/write-savepoint.ts';
import { findCheckpoint, openStoreAt } from './checkpoint-location.ts';

type Config = Readonly<Record<string, JsonValue>>;
type Property = (given: string, before: Config) => Config;

export function addSavepointCommands(program: Command, property: Property): void {
  program
    .command('savepoint')
    .description('savepoints: state in a format of its own, for any backend, parallelism and tool')
    .command('create <checkpoint> <target>')
    .description('writes a savepoint of a checkpoint into a new folder or s3://bucket/prefix')
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(create);
}

async function create(
  location: string,
  target: string,
  { D }: { readonly D: Config },
): Promise<void> {
  const world = realWorld();
  const { store, record } = await findCheckpoint(location, D);
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
    const { vertices, checkpointId } = await writeSavepoint(record, source, into);
    const bytes = vertices
      .flatMap(({ subtasks }) => subtasks)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    world.print(`savepoint of checkpoint ${checkpointId}: ${target}, ${bytes} bytes`);
  } finally {
    await into.close();
    await store.close();
  }
}
