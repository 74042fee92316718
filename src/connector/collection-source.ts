/** Values in memory, or made by number, as a bounded source. Splits are ranges; a position is how far into its range a split has come. */
import type { JsonValue } from '../base/json.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { BATCH_SIZE_MAX, NO_TIMESTAMP } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';
import type {
  EnumeratorContext,
  Source,
  SourceReader,
  SourceSplit,
  SplitEnumerator,
  SplitReader,
  SplitState,
} from './source.ts';

/** Hands a fixed list of splits out evenly; what a bounded source without discovery needs. */
export class FixedSplitEnumerator implements SplitEnumerator {
  readonly #context: EnumeratorContext;
  #waiting: SplitState[];

  constructor(
    context: EnumeratorContext,
    splits: readonly SourceSplit[],
    restored: JsonValue | undefined,
  ) {
    this.#context = context;
    const ids =
      restored === undefined
        ? undefined
        : new Set((restored as { readonly unassigned: readonly string[] }).unassigned); // written by snapshot
    this.#waiting = splits
      .filter(({ id }) => ids === undefined || ids.has(id))
      .map((split) => ({ split, position: undefined }));
  }

  async start(): Promise<void> {
    const shares = Array.from({ length: this.#context.parallelism }, (): SplitState[] => []);
    this.#waiting.forEach((split, i) => shares[i % shares.length]!.push(split));
    this.#waiting = [];
    shares.forEach((splits, subtask) => {
      if (splits.length > 0) this.#context.assign(subtask, splits);
    });
    this.#context.noMoreSplits();
  }

  requestSplit(): void {}

  snapshot(): JsonValue {
    return { unassigned: this.#waiting.map(({ split }) => split.id) };
  }

  async close(): Promise<void> {}
}

interface Range {
  readonly from: number;
  readonly to: number;
}

export interface RangeSourceOptions<T> {
  /** Value number `index`. Must be a pure function of it. */
  readonly valueAt: (index: number) => T;
  /** Event time of value `index`. Absent: none; a WatermarkStrategy may assign it. */
  readonly timestampAt?: (index: number) => number;
  readonly count: number;
  /** How many splits the numbers are dealt into, contiguously. Default 1, which keeps the order. */
  readonly splits?: number;
  readonly schema?: Schema<T>;
}

class RangeReader<T> implements SplitReader<T> {
  readonly #options: RangeSourceOptions<T>;
  readonly #to: number;
  #next: number;

  constructor(options: RangeSourceOptions<T>, range: Range, position: number | undefined) {
    this.#options = options;
    this.#to = range.to;
    this.#next = position ?? range.from;
  }

  poll(max: number): RecordBatch<T> | null {
    const { valueAt, timestampAt } = this.#options;
    const size = Math.min(max, this.#to - this.#next, BATCH_SIZE_MAX);
    if (size <= 0) return null;
    const values: T[] = [];
    for (let i = 0; i < size; i++) values.push(valueAt(this.#next + i));
    const timestamps = timestampAt === undefined ? null : new Float64Array(size).fill(NO_TIMESTAMP);
    if (timestamps !== null)
      for (let i = 0; i < size; i++) timestamps[i] = timestampAt!(this.#next + i);
    this.#next += size;
    return { values, timestamps };
  }

  position(): JsonValue {
    return this.#next;
  }

  async close(): Promise<void> {}
}

/** @public A bounded source of `count` values made from their number; replayable, since values are functions of it. */
export function rangeSource<T>(options: RangeSourceOptions<T>): Source<T> {
  const count = options.splits ?? 1;
  const splits: SourceSplit[] = Array.from({ length: count }, (_, i) => ({
    id: `range-${i}`,
    data: {
      from: Math.floor((i * options.count) / count),
      to: Math.floor(((i + 1) * options.count) / count),
    },
  }));
  const reader: SourceReader<T> = {
    openSplit: async ({ split, position }) =>
      new RangeReader(options, split.data as unknown as Range, position as number | undefined), // made above
    close: async () => {},
  };
  return {
    boundedness: 'bounded',
    ...(options.schema === undefined ? {} : { schema: options.schema }),
    createEnumerator: (context, restored) => new FixedSplitEnumerator(context, splits, restored),
    createReader: () => reader,
  };
}

/** @public The values of an array, in order. */
export function collectionSource<T>(values: readonly T[], schema?: Schema<T>): Source<T> {
  return rangeSource({
    count: values.length,
    valueAt: (index) => values[index]!,
    ...(schema === undefined ? {} : { schema }),
  });
}
