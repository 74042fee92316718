/**
 * Makes a savepoint of a checkpoint that a pin holds: canonical, by reading the state and writing it anew; or native, by a record that refers to
 * the checkpoint's objects where they are, and keeps the pin.
 */
import { invalid } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import type { CheckpointRecord, SavepointFormat } from '../state/checkpoint-record.ts';
import { encodeRecord } from '../state/checkpoint-record.ts';
import { StoreSnapshotReader } from '../state/checkpoint-storage.ts';
import { releasePin } from '../state/pins.ts';
import { SAVEPOINT_RECORD_KEY, writeSavepoint } from '../state/savepoint/write-savepoint.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export interface SavepointTarget {
  /** In which the savepoint gets a folder of its own. Default `execution.checkpointing.savepoint-dir`. */
  readonly directory?: string | undefined;
  /** Default 'canonical'. */
  readonly format?: SavepointFormat | undefined;
}

/** A savepoint to be. */
export interface SavepointPlan {
  readonly location: string;
  readonly format: SavepointFormat;
  /** Of the pin that holds the checkpoint meanwhile. */
  readonly pinId: string;
}

export interface ExportPlaces {
  readonly world: World;
  readonly jobId: string;
  /** Of the job's checkpoints. */
  readonly store: ObjectStore;
  /** Where that store is; undefined for memory. */
  readonly checkpointDir: string | undefined;
  readonly savepointDir: string | undefined;
  openStore(location: string): ObjectStore;
}

/** @throws `invalid` NO_SAVEPOINT_DIR, NATIVE_NEEDS_DIR */
export function planSavepoint(target: SavepointTarget, places: ExportPlaces): SavepointPlan {
  const { directory = places.savepointDir, format = 'canonical' } = target;
  if (directory === undefined)
    throw invalid(
      'NO_SAVEPOINT_DIR',
      'a savepoint needs a place: name a folder or s3://bucket/prefix, or set execution.checkpointing.savepoint-dir',
    );
  if (format === 'native' && places.checkpointDir === undefined)
    throw invalid(
      'NATIVE_NEEDS_DIR',
      'a native savepoint refers to checkpoints that outlive the job: set execution.checkpointing.dir, or take a canonical one',
    );
  const name = `savepoint-${places.jobId.slice(0, 6)}-${places.world.ids.next().slice(0, 12)}`;
  return { location: `${directory.replace(/\/+$/, '')}/${name}`, format, pinId: name };
}

/** Settles when the savepoint exists. The pin is on the checkpoint; it goes where it is not needed any more. */
export async function exportSavepoint(
  record: CheckpointRecord,
  { location, format, pinId }: SavepointPlan,
  { world, jobId, store, checkpointDir, openStore }: ExportPlaces,
): Promise<void> {
  const into = openStore(location);
  try {
    if (format === 'native') {
      const { checkpointId, generation } = record;
      const key = `${jobId}/chk-${checkpointId}-g${generation}/_metadata`;
      const origin = { location: checkpointDir!, key, pinId }; // planSavepoint asked for it
      await into.put(SAVEPOINT_RECORD_KEY, encodeRecord({ ...record, savepoint: format, origin }));
      return;
    }
    const source = {
      store,
      reader: new StoreSnapshotReader(store),
      yieldToLoop: () => new Promise<void>((resolve) => world.timers.soon(resolve)),
    };
    await writeSavepoint(record, source, into);
    await releasePin(store, jobId, pinId);
  } catch (error) {
    await releasePin(store, jobId, pinId).catch(() => {}); // what made the export fail counts
    throw error;
  } finally {
    await into.close();
  }
}
