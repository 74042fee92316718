/** Deletes a savepoint: its own objects, or what a native one holds in the job it came from. Repeated, it completes. */
import type { ObjectStore } from '../../storage/object-store.ts';
import { objectsOf } from '../checkpoint-record.ts';
import { releasePin } from '../pins.ts';
import { readSavepoint } from './import-savepoint.ts';
import { SAVEPOINT_RECORD_KEY } from './write-savepoint.ts';

/** @throws `invalid` NO_SUCH_SAVEPOINT; `data` when the record is corrupt: nothing was deleted */
export async function disposeSavepoint(
  savepoint: Pick<ObjectStore, 'get' | 'delete'>,
  openStore: (location: string) => ObjectStore,
): Promise<void> {
  const record = await readSavepoint(savepoint);
  const { origin } = record;
  if (origin === undefined) {
    for (const key of objectsOf(record)) await savepoint.delete(key);
  } else {
    const store = openStore(origin.location);
    try {
      await releasePin(store, record.jobId, origin.pinId);
    } finally {
      await store.close();
    }
  }
  // Last: as long as the record is there, disposing can be tried again.
  await savepoint.delete(SAVEPOINT_RECORD_KEY);
}
