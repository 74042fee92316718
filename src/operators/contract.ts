/**
 * The operator contract.
 *
 * A task owns a chain of operators and calls them on its own thread, one call at a time. Calls are synchronous pushes:
 * an operator emits into its output during a call, never outside one (asynchronous completions first go through
 * `OperatorContext.mailbox`). Order of life:
 *
 *   open -> (processBatch | processWatermark | processWatermarkStatus | timers | mails)*
 *        -> finish (bounded input ended; after the MAX_WATERMARK) -> close
 *   at a barrier: prepareSnapshot, then the barrier goes downstream, then snapshotState, then the task captures state.
 *
 * Invariants:
 *  O1  Records, watermarks and statuses leave in the order in which their causes came in.
 *  O2  A watermark never goes back; a record emitted after watermark W may be late, never the other way round.
 *  O3  While `blocked` is true the task hands over no further input (mails, timers and barriers still come).
 *      An operator that unblocks does so inside a mail, which wakes the task.
 *  O4  `close` runs exactly once, also after a failure, and never emits.
 */
import type { JsonValue } from '../base/json.ts';
import type { Clock, Logger, Random, Timers } from '../base/world.ts';
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { KeyedStateBackend } from '../state/keyed-state-backend.ts';
import type { OperatorStateStore } from '../state/operator-state.ts';
import type { LeftOut } from '../state/waiting-keys.ts';
import type { RecordBatch } from '../types/record-batch.ts';

/** Where an operator emits. */
export interface Output<T> {
  emitBatch(batch: RecordBatch<T>): void;
  emitWatermark(watermark: number): void;
  /** `idle` true: this stream holds no watermark back until a record or an active status follows. */
  emitWatermarkStatus(idle: boolean): void;
}

/** Counter of the field's standard names; incremented per batch, never per record. */
export interface Counter {
  inc(by: number): void;
}

export interface MetricGroup {
  counter(name: string): Counter;
  /** Read when metrics are reported. */
  gauge(name: string, read: () => number): void;
}

export interface ProcessingTime {
  /** Epoch milliseconds. */
  now(): number;
  /** Runs `callback` as a mail of the task at or after `timestamp`. */
  registerTimer(timestamp: number, callback: () => void): { cancel(): void };
}

/** What an operator whose functions may suspend asks of its task. All of it on the task's thread, at any time. */
export interface Suspensions {
  /**
   * Begins a function of this key: at once, or when the one of the key that is under way has ended. Until it has ended no record of the
   * key is handed over, and what the key has in memory stays there.
   */
  begin(key: unknown, start: () => void): void;
  end(key: unknown): void;
  /** Calls back when what `prepare` has noted by now has been loaded, or with what it failed with. */
  afterLoad(resume: (error?: unknown) => void): void;
  /** Waits until none runs. For `prepareSnapshot`. */
  finishFunctions(): Promise<void>;
}

export interface OperatorContext {
  readonly jobId: string;
  readonly operatorId: string;
  readonly operatorName: string;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  readonly maxParallelism: number;
  /** Unique for this try of this subtask. */
  readonly attemptId: string;
  readonly output: Output<unknown>;
  /** The output of a side-output tag; undefined when nobody consumes it. */
  sideOutput(tag: string): Output<unknown> | undefined;
  /** Keyed operators only; see `requireKeyed`. */
  readonly keyed: KeyedStateBackend | undefined;
  /** Of an operator with `suspends`; undefined for others. */
  readonly suspensions?: Suspensions | undefined;
  readonly operatorState: OperatorStateStore;
  readonly processingTime: ProcessingTime;
  readonly metrics: MetricGroup;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly random: Random;
  /** Writes a line to standard output. */
  readonly print: (line: string) => void;
  /** Runs `mail` on the task's thread between two calls; from any later turn of the event loop. After the task has ended it is dropped. */
  mailbox(mail: () => void): void;
  /** Fails the task; from anywhere. */
  fail(error: unknown): void;
  /** Aborted when the task is cancelled or failing: every wait inside an operator listens to it. */
  readonly signal: AbortSignal;
  /** True when a checkpoint is being restored. */
  readonly restored: boolean;
  /** Job options, by Flink's keys. */
  readonly config: Readonly<Record<string, JsonValue>>;
}

export interface Operator {
  open(context: OperatorContext): void | Promise<void>;
  /** See O3. Absent: never blocked. */
  readonly blocked?: boolean;
  /** Watermarks change nothing in it, it only passes them on: records may run before one that came before them. */
  readonly ignoresWatermarks?: boolean;
  /** Functions may suspend: records of one key are handed over one by one, each when the function of the last has ended. */
  readonly suspends?: boolean;
  /** Emits what timers have collected; called after each slice of timers and each mail. */
  flush?(): void;
  /** Emits everything that belongs before the barrier. */
  prepareSnapshot?(checkpointId: number): void | Promise<void>;
  /** Writes what is held in fields into operator or keyed state; the task captures state right after. */
  snapshotState?(checkpointId: number): void | Promise<void>;
  notifyCheckpointComplete?(checkpointId: number): void | Promise<void>;
  notifyCheckpointAborted?(checkpointId: number): void;
  /** Bounded input has ended and everything was processed; emit what is left. */
  finish?(): void | Promise<void>;
  close?(): void | Promise<void>;
}

export interface OneInputOperator extends Operator {
  /**
   * Keyed operators: tells the gate of each record whether all state that processing it reads is resident; what is not is noted for the
   * backend's next load. Asked only where the backend has a residency, again after each load, until all is: what has to be read may
   * depend on what an earlier round brought in.
   */
  prepareBatch?(batch: RecordBatch<unknown>, gate: RecordGate): void;
  /** What a record has to read depends on what records of its key before it wrote: it is asked about when they have been processed. */
  readonly readsWhatIsWritten?: boolean;
  processBatch(batch: RecordBatch<unknown>): void;
  /** The same without the records left out, which wait for state. Absent: the others are copied into a batch. */
  processRest?(batch: RecordBatch<unknown>, left: LeftOut): void;
  /** Event-time timers have been fired by the task before this; must forward the watermark (O1). */
  processWatermark(watermark: number): void;
  processWatermarkStatus(idle: boolean): void;
}

/**
 * Two inputs. The task merges their watermarks and statuses (minimum over active inputs) and calls the one-input forms;
 * `inputWatermark` besides tells the raw one of each side.
 */
export interface TwoInputOperator extends Operator {
  /** As `OneInputOperator.prepareBatch`. */
  prepareBatch1?(batch: RecordBatch<unknown>, gate: RecordGate): void;
  prepareBatch2?(batch: RecordBatch<unknown>, gate: RecordGate): void;
  processBatch1(batch: RecordBatch<unknown>): void;
  processBatch2(batch: RecordBatch<unknown>): void;
  processWatermark(watermark: number): void;
  processWatermarkStatus(idle: boolean): void;
  endInput?(input: 1 | 2): void;
}

/** Steps that the chain fuses into one generated loop; see `fused-chain.ts`. */
export type StatelessStep =
  | { readonly kind: 'map'; readonly apply: (value: never) => unknown }
  | { readonly kind: 'filter'; readonly apply: (value: never) => boolean }
  | { readonly kind: 'flatMap'; readonly apply: (value: never) => Iterable<unknown> };

/** The code of one logical node: what the graph's plain data cannot carry. Looked up by operator id in the `Program`. */
export type OperatorCode =
  | { readonly kind: 'stateless'; readonly step: StatelessStep }
  | { readonly kind: 'one-input'; create(): OneInputOperator }
  | { readonly kind: 'two-input'; create(): TwoInputOperator };
