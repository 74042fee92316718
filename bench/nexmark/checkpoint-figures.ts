/** What the records of a job's retained checkpoints say: how long each took and how many bytes of state it has. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CheckpointRecord, decodeRecord } from '../../src/state/checkpoint-record.ts';

export interface CheckpointFigures {
  /** From the trigger to its completion. */
  readonly ms: readonly number[];
  readonly bytes: readonly number[];
}

/** The last checkpoint of a bounded job, taken when everything has ended, is left out. */
export async function checkpointsIn(dir: string): Promise<CheckpointFigures> {
  const files = await readdir(dir, { recursive: true });
  const records: CheckpointRecord[] = [];
  for (const file of files.filter((name) => name.endsWith('_metadata')))
    records.push(decodeRecord(await readFile(join(dir, file)), file));
  const periodic = records.toSorted((a, b) => a.checkpointId - b.checkpointId).slice(0, -1);
  return {
    ms: periodic.map(({ triggeredAtMs, completedAtMs }) => completedAtMs - triggeredAtMs),
    bytes: periodic.map(({ vertices }) => {
      const sizes = vertices.flatMap(({ subtasks }) => subtasks.map(({ sizeBytes }) => sizeBytes));
      return sizes.reduce((a, b) => a + b, 0);
    }),
  };
}
