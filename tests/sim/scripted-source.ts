/** A replayable source for scenarios: fixed records per split, read in chunks and with pauses that the seed decides; splits are found bit by bit. */
import type { JsonValue } from '../../src/base/json.ts';
import type {
  EnumeratorContext,
  Source,
  SourceReaderContext,
  SourceSplit,
  SplitEnumerator,
  SplitReader,
  SplitState,
} from '../../src/connector/source.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import type { Schema } from '../../src/types/schema.ts';

export interface ScriptedRecord<T> {
  readonly value: T;
  readonly timestamp: number;
}

export interface ScriptedSourceOptions<T> {
  readonly splits: readonly (readonly ScriptedRecord<T>[])[];
  readonly schema: Schema<T>;
  readonly random: SeededRandom;
  readonly chunkMax: number;
  readonly pauseMostMs: number;
  /** Time between two discoveries; each finds one split. 0: all are found at once. */
  readonly discoveryMs: number;
}

export function scriptedSource<T>(options: ScriptedSourceOptions<T>): Source<T> {
  const splits = options.splits.map((_, index) => ({ id: `split-${index}`, data: index }));
  return {
    boundedness: 'bounded',
    schema: options.schema,
    createEnumerator: (context, restored) =>
      new DiscoveringEnumerator(context, { splits, discoveryMs: options.discoveryMs, restored }),
    createReader: (context) => ({
      openSplit: async (state) => new ScriptedReader(options, context, state),
      close: async () => {},
    }),
  };
}

/** Hands out one split at a time, so that checkpoints fall between: what is not handed out yet is in its snapshot. */
class DiscoveringEnumerator implements SplitEnumerator {
  readonly #context: EnumeratorContext;
  readonly #discoveryMs: number;
  #undiscovered: SourceSplit[];
  #timer: { cancel(): void } | undefined;

  constructor(
    context: EnumeratorContext,
    params: {
      readonly splits: readonly SourceSplit[];
      readonly discoveryMs: number;
      readonly restored: JsonValue | undefined;
    },
  ) {
    this.#context = context;
    this.#discoveryMs = params.discoveryMs;
    const left = params.restored as readonly string[] | undefined; // written by snapshot
    this.#undiscovered = params.splits.filter(({ id }) => left?.includes(id) ?? true);
  }

  async start(): Promise<void> {
    this.#discover();
  }

  requestSplit(): void {}

  snapshot(): JsonValue {
    return this.#undiscovered.map(({ id }) => id);
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
  }

  #discover(): void {
    const found = this.#undiscovered.splice(0, this.#discoveryMs === 0 ? Infinity : 1);
    const { parallelism } = this.#context;
    for (let subtask = 0; subtask < parallelism; subtask++) {
      const share = found.filter(({ data }) => Number(data) % parallelism === subtask);
      if (share.length > 0)
        this.#context.assign(
          subtask,
          share.map((split) => ({ split, position: undefined })),
        );
    }
    if (this.#undiscovered.length === 0) this.#context.noMoreSplits();
    else this.#timer = this.#context.timers.after(this.#discoveryMs, () => this.#discover());
  }
}

class ScriptedReader<T> implements SplitReader<T> {
  readonly #options: ScriptedSourceOptions<T>;
  readonly #context: SourceReaderContext;
  readonly #records: readonly ScriptedRecord<T>[];
  #next: number;

  constructor(options: ScriptedSourceOptions<T>, context: SourceReaderContext, state: SplitState) {
    this.#options = options;
    this.#context = context;
    this.#records = options.splits[Number(state.split.data)]!;
    this.#next = Number(state.position ?? 0);
  }

  poll(max: number): RecordBatch<T> | null | Promise<RecordBatch<T> | null> {
    const { random, pauseMostMs } = this.#options;
    if (random.chance(0.3)) return this.#read(max);
    return new Promise((resolve) => {
      this.#context.timers.after(random.float(0, pauseMostMs), () => resolve(this.#read(max)));
    });
  }

  position(): JsonValue {
    return this.#next;
  }

  async close(): Promise<void> {}

  #read(max: number): RecordBatch<T> | null {
    if (this.#next === this.#records.length) return null;
    const size = Math.min(max, this.#options.random.between(1, this.#options.chunkMax));
    const records = this.#records.slice(this.#next, this.#next + size);
    this.#next += records.length;
    return {
      values: records.map(({ value }) => value),
      timestamps: Float64Array.from(records, ({ timestamp }) => timestamp),
    };
  }
}
