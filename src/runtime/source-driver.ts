/**
 * The head of a source task: polls splits in turn, gives records their event time, keeps positions for checkpoints.
 *
 * Invariants
 *  D1  A split's position in a snapshot is right after the last record that was emitted: a batch that a promise delivers later is
 *      not counted before it is emitted.
 *  D2  Splits come from the restored checkpoint or from the enumerator, never from both.
 *  D3  A split holds the watermark back from the moment it is assigned, not only once it is open.
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
import { BATCH_SIZE_MAX, MIN_WATERMARK, type RecordBatch } from '../types/record-batch.ts';
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
  #next = 0;
  #noMoreSplits = false;
  #emitted = MIN_WATERMARK;
  #emittedAtMs: number;
  #idle = false;
  #alignedTo = Number.POSITIVE_INFINITY;
  #malformed: MalformedRecord[] = [];

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
        (reader) => this.#params.mail(() => this.#opened(state, reader)),
        (error: unknown) => this.#params.fail(error),
      );
    }
  }

  noMoreSplits(): void {
    this.#noMoreSplits = true;
  }

  get ended(): boolean {
    return this.#noMoreSplits && this.#opening.size === 0 && this.#splits.length === 0;
  }

  /** Emits one batch if some split has one; false when nothing is ready. */
  step(): boolean {
    for (let tried = 0; tried < this.#splits.length; tried++) {
      const index = this.#next % this.#splits.length;
      this.#next = index + 1;
      if (this.#advance(this.#splits[index]!)) return true;
    }
    return false;
  }

  /** Watermark progress without records: idleness, periodic generators, alignment. Called every interval. */
  onInterval(): void {
    this.#emitProgress();
    const { alignment } = this.#params.strategy;
    if (alignment !== undefined)
      this.#params.reportWatermark(
        alignment.group,
        this.#watermarks.idle ? Number.POSITIVE_INFINITY : this.#watermarks.watermark,
      );
  }

  alignTo(group: string, minimum: number): void {
    const { alignment } = this.#params.strategy;
    if (alignment?.group === group) this.#alignedTo = minimum + alignment.maxDriftMs;
  }

  onMalformed(record: MalformedRecord): void {
    const { source, countError, logger } = this.#params;
    if (source.malformed === 'dead-letter' || source.malformed === 'skip') {
      countError();
      if (source.malformed === 'dead-letter') this.#malformed.push(record);
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
      ...this.#opening,
    ];
  }

  async close(): Promise<void> {
    for (const { reader } of this.#splits.splice(0)) await reader.close();
    await this.#params.reader.close();
  }

  #opened(state: SplitState, reader: SplitReader<unknown>): void {
    this.#opening.delete(state);
    this.#splits.push({
      state,
      reader,
      position: state.position,
      waiting: false,
      delivered: undefined,
    });
  }

  #advance(split: OpenSplit): boolean {
    if (split.waiting) return false;
    if (split.delivered !== undefined) {
      const batch = split.delivered;
      split.delivered = undefined;
      return this.#onBatch(split, batch);
    }
    if (this.#watermarks.watermarkOf(split.state.split.id) > this.#alignedTo) return false;
    const polled = split.reader.poll(BATCH_SIZE_MAX);
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

  #onBatch(split: OpenSplit, batch: RecordBatch<unknown> | null): boolean {
    this.#emitMalformed();
    if (batch === null) {
      this.#end(split);
      return true;
    }
    split.position = split.reader.position();
    if (batch.values.length === 0) return true;
    const now = this.#params.now();
    if (this.#idle) this.#setIdle(false);
    this.#params.output.emitBatch(this.#watermarks.onBatch(split.state.split.id, batch, now));
    if (now - this.#emittedAtMs >= this.#params.watermarkIntervalMs) this.#emitProgress();
    return true;
  }

  #emitMalformed(): void {
    if (this.#malformed.length === 0) return;
    const values = this.#malformed;
    this.#malformed = [];
    this.#params.deadLetter?.emitBatch({ values, timestamps: null });
  }

  #end(split: OpenSplit): void {
    this.#splits.splice(this.#splits.indexOf(split), 1);
    this.#emitProgress();
    this.#watermarks.close(split.state.split.id);
    split.reader.close().catch((error: unknown) => this.#params.fail(error));
  }

  #emitProgress(): void {
    const now = this.#params.now();
    this.#emittedAtMs = now;
    this.#watermarks.update(now);
    const { watermark } = this.#watermarks;
    if (watermark > this.#emitted && Number.isFinite(watermark)) {
      this.#emitted = watermark;
      this.#params.output.emitWatermark(watermark);
    }
    if (this.#watermarks.hasGenerators && this.#params.strategy.idlenessMs !== undefined)
      this.#setIdle(this.#watermarks.idle && !this.ended);
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
