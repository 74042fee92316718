/**
 * Resident memory and pauses of a task whose state is many times its memory budget: measured in a process of its own, which opens the
 * backend as a job does, with the compaction thread and a disk cache of a quarter of the state.
 *
 * The figure is what the process grew by over itself idle, with everything loaded and nothing opened, in parts of
 * `taskmanager.memory.managed.size`. It holds all there is: live values, blocks, memtables, indexes, filters, the tables of the disk
 * cache, the compaction thread, the garbage of the language.
 */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { bulkState } from './bulk.ts';
import { localStore } from './stores.ts';

const STATE_TO_BUDGET = 20;
/** Of a key and its value in the tree. */
const ENTRY_BYTES = 85;

export interface MemoryRun {
  readonly folder: string;
  readonly budgetBytes: number;
  readonly stateBytes: number;
  readonly keys: number;
  readonly records: number;
}

export interface MemoryFigures {
  readonly idleBytes: number;
  readonly peakBytes: number;
  /** The longest time between two turns of the event loop, by the clock and by the CPU time of the thread. */
  readonly pauseWallMs: number;
  readonly pauseCpuMs: number;
  readonly recordsPerSecond: number;
}

export async function benchMemory(
  folder: string,
  budgetBytes: number,
  records: number,
): Promise<Record<string, number>> {
  const stateBytes = STATE_TO_BUDGET * budgetBytes;
  const keys = Math.floor(stateBytes / ENTRY_BYTES);
  const { one } = await bulkState(localStore(`${folder}/store`), keys);
  await mkdir(folder, { recursive: true });
  await writeFile(`${folder}/handles.json`, JSON.stringify(one));
  const run: MemoryRun = { folder, budgetBytes, stateBytes, keys, records };
  const main = new URL('memory-main.ts', import.meta.url).pathname;
  // Files of the run go with the folder.
  const { stdout } = await promisify(execFile)(process.execPath, [main, JSON.stringify(run)]);
  const figures = JSON.parse(stdout) as MemoryFigures; // memory-main.ts prints it
  return {
    memory_vs_budget: (figures.peakBytes - figures.idleBytes) / budgetBytes,
    memory_peak_mb: figures.peakBytes / 1e6,
    memory_idle_mb: figures.idleBytes / 1e6,
    pause_max_ms: figures.pauseCpuMs,
    pause_wall_max_ms: figures.pauseWallMs,
    larger_than_memory_records_per_s: figures.recordsPerSecond,
  };
}
