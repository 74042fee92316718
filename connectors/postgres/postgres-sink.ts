/**
 * A PostgreSQL table as a sink: exactly-once by staging and a note of what was committed, or at-least-once straight into the table.
 *
 * Exactly-once: what is written between two barriers is staged in a table of the same database and named by a committable. When the
 * checkpoint is complete, and again after a restore, it is applied in one transaction with a note of it (`postgres-committer.ts`). Why not prepared
 * transactions: docs/decisions/2026-11-27-postgres-sink.md.
 */
import { crc32 } from 'node:zlib';
import type { Sink, SinkWriterContext } from '../../src/connector/sink.ts';
import { LastingSession } from './lasting-session.ts';
import { PostgresCommitter } from './postgres-committer.ts';
import { planSink, type PostgresSinkOptions } from './postgres-sink-options.ts';
import { PostgresWriter } from './postgres-writer.ts';

/** Who of a subtask owns a session. */
const ROLES = { writer: 0, committer: 1 } as const;

/**
 * Writes rows of a table. @public
 * @throws `invalid` BAD_POSTGRES_SINK, BAD_POSTGRES_NAME
 */
export function postgresSink<T>(options: PostgresSinkOptions<T>): Sink<T> {
  const plan = planSink(options);
  const params = (context: SinkWriterContext, role: keyof typeof ROLES) => {
    const sink = `${context.jobId}/${context.operatorId}`;
    const { subtaskIndex, parallelism, attemptId } = context;
    const count = Object.keys(ROLES).length;
    const session = new LastingSession({
      database: options.database,
      applicationName: `millrace ${role} ${attemptId}`,
      persistMs: plan.persistMs,
      ownership: {
        space: crc32(sink) | 0,
        number: subtaskIndex * count + ROLES[role],
        modulo: parallelism * count,
      },
      services: context,
    });
    return { ...{ options, plan, session, sink, context } };
  };
  return {
    guarantee: plan.guarantee,
    accepted: plan.guarantee === 'at-least-once',
    createWriter: (context) => PostgresWriter.open(params(context, 'writer')),
    ...(plan.guarantee === 'exactly-once'
      ? { createCommitter: (context) => PostgresCommitter.open(params(context, 'committer')) }
      : {}),
  };
}
