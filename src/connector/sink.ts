/**
 * The sink contract (the shape of FLIP-143, Sink V2).
 *
 * Two-phase commit: at a barrier the writer flushes and `prepareCommit` returns committables: plain JSON that names what
 * is staged outside and invisible. They are stored in the checkpoint. When the checkpoint is complete, and again after a restore, the
 * committer makes them visible. `commit` must be idempotent: it runs at least once for every committable of a completed
 * checkpoint, and never for one of a checkpoint that did not complete. What a failed attempt staged and no completed
 * checkpoint names stays invisible; the writer of the next attempt discards it (see `SinkWriterContext.restored`).
 */
import type { JsonValue } from '../base/json.ts';
import type { Clock, Logger, Timers } from '../base/world.ts';
import type { RecordBatch } from '../types/record-batch.ts';

export type Committable = JsonValue;

/** Exactly-once needs `two-phase` (or an idempotent sink); `none` is at-least-once. */
export type SinkGuarantee = 'exactly-once' | 'at-least-once';

export interface SinkWriterContext {
  readonly jobId: string;
  readonly operatorId: string;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  /** Unique for each try of this subtask: stage under a name that carries it, so that a zombie cannot touch our files. */
  readonly attemptId: string;
  /** The writer states of the restored checkpoint that fall to this subtask; empty on a fresh start. */
  readonly restored: readonly JsonValue[];
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Writes a line to the standard output of the process. */
  print(line: string): void;
}

export interface SinkWriter<in T> {
  /** A promise is backpressure: no further write until it settles. */
  write(batch: RecordBatch<T>): void | Promise<void>;
  /** Event time has come this far; optional knowledge. */
  writeWatermark?(watermark: number): void;
  /** Everything written so far is staged durably when this settles. Called at each barrier and at the end of input. */
  flush(endOfInput: boolean): Promise<void>;
  /** After `flush`: what the checkpoint must commit. Writes that follow belong to the next checkpoint. */
  prepareCommit?(checkpointId: number): Promise<readonly Committable[]>;
  /** After `prepareCommit`: state that the next attempt's writer needs. */
  snapshotState?(checkpointId: number): Promise<readonly JsonValue[]>;
  close(): Promise<void>;
}

export interface Committer {
  /** Idempotent. Rejecting with `unavailable` retries with backoff; any other rejection fails the job, loudly. */
  commit(committables: readonly Committable[]): Promise<void>;
  close(): Promise<void>;
}

/** How long what is staged outside lives before it is committed. */
export interface StagingLimits {
  /** After this long the outside gives up what was staged and not committed. */
  readonly timeoutMs: number;
  /** The longest time from staging to commit that must be survived: checkpoint interval and duration, and every restart and outage in between. */
  readonly longestOutageMs: number;
}

export interface Sink<in T> {
  readonly guarantee: SinkGuarantee;
  /** True: whoever made this sink asked for no more than its guarantee, by an option of it, or because it only shows records. Default false. */
  readonly accepted?: boolean;
  /** Where the outside does not keep what is staged for ever. */
  readonly staging?: StagingLimits;
  createWriter(context: SinkWriterContext): Promise<SinkWriter<T>>;
  createCommitter?(context: SinkWriterContext): Promise<Committer>;
}
