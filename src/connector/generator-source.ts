/**
 * Records made by number, for tests, demonstrations and load: at most so many a second, bounded or for ever.
 *
 * Split i of n makes the values i, i + n, i + 2n, ...: all subtasks advance through the numbers together, so event time that follows them does
 * too. A position is how many values the split has made. Splits are dealt when the job starts first and stay, whatever the parallelism
 * is later.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { Timer, Timers } from '../base/world.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';
import { FixedSplitEnumerator } from './collection-source.ts';
import { RateLimiter } from './rate-limiter.ts';
import type { PollResult, Source, SourceSplit, SplitReader } from './source.ts';

export interface GeneratorSourceOptions<T> {
  /** Value number `index`, from 0 on. Must be a pure function of it: a restart makes values again. */
  readonly valueAt: (index: number) => T;
  /** Event time of value `index`. Absent: none; a WatermarkStrategy may assign it. */
  readonly timestampAt?: (index: number) => number;
  /** How many values. Absent: it never ends. */
  readonly count?: number;
  /** Records a second, over all subtasks. Absent: as fast as they are taken. */
  readonly recordsPerSecond?: number;
  readonly schema?: Schema<T>;
}

interface SplitData {
  readonly first: number;
  readonly step: number;
}

interface Pace {
  readonly limiter: RateLimiter;
  readonly timers: Timers;
}

class GeneratorReader<T> implements SplitReader<T> {
  readonly #options: GeneratorSourceOptions<T>;
  readonly #split: SplitData;
  readonly #pace: Pace | undefined;
  /** Values made so far. */
  #made: number;
  #timer: Timer | undefined;
  #cancelWait: (() => void) | undefined;

  constructor(
    options: GeneratorSourceOptions<T>,
    split: SplitData,
    { made, pace }: { readonly made: number; readonly pace: Pace | undefined },
  ) {
    this.#options = options;
    this.#split = split;
    this.#made = made;
    this.#pace = pace;
  }

  poll(max: number): PollResult<T> {
    const size = this.#nextSize(Math.min(max, BATCH_SIZE_MAX));
    if (size === 0) return null;
    const waitMs = this.#pace?.limiter.book(size) ?? 0;
    return waitMs <= 0 ? this.#make(size) : this.#after(waitMs, size);
  }

  position(): JsonValue {
    return this.#made;
  }

  async close(): Promise<void> {
    this.#cancelWait?.();
  }

  #nextSize(max: number): number {
    const { first, step } = this.#split;
    const { count = Number.MAX_SAFE_INTEGER } = this.#options;
    const left = Math.ceil((count - first) / step) - this.#made;
    return Math.max(0, Math.min(max, this.#pace?.limiter.batchSize ?? max, left));
  }

  #make(size: number): RecordBatch<T> {
    const { valueAt, timestampAt } = this.#options;
    const { first, step } = this.#split;
    const from = first + this.#made * step;
    const values: T[] = [];
    for (let i = 0; i < size; i++) values.push(valueAt(from + i * step));
    const timestamps = timestampAt === undefined ? null : new Float64Array(size);
    if (timestamps !== null)
      for (let i = 0; i < size; i++) timestamps[i] = timestampAt!(from + i * step);
    this.#made += size;
    return { values, timestamps };
  }

  /** Null when the reader is closed meanwhile. */
  #after(waitMs: number, size: number): Promise<RecordBatch<T> | null> {
    return new Promise((resolve) => {
      this.#timer = this.#pace!.timers.after(waitMs, () => {
        this.#cancelWait = undefined;
        resolve(this.#make(size));
      });
      this.#cancelWait = () => {
        this.#timer?.cancel();
        this.#cancelWait = undefined;
        resolve(null);
      };
    });
  }
}

/** @public Values made from their number, at a rate. @throws `invalid` BAD_GENERATOR */
export function generatorSource<T>(options: GeneratorSourceOptions<T>): Source<T> {
  const { count, recordsPerSecond, schema } = options;
  const bad = [
    ...(count !== undefined && !(Number.isSafeInteger(count) && count >= 0)
      ? [`count is ${count}; it is a whole number, 0 or more`]
      : []),
    ...(recordsPerSecond !== undefined && !(recordsPerSecond > 0)
      ? [`recordsPerSecond is ${recordsPerSecond}; it is positive`]
      : []),
  ];
  if (bad.length > 0) throw invalid('BAD_GENERATOR', `generatorSource: ${bad.join('; ')}`);
  return {
    boundedness: count === undefined ? 'continuous-unbounded' : 'bounded',
    ...(schema === undefined ? {} : { schema }),
    createEnumerator: (context, restored) =>
      new FixedSplitEnumerator(context, splitsFor(context.parallelism), restored),
    createReader: ({ clock, timers, parallelism }) => {
      const pace =
        recordsPerSecond === undefined
          ? undefined
          : { limiter: new RateLimiter(recordsPerSecond / parallelism, clock), timers };
      return {
        openSplit: async ({ split, position }) =>
          new GeneratorReader(options, split.data as unknown as SplitData, {
            made: (position as number | undefined) ?? 0, // made by position()
            pace,
          }),
        close: async () => {},
      };
    },
  };
}

const splitsFor = (parallelism: number): readonly SourceSplit[] =>
  Array.from({ length: parallelism }, (_, i) => ({
    id: `generator-${i}-of-${parallelism}`,
    data: { first: i, step: parallelism },
  }));
