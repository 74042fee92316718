/** Who runs a program: injected, so that the builder knows no runtime. */
import type { JsonValue } from '../base/json.ts';
import type { Program } from '../graph/program.ts';
import type { JobClient } from './job-client.ts';

export interface JobResult {
  readonly jobId: string;
  readonly name: string;
  /**
   * `already-finished`: an earlier run completed the job; nothing ran now. `stopped`: with a savepoint, or because it ran until now; the next
   * run goes on.
   */
  readonly state: 'finished' | 'already-finished' | 'stopped';
  readonly netRuntimeMs: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface Executor {
  /** Settles when the job has ended. In a worker it never settles: the worker serves the job that the main process runs. */
  execute(program: Program): Promise<JobResult>;
  /** Settles when the job runs. In a worker as `execute`. */
  start(program: Program): Promise<JobClient>;
  /** Checks options and fills in defaults. @throws `invalid` CONFIG_INVALID listing every fault */
  validateConfig(config: Readonly<Record<string, JsonValue>>): Readonly<Record<string, JsonValue>>;
}
