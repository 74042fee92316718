/**
 * The second phase: what a completed checkpoint names goes from the staging table into the table of the user, in one transaction with the note
 * that it did.
 *
 * Invariants
 *  C1  In one transaction: rows are applied, their staged chunks are removed, and the batch is noted. Done again it finds the note and changes nothing,
 *      even if a chunk has appeared once more, sent by a connection that was given up.
 *  C2  Whoever commits a batch holds the row that has the note: two committers of one batch come one after the other.
 *  C3  A batch that is neither staged nor noted fails the job by name: its rows are lost, and never passed over.
 *  C4  An attempt of a subtask commits its batches in their order, whoever asks for which: a checkpoint that names one names those before it too, or
 *      they were committed. After rescaling they may be asked for by different subtasks at the same time.
 *  C5  What earlier attempts staged and no checkpoint names is removed after the first commit of this attempt: by then everything that older
 *      checkpoints named has been applied. Only what was there when this attempt began is removed.
 */
import { MillraceError } from '../../src/base/errors.ts';
import type { Committable, Committer, SinkWriterContext } from '../../src/connector/sink.ts';
import type { Session, SqlValue } from './database.ts';
import type { LastingSession } from './lasting-session.ts';
import type { PostgresSinkOptions, SinkPlan } from './postgres-sink-options.ts';
import type { Operation } from './row-buffer.ts';
import { ensureStagingTables, inspectTarget } from './sink-preparation.ts';
import {
  batchStatements,
  type SinkStatements,
  sinkStatements,
  stagingTables,
} from './sink-statements.ts';

/** What a checkpoint stores; the last chunk and no further one is `chunks - 1`. */
export interface StagedBatch {
  readonly sink: string;
  readonly subtask: number;
  readonly attempt: string;
  readonly batch: number;
  readonly chunks: number;
}

export interface CommitterParams<T> {
  readonly options: PostgresSinkOptions<T>;
  readonly plan: SinkPlan;
  readonly session: LastingSession;
  readonly sink: string;
  readonly context: SinkWriterContext;
}

interface Lane {
  readonly subtask: string;
  readonly attempt: string;
  readonly batch: string;
}

const LEFT_MAX = 10_000;

export class PostgresCommitter<T> implements Committer {
  readonly #params: CommitterParams<T>;
  readonly #statements: SinkStatements;
  /** C5 */
  #left: readonly Lane[];

  private constructor(
    params: CommitterParams<T>,
    statements: SinkStatements,
    left: readonly Lane[],
  ) {
    this.#params = params;
    this.#statements = statements;
    this.#left = left;
  }

  static async open<T>(params: CommitterParams<T>): Promise<PostgresCommitter<T>> {
    const { options, plan, session, sink } = params;
    try {
      const columns = await session.persist((open) => inspectTarget(open, options, plan));
      const left = await session.persist(() =>
        session.transaction(async (open) => {
          await ensureStagingTables(open, plan.stagingSchema);
          await open.query(batchStatements(plan.stagingSchema).forget, [sink]);
          return findLeft(open, params);
        }),
      );
      return new PostgresCommitter(params, sinkStatements(plan, columns), left);
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async commit(committables: readonly Committable[]): Promise<void> {
    const { session, context } = this.#params;
    const batches = committables as unknown as readonly StagedBatch[]; // made by PostgresWriter
    for (const batch of batches) await session.transaction((open) => this.#commitOne(open, batch));
    if (batches.some(({ attempt }) => attempt === context.attemptId)) await this.#removeLeft();
  }

  async close(): Promise<void> {
    await this.#params.session.close();
  }

  async #commitOne(open: Session, batch: StagedBatch): Promise<void> {
    const sql = batchStatements(this.#params.plan.stagingSchema);
    const lane: readonly SqlValue[] = [batch.sink, batch.subtask, batch.attempt];
    const named: readonly SqlValue[] = [...lane, batch.batch];
    await open.query(sql.lane, lane);
    const [noted] = await open.query(sql.last, lane); // C2
    if (Number(noted?.['batch'] ?? 0) >= batch.batch) return; // C1
    const chunks = await open.query(sql.chunks, named);
    const own = chunks.filter((chunk) => Number(chunk['batch']) === batch.batch);
    if (own.length !== batch.chunks) throw lost(batch, own.length);
    for (const { batch: number, n, operation } of chunks)
      // C4
      await open.query(this.#statements.apply[operation as Operation], [
        ...[...lane, number ?? null, n ?? null],
      ]); // written by PostgresWriter
    await open.query(sql.remove, named);
    await open.query(sql.committed, named);
  }

  /** Garbage is no reason to fail: what cannot be removed now is found again by the next attempt. */
  async #removeLeft(): Promise<void> {
    const left = this.#left;
    this.#left = [];
    const { session, plan, sink, context } = this.#params;
    try {
      const open = await session.get();
      for (const { subtask, attempt, batch } of left)
        await open.query(batchStatements(plan.stagingSchema).removeOne, [
          ...[sink, subtask, attempt, batch],
        ]);
    } catch (error) {
      context.logger.log('debug', 'could not remove what earlier attempts staged', {
        reason: String(error),
      });
    }
  }
}

/** What earlier attempts of subtasks that are equal to this one modulo the parallelism have staged. */
async function findLeft<T>(
  open: Session,
  { plan, sink, context }: CommitterParams<T>,
): Promise<readonly Lane[]> {
  const { staged } = stagingTables(plan.stagingSchema);
  const rows = await open.query(
    `SELECT DISTINCT subtask::text AS subtask, attempt, batch::text AS batch FROM ${staged} WHERE sink = $1 AND subtask % $2 = $3 AND attempt <> $4 LIMIT ${LEFT_MAX}`,
    [sink, context.parallelism, context.subtaskIndex, context.attemptId],
  );
  return rows.map(({ subtask, attempt, batch }) => ({
    subtask: subtask ?? '',
    attempt: attempt ?? '',
    batch: batch ?? '',
  }));
}

function lost(batch: StagedBatch, found: number): MillraceError {
  return new MillraceError(
    'data',
    'PG_STAGED_LOST',
    `of ${batch.chunks} staged chunks of batch ${batch.batch} (subtask ${batch.subtask}, attempt ${batch.attempt}) ${found} are there, and there is no note that it was committed: the records of its checkpoint cannot be written. Bring the tables of the staging schema back, or start from an older checkpoint`,
    { details: { ...batch, found, permanent: true } },
  );
}
