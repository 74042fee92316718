/**
 * The transaction coordinator of the model broker: Kafka's first transaction protocol as a state machine.
 *
 *   Empty -> Ongoing -> PrepareCommit -> CompleteCommit      each InitProducerId bumps the epoch and leads back to Empty;
 *                 `---> PrepareAbort --> CompleteAbort       one that meets Ongoing aborts it under the bumped epoch first
 *
 * Between Prepare and Complete the markers are on their way to the partitions: others are told CONCURRENT_TRANSACTIONS.
 */
import { KafkaError } from '../../connectors/kafka/error-codes.ts';
import type {
  AddPartitionsRequest,
  EndTransactionRequest,
  InitProducerIdAnswer,
  InitProducerIdRequest,
  ListedTransaction,
  ProducerIdentity,
  TopicPartition,
} from '../../connectors/kafka/transport.ts';

export type TransactionState =
  | 'Empty'
  | 'Ongoing'
  | 'PrepareCommit'
  | 'PrepareAbort'
  | 'CompleteCommit'
  | 'CompleteAbort';

interface Transaction {
  readonly transactionalId: string;
  producerId: number;
  epoch: number;
  /** The one before, for an InitProducerId that is sent again. */
  lastEpoch: number;
  timeoutMs: number;
  state: TransactionState;
  startedMs: number;
  partitions: Map<string, TopicPartition>;
}

export interface CoordinatorHooks {
  nowMs(): number;
  /** Writes markers some time later, then calls `done`. */
  writeMarkers(
    identity: ProducerIdentity,
    partitions: readonly TopicPartition[],
    commit: boolean,
    done: () => void,
  ): void;
}

const EPOCH_MAX = 32_766;
/** As brokers have it. */
const TIMEOUT_MS_MAX = 900_000;

export class SimTransactions {
  readonly #hooks: CoordinatorHooks;
  readonly #transactions = new Map<string, Transaction>();
  /** A planted fault: epochs are not compared. */
  fences = true;
  #producerIds = 1000;

  constructor(hooks: CoordinatorHooks) {
    this.#hooks = hooks;
  }

  initProducerId(request: InitProducerIdRequest): InitProducerIdAnswer {
    const { transactionalId, transactionTimeoutMs, producerId, producerEpoch } = request;
    if (transactionalId === null)
      return { errorCode: 0, producerId: this.#producerIds++, producerEpoch: 0 };
    if (transactionTimeoutMs > TIMEOUT_MS_MAX || transactionTimeoutMs <= 0)
      return refusal(KafkaError.INVALID_TRANSACTION_TIMEOUT);
    const known = this.#transactions.get(transactionalId);
    if (known === undefined) return this.#create(transactionalId, transactionTimeoutMs);
    if (producerId >= 0 && this.fences) {
      const current = producerId === known.producerId && producerEpoch === known.epoch;
      const repeated = producerId === known.producerId && producerEpoch === known.lastEpoch;
      if (!current && !repeated) return refusal(KafkaError.PRODUCER_FENCED);
      if (repeated && !current && known.state === 'Empty') return answerOf(known);
    }
    if (known.state === 'PrepareCommit' || known.state === 'PrepareAbort')
      return refusal(KafkaError.CONCURRENT_TRANSACTIONS);
    if (known.state === 'Ongoing') {
      this.#fenceAndAbort(known);
      return refusal(KafkaError.CONCURRENT_TRANSACTIONS);
    }
    this.#bump(known);
    known.timeoutMs = transactionTimeoutMs;
    known.state = 'Empty';
    known.partitions.clear();
    return answerOf(known);
  }

  addPartitions(request: AddPartitionsRequest): number {
    const known = this.#transactions.get(request.transactionalId);
    const errorCode = this.#check(known, request);
    if (errorCode !== 0 || known === undefined) return errorCode;
    if (known.state === 'PrepareCommit' || known.state === 'PrepareAbort')
      return KafkaError.CONCURRENT_TRANSACTIONS;
    if (known.state !== 'Ongoing') {
      known.state = 'Ongoing';
      known.startedMs = this.#hooks.nowMs();
      known.partitions.clear();
    }
    for (const { topic, partition } of request.partitions)
      known.partitions.set(`${topic} ${partition}`, { topic, partition });
    return 0;
  }

  endTransaction(request: EndTransactionRequest): number {
    const known = this.#transactions.get(request.transactionalId);
    const errorCode = this.#check(known, request);
    if (errorCode !== 0 || known === undefined) return errorCode;
    const { commit } = request;
    switch (known.state) {
      case 'Ongoing':
        this.#end(known, commit);
        return 0;
      case 'CompleteCommit':
        return commit ? 0 : KafkaError.INVALID_TXN_STATE;
      case 'CompleteAbort':
        return commit ? KafkaError.INVALID_TXN_STATE : 0;
      case 'PrepareCommit':
        return commit ? KafkaError.CONCURRENT_TRANSACTIONS : KafkaError.INVALID_TXN_STATE;
      case 'PrepareAbort':
        return commit ? KafkaError.INVALID_TXN_STATE : KafkaError.CONCURRENT_TRANSACTIONS;
      case 'Empty':
        return KafkaError.INVALID_TXN_STATE;
    }
  }

  /** Whether a transactional batch belongs to an ongoing transaction that knows the partition. */
  admits(
    transactionalId: string,
    producer: ProducerIdentity,
    topic: string,
    partition: number,
  ): boolean {
    const known = this.#transactions.get(transactionalId);
    return (
      known !== undefined &&
      known.state === 'Ongoing' &&
      known.producerId === producer.producerId &&
      (known.epoch === producer.producerEpoch || !this.fences) &&
      known.partitions.has(`${topic} ${partition}`)
    );
  }

  /** Aborts what has been open for longer than it may be. */
  expire(): void {
    const nowMs = this.#hooks.nowMs();
    for (const transaction of this.#transactions.values())
      if (transaction.state === 'Ongoing' && nowMs - transaction.startedMs > transaction.timeoutMs)
        this.#fenceAndAbort(transaction);
  }

  list(states: readonly string[]): ListedTransaction[] {
    return [...this.#transactions.values()]
      .filter(({ state }) => states.length === 0 || states.includes(state))
      .map(({ transactionalId, producerId, state }) => ({ transactionalId, producerId, state }));
  }

  #create(transactionalId: string, timeoutMs: number): InitProducerIdAnswer {
    const transaction: Transaction = {
      ...{ transactionalId, timeoutMs, producerId: this.#producerIds++, epoch: 0, lastEpoch: -1 },
      ...{ state: 'Empty' as const, startedMs: 0, partitions: new Map() },
    };
    this.#transactions.set(transactionalId, transaction);
    return answerOf(transaction);
  }

  #check(known: Transaction | undefined, identity: ProducerIdentity): number {
    if (known === undefined || known.producerId !== identity.producerId)
      return KafkaError.INVALID_PRODUCER_ID_MAPPING;
    if (this.fences && known.epoch !== identity.producerEpoch) return KafkaError.PRODUCER_FENCED;
    return 0;
  }

  #bump(transaction: Transaction): void {
    transaction.lastEpoch = transaction.epoch;
    if (transaction.epoch >= EPOCH_MAX) {
      transaction.producerId = this.#producerIds++;
      transaction.epoch = 0;
    } else transaction.epoch++;
  }

  /** The epoch in between is nobody's: the next InitProducerId bumps it again. */
  #fenceAndAbort(transaction: Transaction): void {
    transaction.epoch++;
    this.#end(transaction, false);
  }

  #end(transaction: Transaction, commit: boolean): void {
    const { producerId, epoch: producerEpoch, partitions } = transaction;
    transaction.state = commit ? 'PrepareCommit' : 'PrepareAbort';
    this.#hooks.writeMarkers(
      { producerId, producerEpoch },
      [...partitions.values()],
      commit,
      () => {
        transaction.state = commit ? 'CompleteCommit' : 'CompleteAbort';
      },
    );
  }
}

const refusal = (errorCode: number): InitProducerIdAnswer => ({
  ...{ errorCode, producerId: -1, producerEpoch: -1 },
});

const answerOf = ({ producerId, epoch }: Transaction): InitProducerIdAnswer => ({
  ...{ errorCode: 0, producerId, producerEpoch: epoch },
});
