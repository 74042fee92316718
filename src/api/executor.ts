/** Who runs a program: injected, so that the builder knows no runtime. */
import type { JsonValue } from '../base/json.ts';
import type { Program } from '../graph/program.ts';

export interface JobResult {
  readonly jobId: string;
  readonly name: string;
  /** `already-finished`: an earlier run completed the job; nothing ran now. */
  readonly state: 'finished' | 'already-finished';
  readonly netRuntimeMs: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface Executor {
  /** Settles when the job has ended. In a worker it never settles: the worker serves the job that the main process runs. */
  execute(program: Program): Promise<JobResult>;
  /** Checks options and fills in defaults. @throws `invalid` CONFIG_INVALID listing every fault */
  validateConfig(config: Readonly<Record<string, JsonValue>>): Readonly<Record<string, JsonValue>>;
}
