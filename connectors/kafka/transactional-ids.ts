/**
 * The transactional ids of one sink subtask in one attempt, and the epochs that fence.
 *
 * An id is `<prefix>/<subtask>/<attempt>/<n>`. It is owned by one attempt, so that no later one meets it by accident: what an attempt left open
 * is found by the prefix (`LeftTransactions`), and a transaction that a restored checkpoint names is never begun anew by anybody.
 *
 * Invariants
 *  X1  Every transaction begins with InitProducerId and has an epoch of its own: `(id, producer id, epoch)` names one transaction for ever,
 *      and a delayed EndTxn or Produce of an earlier one is refused by the broker.
 *  X2  An id is used again only after the broker has confirmed that its transaction is committed, and no checkpoint that may still be
 *      restored automatically needs to commit it: at the first completion after the one that committed it.
 *  X3  An answer to InitProducerId that does not come leaves the epoch unknown: the id is not used again in this attempt. Neither is one whose
 *      epoch has moved on without us: a delayed AddPartitionsToTxn opens the transaction before anew, and the broker aborts it then.
 */
import { invalid, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import { type ClusterClient, failureOf } from './cluster-client.ts';
import { errorName, isFenced, isTransient, KafkaError } from './error-codes.ts';
import { NO_PRODUCER, type ProducerIdentity } from './transport.ts';

export interface BegunTransaction extends ProducerIdentity {
  readonly transactionalId: string;
}

interface Free extends ProducerIdentity {
  readonly transactionalId: string;
}

export interface TransactionalIdsOptions {
  readonly prefix: string;
  readonly subtaskIndex: number;
  readonly attemptId: string;
  readonly transactionTimeoutMs: number;
}

/** Ids of transactions that are open at once: checkpoints that did not complete keep theirs. */
const IDS_MAX = 1000;
const LOST_MAX = 100;

export class TransactionalIds {
  readonly #client: ClusterClient;
  readonly #options: TransactionalIdsOptions;
  readonly #free: Free[] = [];
  #made = 0;

  constructor(client: ClusterClient, options: TransactionalIdsOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** A transaction that nothing was written to yet. */
  async begin(): Promise<BegunTransaction> {
    for (let lost = 0; ; lost++) {
      const candidate = this.#free.shift() ?? { transactionalId: this.#newId(), ...NO_PRODUCER };
      try {
        return await this.#initialise(candidate);
      } catch (error) {
        if (!isLost(error, candidate) || lost >= LOST_MAX) throw error;
        await this.#client.pause(Math.min(1000, 20 * 2 ** Math.min(lost, 6)));
      }
    }
  }

  /** X2: by whoever knows that both conditions hold. */
  release(transaction: BegunTransaction): void {
    this.#free.push(transaction);
  }

  #newId(): string {
    const { prefix, subtaskIndex, attemptId } = this.#options;
    if (this.#made - this.#free.length >= IDS_MAX)
      throw new MillraceError(
        'unavailable',
        'KAFKA_TOO_MANY_TRANSACTIONS',
        `more than ${IDS_MAX} transactions wait for a checkpoint to complete; find out why checkpoints fail`,
      );
    return `${prefix}/${subtaskIndex}/${attemptId}/${this.#made++}`;
  }

  async #initialise({
    transactionalId,
    producerId,
    producerEpoch,
  }: Free): Promise<BegunTransaction> {
    const { transactionTimeoutMs } = this.#options;
    const answer = await this.#client.persist(`initialising ${transactionalId}`, async () => {
      const request = { transactionalId, transactionTimeoutMs, producerId, producerEpoch };
      const initialised = await this.#client.askCoordinator(
        'transaction',
        transactionalId,
        (node) => noAnswerIsFinal(() => this.#client.transport.initProducerId(node, request)),
        ({ errorCode }) => errorCode,
      );
      if (isTransient(initialised.errorCode))
        throw failureOf(`initialising ${transactionalId}`, initialised.errorCode);
      return initialised;
    });
    if (answer.errorCode !== 0) throw initFailure(transactionalId, answer.errorCode, this.#options);
    return {
      transactionalId,
      producerId: answer.producerId,
      producerEpoch: answer.producerEpoch,
    };
  }
}

/** X3 */
const isLost = (error: unknown, { producerId }: ProducerIdentity): boolean =>
  isMillraceError(error) &&
  (error.code === 'KAFKA_NO_ANSWER' ||
    (error.code === 'KAFKA_PRODUCER_FENCED' && producerId !== NO_PRODUCER.producerId));

/** Takes a request without an answer out of `persist`'s hands: its effect is unknown. */
async function noAnswerIsFinal<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!isMillraceError(error) || error.code !== 'KAFKA_NO_ANSWER') throw error;
    throw new MillraceError('data', 'KAFKA_NO_ANSWER', error.message, { cause: error });
  }
}

function initFailure(
  transactionalId: string,
  errorCode: number,
  { transactionTimeoutMs }: TransactionalIdsOptions,
): MillraceError {
  const details = { transactionalId, kafkaError: errorName(errorCode) };
  if (errorCode === KafkaError.INVALID_TRANSACTION_TIMEOUT)
    return invalid(
      'KAFKA_TRANSACTION_TIMEOUT_TOO_LONG',
      `the broker takes no transaction timeout of ${transactionTimeoutMs} ms: raise its transaction.max.timeout.ms, or lower the sink's transactionTimeout (and longestOutage with it)`,
      details,
    );
  if (isFenced(errorCode))
    return new MillraceError(
      'fenced',
      'KAFKA_PRODUCER_FENCED',
      `${transactionalId}: ${errorName(errorCode)}: a newer attempt of this job, or another job with the same transactionalIdPrefix, has taken over. Give each sink a prefix of its own`,
      { details },
    );
  return failureOf(`initialising ${transactionalId}`, errorCode);
}
