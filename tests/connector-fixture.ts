/** What tests of connectors against real servers share: sinks driven by hand, and sources read to their end. */
import { realWorld } from '../src/base/real-world.ts';
import type { JsonValue } from '../src/base/json.ts';
import type {
  Committable,
  Committer,
  Sink,
  SinkWriter,
  SinkWriterContext,
} from '../src/connector/sink.ts';
import type {
  MalformedRecord,
  Source,
  SourceReaderContext,
  SplitState,
} from '../src/connector/source.ts';

export const world = realWorld({ log: () => {} });

export interface ReadToEnd<T> {
  readonly values: T[];
  readonly timestamps: number[];
  /** Where each split stands. */
  readonly splits: SplitState[];
  readonly malformed: MalformedRecord[];
  /** By split. */
  readonly bySplit: Map<string, T[]>;
}

export function readerContext(malformed: MalformedRecord[] = []): SourceReaderContext {
  return {
    subtaskIndex: 0,
    parallelism: 1,
    clock: world.clock,
    timers: world.timers,
    logger: world.logger,
    onMalformed: (record) => malformed.push(record),
  };
}

/** The splits that a source's enumerator hands out first. */
export async function discover<T>(
  source: Source<T>,
  parallelism = 1,
): Promise<{ splits: SplitState[]; snapshot: JsonValue; bySubtask: Map<number, SplitState[]> }> {
  const bySubtask = new Map<number, SplitState[]>();
  const splits: SplitState[] = [];
  const enumerator = source.createEnumerator(
    {
      parallelism,
      clock: world.clock,
      timers: world.timers,
      logger: world.logger,
      assign: (subtask, assigned) => {
        splits.push(...assigned);
        bySubtask.set(subtask, [...(bySubtask.get(subtask) ?? []), ...assigned]);
      },
      noMoreSplits: () => {},
      fail: (error) => {
        throw error;
      },
    },
    undefined,
  );
  try {
    await enumerator.start();
    return { splits, snapshot: enumerator.snapshot(), bySubtask };
  } finally {
    await enumerator.close();
  }
}

/** Reads a bounded source to its end. */
export async function readToEnd<T>(
  source: Source<T>,
  from?: readonly SplitState[],
): Promise<ReadToEnd<T>> {
  const malformed: MalformedRecord[] = [];
  const values: T[] = [];
  const timestamps: number[] = [];
  const bySplit = new Map<string, T[]>();
  const splits: SplitState[] = [];
  const reader = source.createReader(readerContext(malformed));
  try {
    for (const state of from ?? (await discover(source)).splits) {
      const split = await reader.openSplit(state);
      const own: T[] = [];
      bySplit.set(state.split.id, own);
      for (;;) {
        const batch = await split.poll(100);
        if (batch === null) break;
        own.push(...batch.values);
        timestamps.push(...(batch.timestamps?.subarray(0, batch.values.length) ?? []));
      }
      for (const value of own) values.push(value);
      splits.push({ split: state.split, position: split.position() });
      await split.close();
    }
  } finally {
    await reader.close();
  }
  return { values, timestamps, splits, malformed, bySplit };
}

let attempts = 0;

/** One try of a sink's subtask, driven by hand: the committables of each checkpoint are its caller's to keep. */
export class SinkAttempt<T = string> {
  readonly writer: SinkWriter<T>;
  readonly committer: Committer | undefined;

  private constructor(writer: SinkWriter<T>, committer: Committer | undefined) {
    this.writer = writer;
    this.committer = committer;
  }

  /** `restored` is committed first, as an operator does. */
  static async open<T>(
    sink: Sink<T>,
    restored: readonly Committable[] = [],
    subtaskIndex = 0,
    parallelism = 1,
  ): Promise<SinkAttempt<T>> {
    const context: SinkWriterContext = {
      jobId: 'job',
      operatorId: 'sink',
      subtaskIndex,
      parallelism,
      attemptId: `a${process.pid}n${attempts++}`,
      restored: [],
      clock: world.clock,
      timers: world.timers,
      logger: world.logger,
      print: () => {},
    };
    const committer = await sink.createCommitter?.(context);
    if (restored.length > 0) await committer?.commit(restored);
    return new SinkAttempt(await sink.createWriter(context), committer);
  }

  async write(...values: T[]): Promise<void> {
    await this.writer.write({ values, timestamps: null });
  }

  async prepare(checkpointId: number): Promise<readonly Committable[]> {
    await this.writer.flush(false);
    // What a checkpoint stores is JSON.
    return JSON.parse(
      JSON.stringify((await this.writer.prepareCommit?.(checkpointId)) ?? []),
    ) as Committable[];
  }

  async checkpoint(checkpointId: number): Promise<void> {
    const committables = await this.prepare(checkpointId);
    await this.committer?.commit(committables);
  }

  /** Ends as a killed process does: nothing is committed or aborted. */
  async close(): Promise<void> {
    await this.writer.close();
    await this.committer?.close();
  }
}
