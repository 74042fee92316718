/**
 * Starts a job from a savepoint: the savepoint becomes the job's newest checkpoint, and its head says so, in one step. A later start with the same
 * path goes on from the job's own checkpoints.
 *
 * Whose it is: with no-claim the savepoint stays as it is, and the job does not need it any more: a canonical one is copied; of a native one
 * the job holds the objects with a pin of its own. With claim it is disposed of when the job has it.
 */
import { invalid } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import type { CheckpointRecord } from '../state/checkpoint-record.ts';
import type { CheckpointStore } from '../state/checkpoint-store.ts';
import { newAttemptId } from '../state/object-owner.ts';
import { pinCheckpoint } from '../state/pins.ts';
import { disposeSavepoint } from '../state/savepoint/dispose-savepoint.ts';
import {
  importSavepoint,
  readSavepoint,
  savepointIdOf,
} from '../state/savepoint/import-savepoint.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export interface RestoreRequest {
  readonly world: World;
  readonly jobId: string;
  readonly path: string;
  readonly claims: boolean;
  readonly checkpoints: CheckpointStore;
  /** Of the job's checkpoints, and where it is; undefined for memory. */
  readonly store: ObjectStore;
  readonly checkpointDir: string | undefined;
  openStore(location: string): ObjectStore;
}

/** Whether a start with this path begins at the savepoint, or goes on. */
export const beginsAtSavepoint = (
  { head }: Pick<CheckpointStore, 'head'>,
  path: string | undefined,
): path is string =>
  path !== undefined && (head.restored?.path !== path || head.checkpoints.length === 0);

/**
 * @throws `invalid` NO_SUCH_SAVEPOINT, NATIVE_SAVEPOINT_ELSEWHERE; `data` when something of it is corrupt or gone
 */
export async function restoreSavepoint(request: RestoreRequest): Promise<CheckpointRecord> {
  const { world, path, claims, checkpoints, openStore } = request;
  const from = openStore(path);
  try {
    const savepoint = await readSavepoint(from);
    const own = checkpoints.head.checkpoints.at(-1);
    if (own !== undefined)
      world.logger.log(
        'warn',
        `the job starts from savepoint ${path} and leaves its own checkpoint ${own.checkpointId} behind`,
      );
    const checkpointId = Math.max(savepoint.checkpointId, (own?.checkpointId ?? 0) + 1);
    const restored = { path, savepointId: savepointIdOf(savepoint) };
    const record = await (savepoint.savepoint === 'native'
      ? adoptNative(savepoint, checkpointId, restored, request)
      : adoptCanonical(savepoint, from, checkpointId, restored, request));
    if (claims) await disposeSavepoint(from, openStore);
    return record;
  } finally {
    await from.close();
  }
}

type Restored = Parameters<CheckpointStore['restore']>[1];

async function adoptCanonical(
  savepoint: CheckpointRecord,
  from: ObjectStore,
  checkpointId: number,
  restored: Restored,
  { world, jobId, checkpoints, store }: RestoreRequest,
): Promise<CheckpointRecord> {
  const { generation } = checkpoints.head;
  const attemptId = newAttemptId(generation, world.ids);
  const target = { store, jobId, generation, checkpointId, attemptId };
  const record = await importSavepoint(savepoint, from, target);
  await checkpoints.restore(record, restored);
  return record;
}

async function adoptNative(
  savepoint: CheckpointRecord,
  checkpointId: number,
  restored: Restored,
  { world, jobId, path, checkpoints, store, checkpointDir }: RestoreRequest,
): Promise<CheckpointRecord> {
  const { savepoint: _format, origin, ...rest } = savepoint;
  const { location, key, pinId: heldBy } = origin!; // every native savepoint has one
  if (checkpointDir === undefined || trimmed(checkpointDir) !== trimmed(location))
    throw invalid(
      'NATIVE_SAVEPOINT_ELSEWHERE',
      `the native savepoint ${path} refers to objects in ${location}, and this job keeps its checkpoints in ${checkpointDir ?? 'memory'}; set execution.checkpointing.dir to the former, or take a canonical savepoint`,
      { path, location },
    );
  const { generation } = checkpoints.head;
  const record = { ...rest, jobId, generation, checkpointId };
  if (savepoint.jobId === jobId) {
    await checkpoints.restore(record, restored);
    return record;
  }
  const pinId = `restored-${world.ids.next().slice(0, 12)}`;
  const pin = { id: pinId, checkpointId: savepoint.checkpointId, key, owner: jobId };
  await pinCheckpoint(store, savepoint.jobId, pin, heldBy);
  await checkpoints.restore(record, restored, { jobId: savepoint.jobId, pinId });
  return record;
}

const trimmed = (location: string): string => location.replace(/\/+$/, '');
