/**
 * The head of a source task: polls splits in turn, gives records their event time, keeps positions for checkpoints.
 *
 * Invariants
 *  D1  A split's position in a snapshot is right after the last record that was emitted: a batch that a promise delivers later is
 *      not counted before it is emitted.
 *  D2  Splits come from the restored checkpoint or from the enumerator, never from both.
 *  D3  A split holds the watermark back from the moment it is assigned, not only once it is open.
 *  D4  A split is idle when it has no records although the task asks for them: while it is paused for its alignment group, or the task is
 *      held up by backpressure (`now` stands still then), it is not.
 *  D5  While the stream is announced idle no watermark is emitted: nobody would listen.
 *  D6  Malformed records go to the dead-letter output together with the batch they were met in: both are before a barrier, or neither.
 */
import { asError, MillraceError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { Logger } from '../base/world.ts';
import type {
  MalformedRecord,
  Source,
  SourceReader,
  SplitReader,
  SplitState,
} from '../connector/source.ts';
import type { WatermarkStrategy } from '../connector/watermark-strategy.ts';
import type { Output } from '../operators/contract.ts';
import { SplitWatermarks } from '../operators/split-watermarks.ts';
import type { OperatorListState } from '../state/operator-state.ts';
import {
  BATCH_SIZE_MAX,
  MAX_WATERMARK,
  MIN_WATERMARK,
  type RecordBatch,
} from '../types/record-batch.ts';
import { t } from '../types/t.ts';

/** A split's state is JSON of the connector's own shape. */
export const SPLIT_STATE = t.struct({ id: t.string(), json: t.string() });

interface OpenSplit {
  readonly state: SplitState;
  readonly reader: SplitReader<unknown>;
  /** The position after what has been emitted (D1). */
  position: JsonValue | undefined;
  waiting: boolean;
  /** Delivered by a promise, not emitted yet. */
  delivered: RecordBatch<unknown> | null | undefined;
}

export interface SourceDriverParams {
  readonly source: Source<unknown>;
  readonly reader: SourceReader<unknown>;
  readonly strategy: WatermarkStrategy<unknown>;
  readonly output: Output<unknown>;
  readonly watermarkIntervalMs: number;
  /** Milliseconds in which the task could have read; monotonic. */
  readonly now: () => number;
  readonly logger: Logger;
  /** Runs a function as a mail of the task. */
  readonly mail: (mail: () => void) => void;
  readonly fail: (error: unknown) => void;
  readonly reportWatermark: (group: string, watermark: number) => void;
  readonly deadLetter: Output<unknown> | undefined;
  readonly countError: () => void;
}

export class SourceDriver {
  readonly #params: SourceDriverParams;
  readonly #watermarks: SplitWatermarks;
  readonly #splits: OpenSplit[] = [];
  /** Given to us, not open yet. */
  readonly #opening = new Set<SplitState>();
  /** Open, not taken over yet by a mail. */
  readonly #arrived: { readonly state: SplitState; readonly reader: SplitReader<unknown> }[] = [];
  /** What is being emitted: where a failure of user code happened. */
  #reading: OpenSplit | undefined;
  #closed = false;
  #next = 0;
  #noMoreSplits = false;
  /** See `drain`. */
  drained = false;
  /** Splits that are read as far as they go for now, and where. */
  readonly #left: SplitState[] = [];
  #emitted = MIN_WATERMARK;
  #emittedAtMs: number;
  #idle = false;
  #alignedTo = Number.POSITIVE_INFINITY;
  /** By split (D6). */
  readonly #malformed = new Map<string, MalformedRecord[]>();

  constructor(params: SourceDriverParams) {
    this.#params = params;
    this.#watermarks = new SplitWatermarks(params.strategy);
    this.#emittedAtMs = params.now();
  }

  addSplits(splits: readonly SplitState[]): void {
    for (const state of splits) {
      this.#opening.add(state);
      this.#watermarks.open(state.split.id, this.#params.now());
      this.#params.reader.openSplit(state).then(
        (reader) => this.#onOpened(state, reader),
        (error: unknown) => this.#params.fail(error),
      );
    }
  }

  noMoreSplits(): void {
    this.#noMoreSplits = true;
  }

  /** Reads no further: what it has read so far is all. Splits keep their positions. */
  drain(): void {
    this.drained = true;
    for (const split of this.#splits.splice(0)) this.#leave(split);
  }

  get ended(): boolean {
    if (this.drained) return true;
    return this.#noMoreSplits && this.#opening.size === 0 && this.#splits.length === 0;
  }

  /** Emits one batch of at most that many records if some split has one; false when nothing is ready. */
  step(recordsMax = BATCH_SIZE_MAX): boolean {
    if (this.drained) return false;
    for (let tried = 0; tried < this.#splits.length; tried++) {
      const index = this.#next % this.#splits.length;
      this.#next = index + 1;
      if (this.#advance(this.#splits[index]!, recordsMax)) return true;
    }
    return false;
  }

  /** Watermark progress without records: idleness, periodic generators, alignment. Called every interval. */
  onInterval(): void {
    if (!this.ended) this.#emitProgress();
    const { alignment } = this.#params.strategy;
    if (alignment !== undefined)
      this.#params.reportWatermark(
        alignment.group,
        this.#watermarks.idle ? Number.POSITIVE_INFINITY : this.#watermarks.watermark,
      );
  }

  /** All splits are read: event time is over. */
  finish(): void {
    this.#setIdle(false);
    this.#params.output.emitWatermark(MAX_WATERMARK);
  }

  /** The batch that is being emitted: its split and the position before it. */
  get place(): { readonly splitId: string; readonly position: JsonValue } | undefined {
    const reading = this.#reading;
    if (reading === undefined) return undefined;
    return { splitId: reading.state.split.id, position: reading.position ?? null };
  }

  alignTo(group: string, minimum: number): void {
    const { alignment } = this.#params.strategy;
    if (alignment?.group === group) this.#alignedTo = minimum + alignment.maxDriftMs;
  }

  onMalformed(record: MalformedRecord): void {
    const { source, countError, logger } = this.#params;
    if (source.malformed === 'dead-letter' || source.malformed === 'skip') {
      countError();
      if (source.malformed === 'dead-letter') this.#keepMalformed(record);
      else
        logger.log('warn', `skipped a malformed record: ${record.reason}`, {
          split: record.splitId,
          position: record.position,
        });
      return;
    }
    throw new MillraceError(
      'data',
      'MALFORMED_RECORD',
      `a record of split ${record.splitId} at ${JSON.stringify(record.position)} cannot be read: ${record.reason}. Mend the input, or set the source's malformed policy to 'skip' or 'dead-letter'`,
      {
        details: { splitId: record.splitId, position: record.position },
      },
    );
  }

  snapshotInto(state: OperatorListState<{ readonly id: string; readonly json: string }>): void {
    state.update(
      this.positions().map(({ split, position }) => ({
        id: split.id,
        json: JSON.stringify({ split, position: position ?? null }),
      })),
    );
  }

  /** Where every split stands: open ones, and those on their way. */
  positions(): readonly SplitState[] {
    return [
      ...this.#splits.map(({ state: { split }, position }) => ({ split, position })),
      ...this.#left,
      ...this.#opening,
    ];
  }

  /** Closes every reader, also when one of them fails to; rejects with the first failure. */
  async close(): Promise<void> {
    this.#closed = true;
    const readers = [...this.#splits.splice(0), ...this.#arrived.splice(0)].map(
      ({ reader }) => reader,
    );
    const failures: unknown[] = [];
    for (const closing of [...readers, this.#params.reader])
      await closing.close().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw asError(failures[0]);
  }

  #onOpened(state: SplitState, reader: SplitReader<unknown>): void {
    if (this.#closed) {
      reader.close().catch((error: unknown) => this.#params.fail(error));
      return;
    }
    this.#arrived.push({ state, reader });
    this.#params.mail(() => this.#takeOver());
  }

  #takeOver(): void {
    for (const { state, reader } of this.#arrived.splice(0)) {
      this.#opening.delete(state);
      this.#splits.push({
        state,
        reader,
        position: state.position,
        waiting: false,
        delivered: undefined,
      });
    }
  }

  #advance(split: OpenSplit, recordsMax: number): boolean {
    if (split.waiting) return false;
    if (split.delivered !== undefined) {
      const batch = split.delivered;
      split.delivered = undefined;
      return this.#onBatch(split, batch);
    }
    if (this.#isPaused(split)) return false;
    const polled = split.reader.poll(recordsMax);
    if (!(polled instanceof Promise)) return this.#onBatch(split, polled);
    split.waiting = true;
    polled.then(
      (batch) => {
        split.waiting = false;
        split.delivered = batch;
        this.#params.mail(() => {});
      },
      (error: unknown) => this.#params.fail(asError(error)),
    );
    return false;
  }

  #isPaused({ state }: OpenSplit): boolean {
    return this.#watermarks.watermarkOf(state.split.id) > this.#alignedTo;
  }

  #onBatch(split: OpenSplit, batch: RecordBatch<unknown> | null): boolean {
    this.#reading = split;
    this.#emitMalformed(split);
    if (batch !== null && batch.values.length > 0) this.#emitBatch(split, batch);
    if (batch === null) this.#end(split);
    else split.position = split.reader.position();
    this.#reading = undefined;
    return true;
  }

  #emitBatch(split: OpenSplit, batch: RecordBatch<unknown>): void {
    const now = this.#params.now();
    if (this.#idle) this.#setIdle(false);
    this.#params.output.emitBatch(this.#watermarks.onBatch(split.state.split.id, batch, now));
    if (now - this.#emittedAtMs >= this.#params.watermarkIntervalMs) this.#emitProgress();
    else if (this.#params.strategy.alignment !== undefined) this.#watermarks.update(now);
  }

  #keepMalformed(record: MalformedRecord): void {
    const kept = this.#malformed.get(record.splitId);
    if (kept === undefined) this.#malformed.set(record.splitId, [record]);
    else kept.push(record);
  }

  #emitMalformed({ state }: OpenSplit): void {
    const values = this.#malformed.get(state.split.id);
    if (values === undefined) return;
    this.#malformed.delete(state.split.id);
    for (let from = 0; from < values.length; from += BATCH_SIZE_MAX)
      this.#params.deadLetter?.emitBatch({
        values: values.slice(from, from + BATCH_SIZE_MAX),
        timestamps: null,
      });
  }

  #end(split: OpenSplit): void {
    this.#splits.splice(this.#splits.indexOf(split), 1);
    this.#emitProgress();
    if (split.reader.grows === true) split.position = split.reader.position();
    this.#leave(split);
  }

  #leave({ state: { split }, position, reader }: OpenSplit): void {
    if (this.drained || reader.grows === true) this.#left.push({ split, position });
    this.#watermarks.close(split.id);
    reader.close().catch((error: unknown) => this.#params.fail(error));
  }

  #emitProgress(): void {
    const now = this.#params.now();
    this.#emittedAtMs = now;
    const watermarks = this.#watermarks;
    for (const split of this.#splits)
      if (this.#isPaused(split)) watermarks.keepActive(split.state.split.id, now);
    watermarks.update(now);
    const idle =
      watermarks.hasGenerators &&
      this.#params.strategy.idlenessMs !== undefined &&
      watermarks.idle &&
      !this.ended;
    if (!idle) this.#setIdle(false);
    const { watermark } = watermarks;
    if (!this.#idle && watermark > this.#emitted && Number.isFinite(watermark)) {
      this.#emitted = watermark;
      this.#params.output.emitWatermark(watermark);
    }
    if (idle) this.#setIdle(true);
  }

  #setIdle(idle: boolean): void {
    if (idle === this.#idle) return;
    this.#idle = idle;
    this.#params.output.emitWatermarkStatus(idle);
  }
}

/** Reads back what `snapshotInto` wrote. */
export function restoredSplits(
  state: OperatorListState<{ readonly id: string; readonly json: string }>,
): readonly SplitState[] {
  return state.get().map(({ json }) => {
    const { split, position } = JSON.parse(json) as {
      split: SplitState['split'];
      position: JsonValue;
    }; // written by snapshotInto
    return { split, position: position ?? undefined };
  });
}
