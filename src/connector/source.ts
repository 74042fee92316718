/**
 * The source contract (the shape of FLIP-27): an enumerator on the job master finds splits and hands them out;
 * a reader in each source subtask reads them.
 *
 * Exactly-once rests on one rule: `position()` names the place right after the last record that `poll` returned, and
 * opening the split there yields exactly the records that follow. Splits and positions are plain JSON and go into checkpoints.
 */
import type { JsonValue } from '../base/json.ts';
import type { Clock, Logger, Timers } from '../base/world.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';

export type Boundedness = 'bounded' | 'continuous-unbounded';

export interface SourceSplit {
  /** Unique within the source, stable across restarts. */
  readonly id: string;
  readonly data: JsonValue;
}

/** A split and where to go on: `position` undefined is its beginning. */
export interface SplitState {
  readonly split: SourceSplit;
  readonly position: JsonValue | undefined;
}

/**
 * What one poll yields: a batch; `'pending'`-style waiting is a promise; `null` is the end of the split.
 * A poll that is waiting is not called again until it settles. It must settle with `null` or reject soon after `close`.
 */
export type PollResult<T> = RecordBatch<T> | null | Promise<RecordBatch<T> | null>;

export interface SplitReader<T> {
  /** At most `max` records. Synchronous when data is at hand: no promise per batch on the fast path. */
  poll(max: number): PollResult<T>;
  /** The place right after the last record of the last batch that `poll` delivered. */
  position(): JsonValue;
  /**
   * True: the split has ended for now, and a later run may find more in it (see `Source.untilNow`). Its position stays in checkpoints
   * after `poll` has returned `null`. Absent: what has ended is forgotten.
   */
  readonly grows?: boolean;
  close(): Promise<void>;
}

export interface SourceReader<T> {
  openSplit(state: SplitState): Promise<SplitReader<T>>;
  /** The checkpoint that carried the positions is complete: offsets may be committed to the outside. */
  notifyCheckpointComplete?(checkpointId: number, positions: readonly SplitState[]): Promise<void>;
  close(): Promise<void>;
}

export interface SourceReaderContext {
  readonly subtaskIndex: number;
  readonly parallelism: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Reports a record that could not be read, by the source's malformed-record policy. */
  readonly onMalformed: (record: MalformedRecord) => void;
}

/** A record that could not be decoded, with its place in the input. */
export interface MalformedRecord {
  readonly splitId: string;
  /** For instance `{ file, line, offset }` or `{ topic, partition, offset }`. */
  readonly position: JsonValue;
  readonly reason: string;
  /** The raw input, cut to 64 KiB. */
  readonly raw: Uint8Array | string;
}

/**
 * What happens with a malformed record: `fail` the job, `skip` it and count (`numRecordsInErrors`), or send a
 * MalformedRecord to the source's dead-letter side output.
 */
export type MalformedPolicy = 'fail' | 'skip' | 'dead-letter';

export interface EnumeratorContext {
  readonly parallelism: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Gives splits to a subtask. */
  assign(subtaskIndex: number, splits: readonly SplitState[]): void;
  /** No split will follow: subtasks that finish theirs are at the end of input. */
  noMoreSplits(): void;
  /** A failure of discovery that retrying did not mend: fails the job. */
  fail(error: Error): void;
}

/**
 * After a failure the enumerator is made anew from the state it had in the restored checkpoint; splits handed out before it are in the
 * readers' state. A snapshot and the trigger of the readers travel in one turn, so that no split is in both or neither.
 */
export interface SplitEnumerator {
  /** Begins discovery. May assign at once, or wait for requests. */
  start(): Promise<void>;
  /** A subtask is ready and has no split to read. */
  requestSplit(subtaskIndex: number): void;
  /** What must survive the job master: plain JSON, without the splits that subtasks hold in their own snapshots. */
  snapshot(): JsonValue;
  close(): Promise<void>;
}

export interface Source<T> {
  readonly boundedness: Boundedness;
  /** Describes the records, where known: exchange and state use it. */
  readonly schema?: Schema<T>;
  /**
   * False: a restart cannot read again what was read; at-most-once from here on. 'by-sender': neither can it, but senders who have had no
   * acknowledgement send again; at-least-once. Default true.
   */
  readonly replayable?: boolean | 'by-sender';
  readonly malformed?: MalformedPolicy;
  /**
   * The same input as far as it exists when it is looked at: a bounded source over the same state, for `execution.until: now`. Its enumerator
   * looks for splits once, also when restored, and then says `noMoreSplits`; a reader ends each split, restored ones too, where it ended
   * when it was opened, and says that it `grows`. Absent: a bounded source is its own; an unbounded one cannot be run until now.
   */
  untilNow?(): Source<T>;
  createEnumerator(context: EnumeratorContext, restored: JsonValue | undefined): SplitEnumerator;
  createReader(context: SourceReaderContext): SourceReader<T>;
}
