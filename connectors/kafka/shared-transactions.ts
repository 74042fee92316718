/**
 * What the writer and the committer of one sink operator know of each other: which transactional ids are free again, and what earlier attempts
 * left open.
 */
import type { SinkWriterContext } from '../../src/connector/sink.ts';
import { ClusterClient } from './cluster-client.ts';
import { KafkaCommitter, type TransactionCommittable } from './kafka-committer.ts';
import { timeoutsOf, type TransactionOptions } from './kafka-sink-options.ts';
import { LeftTransactions } from './left-transactions.ts';
import { type BegunTransaction, TransactionalIds } from './transactional-ids.ts';

export class SharedTransactions {
  readonly #options: TransactionOptions;
  readonly #context: SinkWriterContext;
  readonly left: LeftTransactions;
  readonly committer: KafkaCommitter;
  /** Committed, and when they may be used again. */
  #committed: { readonly transaction: BegunTransaction; readonly preparedUpTo: number }[] = [];
  ids: TransactionalIds | undefined;
  preparedUpTo = 0;

  constructor(options: TransactionOptions, context: SinkWriterContext) {
    this.#options = options;
    this.#context = context;
    const { transactionMs, deliveryMs } = timeoutsOf(options);
    const client = new ClusterClient(options.cluster, context, deliveryMs);
    const { subtaskIndex, parallelism, attemptId, logger } = context;
    const prefix = options.transactionalIdPrefix!; // checked with the options
    this.left = new LeftTransactions(
      client,
      { prefix, subtaskIndex, parallelism, attemptId, transactionTimeoutMs: transactionMs },
      context,
    );
    this.committer = new KafkaCommitter({
      ...{ client, logger, attemptId, left: this.left },
      lostTransactions: options.lostTransactions ?? 'fail',
      onCommitted: (committed) => this.#onCommitted(committed),
    });
  }

  openIds(client: ClusterClient): TransactionalIds {
    const { subtaskIndex, attemptId } = this.#context;
    this.ids = new TransactionalIds(client, {
      prefix: this.#options.transactionalIdPrefix!, // checked with the options
      ...{ subtaskIndex, attemptId },
      transactionTimeoutMs: timeoutsOf(this.#options).transactionMs,
    });
    return this.ids;
  }

  /** X2: a checkpoint that was prepared after a commit, and is complete now, does not name it. */
  #onCommitted(committed: readonly TransactionCommittable[]): void {
    const completed = Math.max(0, ...committed.map(({ checkpointId }) => checkpointId));
    const own = `/${this.#context.subtaskIndex}/${this.#context.attemptId}/`;
    this.#committed = this.#committed.filter(({ transaction, preparedUpTo }) => {
      if (completed <= preparedUpTo) return true;
      this.ids?.release(transaction);
      return false;
    });
    for (const { transactionalId, producerId, producerEpoch } of committed)
      if (transactionalId.includes(own))
        this.#committed.push({
          transaction: { transactionalId, producerId, producerEpoch },
          preparedUpTo: this.preparedUpTo,
        });
  }
}
