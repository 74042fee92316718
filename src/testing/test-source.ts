/**
 * A source that tests feed: records and watermarks in the order in which the test pushes them, replayed after a crash as a log is.
 *
 * Inside, entries of the log are what flows out of the source, and a step chained to it unwraps them: so a watermark keeps its place
 * among the records. After a restore the newest watermark before the position comes first.
 */
import type { DataStream } from '../api/data-stream.ts';
import type { StreamExecutionEnvironment } from '../api/environment.ts';
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { FixedSplitEnumerator } from '../connector/collection-source.ts';
import type {
  PollResult,
  Source,
  SourceReaderContext,
  SplitReader,
  SplitState,
} from '../connector/source.ts';
import type { WatermarkGenerator, WatermarkStrategy } from '../connector/watermark-strategy.ts';
import { MIN_WATERMARK, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';

type Entry<T> =
  | { readonly kind: 'record'; readonly value: T; readonly timestamp: number }
  | { readonly kind: 'watermark'; readonly watermark: number };

export interface TestSourceOptions<T> {
  /** Describes the records, where known. */
  readonly schema?: Schema<T>;
  /** Default 1. Records of one split keep their order. */
  readonly splits?: number;
}

export interface PushOptions {
  /** Event time, epoch milliseconds. Default: none. */
  readonly timestamp?: number;
  /** Default 0. */
  readonly split?: number;
}

/** The harness's `pipeline.auto-watermark-interval`. */
export const WATERMARK_INTERVAL_MS = 50;
/** Virtual time after a watermark before the next record: the runtime emits it meanwhile. */
const WATERMARK_PAUSE_MS = WATERMARK_INTERVAL_MS + 2;

/** One split: what was pushed, and who reads it now. */
class SplitLog<T> {
  readonly entries: Entry<T>[] = [];
  ended = false;
  /** The newest reader; older ones are of attempts that are over. */
  reader: LogReader<T> | undefined;

  push(entry: Entry<T>): void {
    this.entries.push(entry);
    this.reader?.wake();
  }

  end(): void {
    this.ended = true;
    this.reader?.wake();
  }
}

/** What the harness needs of the sources it is given, whatever their records. */
export interface TestInput {
  /** @internal All that was pushed has been read, by readers of the attempt that runs now. */
  readonly isDrained: boolean;
  /** @internal The readers belong to processes that are gone. */
  forgetReaders(): void;
  /** No more records. */
  end(): void;
}

export class TestSource<T> implements TestInput {
  readonly #options: TestSourceOptions<T>;
  readonly #logs: readonly SplitLog<T>[];

  constructor(options: TestSourceOptions<T> = {}) {
    this.#options = options;
    this.#logs = Array.from({ length: options.splits ?? 1 }, () => new SplitLog<T>());
  }

  push(value: T, { timestamp = NO_TIMESTAMP, split = 0 }: PushOptions = {}): void {
    this.#log(split).push({ kind: 'record', value, timestamp });
  }

  pushAll(values: Iterable<T>, options?: PushOptions): void {
    for (const value of values) this.push(value, options);
  }

  /**
   * Says that no record with a timestamp up to `watermark` follows. Of all splits, or of one. What is pushed next waits until it has
   * been emitted, 52 ms of virtual time.
   */
  advanceWatermark(watermark: number, split?: number): void {
    const logs = split === undefined ? this.#logs : [this.#log(split)];
    for (const log of logs) log.push({ kind: 'watermark', watermark });
  }

  /** No more records: the pipeline can end. */
  end(): void {
    for (const log of this.#logs) if (!log.ended) log.end();
  }

  /** The stream of the pushed records. With a strategy of yours, timestamps and watermarks come from it too. */
  attach(
    env: StreamExecutionEnvironment,
    strategy?: WatermarkStrategy<T>,
    name = 'test-source',
  ): DataStream<T> {
    return env
      .fromSource(this.#source(), onEntries(strategy), name)
      .flatMap((entry) => (entry.kind === 'record' ? [entry.value] : []), this.#options.schema);
  }

  /** @internal All that was pushed has been read, by readers of the attempt that runs now. */
  get isDrained(): boolean {
    return this.#logs.every(({ reader }) => reader?.isDrained === true);
  }

  /** @internal The readers belong to processes that are gone. */
  forgetReaders(): void {
    for (const log of this.#logs) log.reader = undefined;
  }

  #log(split: number): SplitLog<T> {
    const log = this.#logs[split];
    if (log === undefined)
      throw invalid(
        'NO_SUCH_SPLIT',
        `the test source has ${this.#logs.length} splits, not ${split + 1}`,
      );
    if (log.ended) throw invalid('TEST_SOURCE_ENDED', 'nothing can be pushed after end()');
    return log;
  }

  #source(): Source<Entry<T>> {
    const splits = this.#logs.map((_, index) => ({ id: `split-${index}`, data: index }));
    return {
      boundedness: 'bounded',
      createEnumerator: (context, restored) => new FixedSplitEnumerator(context, splits, restored),
      createReader: (context) => ({
        openSplit: async ({ split, position }: SplitState) =>
          new LogReader(this.#logs[Number(split.data)]!, context, Number(position ?? 0)),
        close: async () => {},
      }),
    };
  }
}

class LogReader<T> implements SplitReader<Entry<T>> {
  readonly #log: SplitLog<T>;
  readonly #context: SourceReaderContext;
  #next: number;
  #replayWatermark: boolean;
  #paused = false;
  #waiting: ((batch: RecordBatch<Entry<T>> | null) => void) | undefined;
  #ended = false;

  constructor(log: SplitLog<T>, context: SourceReaderContext, next: number) {
    this.#log = log;
    this.#context = context;
    this.#next = next;
    this.#replayWatermark = next > 0;
    log.reader = this;
  }

  get isDrained(): boolean {
    const atEnd = this.#next === this.#log.entries.length && !this.#paused;
    return this.#ended || (atEnd && this.#waiting !== undefined && !this.#log.ended);
  }

  poll(max: number): PollResult<Entry<T>> {
    if (this.#paused) {
      return new Promise((resolve) => {
        this.#context.timers.after(WATERMARK_PAUSE_MS, () => {
          this.#paused = false;
          this.#wait(max, resolve);
        });
      });
    }
    return this.#read(max) ?? new Promise((resolve) => this.#wait(max, resolve));
  }

  position(): JsonValue {
    return this.#next;
  }

  async close(): Promise<void> {
    this.#waiting?.(null);
  }

  /** From outside of the reader's process: what follows runs in it. */
  wake(): void {
    this.#context.timers.soon(() => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting !== undefined) this.#wait(Number.POSITIVE_INFINITY, waiting);
    });
  }

  #wait(max: number, resolve: (batch: RecordBatch<Entry<T>> | null) => void): void {
    const batch = this.#read(max);
    if (batch !== undefined) resolve(batch);
    else if (this.#log.ended) {
      this.#ended = true;
      resolve(null);
    } else this.#waiting = resolve;
  }

  /** Up to the next watermark, that one included; undefined when there is nothing. */
  #read(max: number): RecordBatch<Entry<T>> | undefined {
    const { entries } = this.#log;
    const batch: Entry<T>[] = [];
    if (this.#replayWatermark) {
      this.#replayWatermark = false;
      const last = entries.slice(0, this.#next).findLast(({ kind }) => kind === 'watermark');
      if (last !== undefined) return this.#pauseAfter([last]);
    }
    while (this.#next < entries.length && batch.length < Math.min(max, BATCH_MAX)) {
      const entry = entries[this.#next++]!;
      batch.push(entry);
      if (entry.kind === 'watermark') return this.#pauseAfter(batch);
    }
    return batch.length === 0 ? undefined : toBatch(batch);
  }

  #pauseAfter(batch: readonly Entry<T>[]): RecordBatch<Entry<T>> {
    this.#paused = true;
    return toBatch(batch);
  }
}

const BATCH_MAX = 1024;

function toBatch<T>(entries: readonly Entry<T>[]): RecordBatch<Entry<T>> {
  return {
    values: entries,
    timestamps: Float64Array.from(entries, (entry) =>
      entry.kind === 'record' ? entry.timestamp : NO_TIMESTAMP,
    ),
  };
}

/** The test's watermarks, or the user's strategy applied to the records inside the entries. */
function onEntries<T>(strategy: WatermarkStrategy<T> | undefined): WatermarkStrategy<Entry<T>> {
  if (strategy === undefined) return { createGenerator: () => new PushedWatermarks() };
  const { timestampOf, createGenerator, ...rest } = strategy;
  return {
    ...rest,
    ...(timestampOf === undefined
      ? {}
      : {
          timestampOf: (entry, timestamp) =>
            entry.kind === 'record' ? timestampOf(entry.value, timestamp) : timestamp,
        }),
    ...(createGenerator === undefined
      ? {}
      : { createGenerator: () => new GeneratorOnEntries(createGenerator()) }),
  };
}

class PushedWatermarks implements WatermarkGenerator {
  #watermark = MIN_WATERMARK;

  onEvent(_timestamp: number, value: unknown): undefined {
    const entry = value as Entry<unknown>; // the source yields entries only
    if (entry.kind === 'watermark' && entry.watermark > this.#watermark)
      this.#watermark = entry.watermark;
  }

  onPeriodicEmit(): number {
    return this.#watermark;
  }
}

class GeneratorOnEntries implements WatermarkGenerator {
  readonly #generator: WatermarkGenerator;

  constructor(generator: WatermarkGenerator) {
    this.#generator = generator;
  }

  onEvent(timestamp: number, value: unknown): number | undefined {
    const entry = value as Entry<unknown>; // the source yields entries only
    if (entry.kind === 'watermark') return entry.watermark;
    return this.#generator.onEvent(timestamp, entry.value);
  }

  onPeriodicEmit(): number {
    return this.#generator.onPeriodicEmit();
  }
}
