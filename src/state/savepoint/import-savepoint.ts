/**
 * Brings a canonical savepoint into a job: its objects are copied into the job's folder, and a checkpoint record names them there, so that
 * everything that restores a checkpoint restores a savepoint. The savepoint itself is left as it is, whatever becomes of the job.
 */
import { invalid } from '../../base/errors.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { type CheckpointRecord, decodeRecord } from '../checkpoint-record.ts';
import type { KeyedStateHandle, OperatorSnapshot, StateHandle } from '../snapshot.ts';
import { StoreSnapshotReader } from '../checkpoint-storage.ts';
import { SAVEPOINT_RECORD_KEY } from './write-savepoint.ts';

export interface ImportTarget {
  readonly store: Pick<ObjectStore, 'put'>;
  readonly jobId: string;
  readonly generation: number;
  /** Of the checkpoint that it becomes. */
  readonly checkpointId: number;
  /** Unique, of the present generation: names what is copied. */
  readonly attemptId: string;
}

/** @throws `invalid` NO_SUCH_SAVEPOINT; `data` when the record or an object does not match its checksum */
export async function readSavepoint(from: Pick<ObjectStore, 'get'>): Promise<CheckpointRecord> {
  const bytes = await from.get(SAVEPOINT_RECORD_KEY).catch((cause: unknown) => {
    if ((cause as { code?: unknown }).code !== 'OBJECT_NOT_FOUND') throw cause;
    throw invalid(
      'NO_SUCH_SAVEPOINT',
      `there is no savepoint: its ${SAVEPOINT_RECORD_KEY} does not exist`,
    );
  });
  const record = decodeRecord(bytes, SAVEPOINT_RECORD_KEY);
  if (record.savepoint === undefined)
    throw invalid(
      'NO_SUCH_SAVEPOINT',
      'this is a checkpoint and no savepoint; write one with `millrace savepoint create`',
    );
  return record;
}

/** Names what a savepoint holds: two of the same checkpoint are one. */
export const savepointIdOf = ({ jobId, checkpointId, generation }: CheckpointRecord): string =>
  `${jobId}/chk-${checkpointId}-g${generation}`;

/** The record to add to the job's checkpoints. */
export async function importSavepoint(
  savepoint: CheckpointRecord,
  from: ObjectStore,
  { store, jobId, generation, checkpointId, attemptId }: ImportTarget,
): Promise<CheckpointRecord> {
  const reader = new StoreSnapshotReader(from);
  let copies = 0;
  const copy = async (handle: StateHandle): Promise<StateHandle> => {
    if (handle.kind === 'inline') return handle;
    const bytes = await reader.read(handle);
    const key = `${jobId}/chk-${checkpointId}/${attemptId}-${copies++}-imported`;
    await store.put(key, bytes);
    return { ...handle, key, offset: 0 };
  };
  const keyed = async (handle: KeyedStateHandle): Promise<KeyedStateHandle> => ({
    ...handle,
    data: await copy(handle.data),
    ...(handle.waiting === undefined ? {} : { waiting: await copy(handle.waiting) }),
  });
  const vertices = [];
  for (const vertex of savepoint.vertices) {
    const subtasks = [];
    for (const { operators, sizeBytes } of vertex.subtasks) {
      const copied: Record<string, OperatorSnapshot> = {};
      for (const [id, snapshot] of Object.entries(operators)) {
        const handles: KeyedStateHandle[] = [];
        for (const handle of snapshot.keyed) handles.push(await keyed(handle));
        const { operator } = snapshot;
        copied[id] =
          operator === undefined
            ? { keyed: handles }
            : { keyed: handles, operator: { data: await copy(operator.data) } };
      }
      subtasks.push({ operators: copied, sizeBytes });
    }
    vertices.push({ ...vertex, subtasks });
  }
  const { savepoint: _format, ...record } = savepoint;
  return { ...record, jobId, generation, checkpointId, vertices };
}
