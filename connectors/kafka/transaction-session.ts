/** The open transaction of one writer: begun before its first record, detached at a barrier, its failures told apart. */
import { isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { Clock } from '../../src/base/world.ts';
import { type ClusterClient, failureOf } from './cluster-client.ts';
import { errorName, isFenced, isTransient, KafkaError } from './error-codes.ts';
import type { Producer } from './producer.ts';
import type { BegunTransaction, TransactionalIds } from './transactional-ids.ts';
import type { TopicPartition } from './transport.ts';

export interface TransactionSessionParams {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly ids: TransactionalIds;
  readonly producer: Producer;
  readonly transactionTimeoutMs: number;
}

/** A broker's clock and ours run at about the same speed. */
const TIMED_OUT_SHARE = 0.9;
const IDLE_MS_MAX = 3_600_000;

export class TransactionSession {
  readonly #params: TransactionSessionParams;
  #transaction: BegunTransaction | undefined;
  #begunMs = 0;
  /** When the broker's clock for it began to run. */
  #startedMs: number | undefined;

  constructor(params: TransactionSessionParams) {
    this.#params = params;
  }

  /** Records can be appended. What was begun long ago and not used is begun anew: brokers forget ids that are idle for days. */
  get active(): boolean {
    if (this.#transaction === undefined) return false;
    const { producer, clock } = this.#params;
    return producer.recordsSent > 0 || clock.monotonicMs() - this.#begunMs < IDLE_MS_MAX;
  }

  async begin(): Promise<void> {
    const { ids, producer, clock } = this.#params;
    if (this.#transaction !== undefined) ids.release(this.#transaction);
    this.#transaction = undefined;
    const transaction = await ids.begin();
    this.#transaction = transaction;
    this.#begunMs = clock.monotonicMs();
    this.#startedMs = undefined;
    producer.use({
      ...transaction,
      addPartitions: (partitions) => this.#addPartitions(transaction, partitions),
    });
  }

  /** The transaction, for a checkpoint to name; undefined when nothing was written, and it stays as it is. All is flushed. */
  detach(): BegunTransaction | undefined {
    if (this.#params.producer.recordsSent === 0) return undefined;
    const transaction = this.#transaction;
    this.#transaction = undefined;
    return transaction;
  }

  /** Being fenced by the broker's timeout is no loss of ownership: the task may restart. */
  async guard(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      throw this.explain(error);
    }
  }

  /** The failure of something in this transaction, as the task is to have it. */
  explain(error: unknown): unknown {
    return isMillraceError(error) && error.code === 'KAFKA_PRODUCER_FENCED'
      ? this.#fencedFailure(error)
      : error;
  }

  async #addPartitions(
    { transactionalId, producerId, producerEpoch }: BegunTransaction,
    partitions: readonly TopicPartition[],
  ): Promise<void> {
    const { client, clock } = this.#params;
    this.#startedMs ??= clock.monotonicMs();
    const what = `adding partitions to ${transactionalId}`;
    await client.persist(what, async () => {
      const results = await client.askCoordinator(
        'transaction',
        transactionalId,
        (node) =>
          client.transport.addPartitionsToTransaction(node, {
            ...{ transactionalId, producerId, producerEpoch, partitions },
          }),
        (answer) => codeOf(answer),
      );
      const errorCode = codeOf(results);
      if (errorCode === 0) return;
      if (isTransient(errorCode)) throw failureOf(what, errorCode);
      if (isFenced(errorCode))
        throw new MillraceError(
          'fenced',
          'KAFKA_PRODUCER_FENCED',
          `${what}: ${errorName(errorCode)}`,
        );
      if (
        errorCode === KafkaError.INVALID_TXN_STATE ||
        errorCode === KafkaError.TRANSACTION_ABORTABLE
      )
        throw new MillraceError(
          'data',
          'KAFKA_PRODUCER_BROKEN',
          `${what}: ${errorName(errorCode)}`,
        );
      throw failureOf(what, errorCode);
    });
  }

  #fencedFailure(cause: MillraceError): MillraceError {
    const { clock, transactionTimeoutMs } = this.#params;
    const { transactionalId = '' } = this.#transaction ?? {};
    const openMs = clock.monotonicMs() - (this.#startedMs ?? Number.POSITIVE_INFINITY);
    const details = { ...cause.details, transactionalId };
    if (openMs >= transactionTimeoutMs * TIMED_OUT_SHARE)
      return new MillraceError(
        'unavailable',
        'KAFKA_TRANSACTION_TIMED_OUT',
        `the transaction ${transactionalId} was open for ${Math.round(openMs)} ms and the broker has aborted it; its records are written again from the last checkpoint. Checkpoint more often, or raise transactionTimeout`,
        { cause, details },
      );
    return new MillraceError(
      'fenced',
      'KAFKA_PRODUCER_FENCED',
      `the transaction ${transactionalId} was taken over: by a newer attempt of this job, or by another job with the same transactionalIdPrefix. Give each sink a prefix of its own`,
      { cause, details },
    );
  }
}

/** The first error that says more than that another partition had one. */
function codeOf(results: readonly { readonly errorCode: number }[]): number {
  const failed = results.filter(({ errorCode }) => errorCode !== 0);
  return (
    failed.find(({ errorCode }) => errorCode !== KafkaError.OPERATION_NOT_ATTEMPTED)?.errorCode ??
    failed[0]?.errorCode ??
    0
  );
}
