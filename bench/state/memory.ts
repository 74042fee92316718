/**
 * Resident memory and pauses of a task whose state is many times its memory budget: measured in a process of its own, which opens the
 * backend as a job does, with the compaction thread and a disk cache of a quarter of the state.
 *
 * The figure is what the process grew by over itself idle, with everything loaded and nothing opened, in parts of
 * `taskmanager.memory.managed.size`. It holds all there is: live values, blocks, memtables, indexes, filters, the tables of the disk
 * cache, the compaction thread, the garbage of the language.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { KeyedStateHandle } from '../../src/state/snapshot.ts';

const STATE_TO_BUDGET = 20;
/** Without it glibc puts large buffers between small ones, and the heap never shrinks: docs/reference/forst.md. */
const ENVIRONMENT = { ...process.env, MALLOC_MMAP_THRESHOLD_: '262144' };
/** Without it V8 lets the youngest garbage of each thread grow to 128 MB before it looks. */
const YOUNG = '--max-semi-space-size=8';

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

/** Over the state that these handles name, in the store in that folder. */
export async function benchMemory(
  state: {
    readonly folder: string;
    readonly restore: readonly KeyedStateHandle[];
    readonly bytes: number;
    readonly keys: number;
  },
  records: number,
): Promise<Record<string, number>> {
  const { folder, bytes, keys } = state;
  const budgetBytes = bytes / STATE_TO_BUDGET;
  await writeFile(`${folder}/handles.json`, JSON.stringify(state.restore));
  const run: MemoryRun = { folder, budgetBytes, stateBytes: bytes, keys, records };
  const main = new URL('memory-main.ts', import.meta.url).pathname;
  // Files of the run go with the folder.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [YOUNG, main, JSON.stringify(run)],
    { env: ENVIRONMENT },
  );
  const figures = JSON.parse(stdout) as MemoryFigures; // memory-main.ts prints it
  return {
    memory_vs_budget: (figures.peakBytes - figures.idleBytes) / budgetBytes,
    memory_budget_mb: budgetBytes / 1e6,
    memory_peak_mb: figures.peakBytes / 1e6,
    memory_idle_mb: figures.idleBytes / 1e6,
    pause_max_ms: figures.pauseCpuMs,
    pause_wall_max_ms: figures.pauseWallMs,
    larger_than_memory_records_per_s: figures.recordsPerSecond,
  };
}
