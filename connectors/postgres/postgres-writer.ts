/**
 * The first phase of the sink: rows go to the server in chunks while the stream goes on; staged for the committer, or straight into the table.
 *
 * Invariants
 *  W1  Chunks arrive in the order of their records, each once: a staged chunk has a number, and one that is sent again is not staged twice.
 *  W2  `flush` settles when everything before it is on the server's disk.
 *  W3  A batch belongs to one attempt of one subtask. What a frozen process stages when it comes back is in a batch that no checkpoint names.
 */
import type { Committable, SinkWriter, SinkWriterContext } from '../../src/connector/sink.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import type { LastingSession } from './lasting-session.ts';
import type { StagedBatch } from './postgres-committer.ts';
import type { PostgresSinkOptions, SinkPlan } from './postgres-sink-options.ts';
import { type Chunk, RowBuffer } from './row-buffer.ts';
import { type SinkStatements, sinkStatements } from './sink-statements.ts';
import { ensureStagingTables, inspectTarget } from './sink-preparation.ts';

export interface WriterParams<T> {
  readonly options: PostgresSinkOptions<T>;
  readonly plan: SinkPlan;
  readonly session: LastingSession;
  /** Names the sink in its tables. */
  readonly sink: string;
  readonly context: SinkWriterContext;
}

export class PostgresWriter<T> implements SinkWriter<T> {
  readonly #params: WriterParams<T>;
  readonly #statements: SinkStatements;
  readonly #buffer: RowBuffer<T>;
  #sending: Promise<void> = Promise.resolve();
  #batch = 1;
  #chunks = 0;

  private constructor(params: WriterParams<T>, statements: SinkStatements, buffer: RowBuffer<T>) {
    this.#params = params;
    this.#statements = statements;
    this.#buffer = buffer;
  }

  static async open<T>(params: WriterParams<T>): Promise<PostgresWriter<T>> {
    const { options, plan, session } = params;
    try {
      const columns = await session.persist((open) => inspectTarget(open, options, plan));
      if (plan.guarantee === 'exactly-once')
        await session.persist(() =>
          session.transaction((open) => ensureStagingTables(open, plan.stagingSchema)),
        );
      return new PostgresWriter(
        params,
        sinkStatements(plan, columns),
        new RowBuffer(options, plan, columns),
      );
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  write({ values }: RecordBatch<T>): void | Promise<void> {
    const buffer = this.#buffer;
    for (const value of values) buffer.add(value);
    if (buffer.isFull) return this.#send();
  }

  async flush(): Promise<void> {
    await this.#send();
    await this.#sending;
  }

  async prepareCommit(): Promise<readonly Committable[]> {
    if (this.#params.plan.guarantee !== 'exactly-once' || this.#chunks === 0) return [];
    const { sink, context } = this.#params;
    const batch: StagedBatch = {
      sink,
      subtask: context.subtaskIndex,
      attempt: context.attemptId,
      batch: this.#batch,
      chunks: this.#chunks,
    };
    this.#batch++;
    this.#chunks = 0;
    return [{ ...batch }];
  }

  async close(): Promise<void> {
    await this.#params.session.close();
  }

  /** Settles when what was sent before has arrived: one chunk is on its way while the next one fills. */
  #send(): Promise<void> {
    const before = this.#sending;
    const chunks = this.#buffer.take();
    const exactlyOnce = this.#params.plan.guarantee === 'exactly-once';
    const sends = chunks.map((chunk) =>
      exactlyOnce ? this.#stage(chunk, this.#chunks++) : () => this.#apply(chunk),
    );
    this.#sending = before.then(async () => {
      for (const send of sends) await send();
    });
    this.#sending.catch(() => {}); // told by the next write or flush
    return before;
  }

  #stage({ operation, json }: Chunk, n: number): () => Promise<void> {
    const { session, sink, context } = this.#params;
    const values = [sink, context.subtaskIndex, context.attemptId, this.#batch, n, operation, json];
    return () =>
      session.persist(async (open) => {
        await open.query(this.#statements.stage[operation], values);
      });
  }

  #apply({ operation, json }: Chunk): Promise<void> {
    return this.#params.session.persist(async (open) => {
      await open.query(this.#statements.direct[operation], [json]);
    });
  }
}
