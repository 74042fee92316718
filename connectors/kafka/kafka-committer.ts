/**
 * The second phase: ends transactions that a completed checkpoint names, and those that earlier attempts left open.
 *
 * Invariants
 *  M1  Committing is idempotent: the broker says yes again to the same id, producer and epoch; and where it refuses because the epoch has moved
 *      on, the log tells whether the transaction was committed then (`transaction-outcome.ts`).
 *  M2  A transaction that was aborted (by the broker's timeout, or by another owner) fails the job by name. Its records are lost to
 *      readers, so it is never passed over unless the user says so (`lostTransactions: 'accept'`).
 *  M3  What earlier attempts left open is aborted only after a checkpoint of this attempt is complete (`left-transactions.ts`).
 */
import { isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { Committable, Committer } from '../../src/connector/sink.ts';
import type { Logger } from '../../src/base/world.ts';
import { type ClusterClient, failureOf } from './cluster-client.ts';
import { errorName, isFenced, isTransient, KafkaError } from './error-codes.ts';
import type { LeftTransactions } from './left-transactions.ts';
import type { Witness } from './producer.ts';
import { transactionOutcome } from './transaction-outcome.ts';
import type { BegunTransaction } from './transactional-ids.ts';

export interface TransactionCommittable extends BegunTransaction {
  readonly kind: 'transaction';
  readonly checkpointId: number;
  readonly witness: Witness | null;
}

/** What earlier attempts left is to be ended when this checkpoint is complete: M3. */
export interface SweepCommittable {
  readonly kind: 'sweep';
  readonly checkpointId: number;
  readonly attemptId: string;
}

export type KafkaCommittable = TransactionCommittable | SweepCommittable;

export interface CommitterParams {
  readonly client: ClusterClient;
  readonly logger: Logger;
  readonly attemptId: string;
  readonly left: LeftTransactions;
  readonly lostTransactions: 'fail' | 'accept';
  /** Told of transactions that are committed for certain. */
  readonly onCommitted: (committed: readonly TransactionCommittable[]) => void;
}

export class KafkaCommitter implements Committer {
  readonly #params: CommitterParams;

  constructor(params: CommitterParams) {
    this.#params = params;
  }

  async commit(committables: readonly Committable[]): Promise<void> {
    const { left, attemptId, onCommitted } = this.#params;
    const due = committables as unknown as readonly KafkaCommittable[]; // made by KafkaWriter
    const committed: TransactionCommittable[] = [];
    let sweepUpTo = -1;
    for (const committable of due) {
      if (committable.kind === 'transaction') {
        await this.#commitOne(committable);
        committed.push(committable);
      } else if (committable.attemptId === attemptId)
        sweepUpTo = Math.max(sweepUpTo, committable.checkpointId);
    }
    onCommitted(committed);
    if (sweepUpTo >= 0) await left.abort(sweepUpTo);
  }

  async close(): Promise<void> {
    await this.#params.client.close();
  }

  async #commitOne(transaction: TransactionCommittable): Promise<void> {
    const { client } = this.#params;
    const { transactionalId, producerId, producerEpoch } = transaction;
    const errorCode = await client.askCoordinator(
      'transaction',
      transactionalId,
      (node) =>
        client.transport.endTransaction(node, {
          ...{ transactionalId, producerId, producerEpoch, commit: true },
        }),
      (code) => code,
    );
    if (errorCode === 0) return;
    const what = `committing the transaction ${transactionalId}`;
    if (isTransient(errorCode)) throw failureOf(what, errorCode);
    if (
      !isFenced(errorCode) &&
      errorCode !== KafkaError.INVALID_TXN_STATE &&
      errorCode !== KafkaError.TRANSACTIONAL_ID_NOT_FOUND
    )
      throw failureOf(what, errorCode);
    await this.#onRefused(transaction, errorCode);
  }

  async #onRefused(transaction: TransactionCommittable, errorCode: number): Promise<void> {
    const { client, logger, lostTransactions } = this.#params;
    const { transactionalId, witness, producerId, producerEpoch, checkpointId } = transaction;
    const outcome = witness === null ? 'unknown' : await this.#outcome(client, witness, producerId);
    if (outcome === 'committed') return; // M1
    if (outcome === 'open')
      throw new MillraceError(
        'unavailable',
        'KAFKA_TRANSACTION_ENDING',
        `${transactionalId}: ${errorName(errorCode)}, and its end is not in the log yet`,
      );
    const failure = new MillraceError(
      'data',
      'KAFKA_COMMIT_REFUSED',
      `the broker refuses to commit the transaction ${transactionalId} of checkpoint ${checkpointId} (${errorName(errorCode)}): ${REASONS[outcome]}. The records of that checkpoint are missing from the output. Start from an older checkpoint to write them again, or go on without them by lostTransactions: 'accept'. To prevent it, raise transactionTimeout (and the broker's transaction.max.timeout.ms) above the longest outage`,
      {
        details: {
          ...{ transactionalId, producerId, producerEpoch, checkpointId, outcome },
          permanent: true,
          kafkaError: errorName(errorCode),
        },
      },
    );
    if (lostTransactions === 'fail') throw failure; // M2
    logger.log('error', failure.message, failure.details);
  }

  async #outcome(
    client: ClusterClient,
    witness: Witness,
    producerId: number,
  ): Promise<'committed' | 'aborted' | 'open' | 'unknown'> {
    try {
      return await transactionOutcome(client, witness, producerId);
    } catch (error) {
      if (isMillraceError(error) && error.code === 'KAFKA_TOPIC_MISSING') return 'unknown';
      throw error;
    }
  }
}

const REASONS = {
  aborted: 'it was aborted, by the broker after transactionTimeout or by another producer',
  unknown: 'whether it was committed before cannot be told, the log does not reach back to it',
} as const;
