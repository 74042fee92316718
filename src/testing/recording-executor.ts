/** An executor that runs nothing and keeps the programs it was given: for tests of what builds them. */
import type { Executor } from '../api/executor.ts';
import { invalid } from '../base/errors.ts';
import { settle } from '../cluster/options.ts';
import type { Program } from '../graph/program.ts';

export interface RecordingExecutor {
  readonly executor: Executor;
  /** In the order of their execution. */
  readonly programs: readonly Program[];
}

export function recordingExecutor(): RecordingExecutor {
  const programs: Program[] = [];
  const executor: Executor = {
    validateConfig: settle,
    execute: async (program) => {
      programs.push(program);
      const { name } = program.graph;
      return { jobId: name, name, state: 'finished', netRuntimeMs: 0, metrics: {} };
    },
    start: () => Promise.reject(invalid('RUNS_NOTHING', 'this executor runs nothing')),
  };
  return { executor, programs };
}
