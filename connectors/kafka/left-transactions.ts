/**
 * Transactions that earlier attempts left open. Readers of committed records cannot pass them, so they are aborted as soon as that is safe.
 *
 * They are found by the prefix of their ids when an attempt begins, and ended by InitProducerId, which also fences whoever still holds them.
 * Each subtask takes those of subtasks that are equal to it modulo the parallelism. Only what was there when this attempt began is
 * touched: a zombie of an older attempt cannot abort what a newer one has begun.
 */
import type { Logger } from '../../src/base/world.ts';
import { type ClusterClient, failureOf } from './cluster-client.ts';
import { isFenced, isTransient } from './error-codes.ts';
import { NO_PRODUCER } from './transport.ts';

export interface LeftTransactionsOptions {
  readonly prefix: string;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  readonly transactionTimeoutMs: number;
}

const OPEN_STATES = ['Ongoing', 'PrepareEpochFence'];
const FOUND_MAX = 10_000;

export class LeftTransactions {
  readonly #client: ClusterClient;
  readonly #options: LeftTransactionsOptions;
  readonly #logger: Logger;
  readonly #ids = new Set<string>();

  constructor(client: ClusterClient, options: LeftTransactionsOptions, logger: Logger) {
    this.#client = client;
    this.#options = options;
    this.#logger = logger;
  }

  /** Looks for them, at every broker. Not being allowed to is no failure: the broker's timeout ends them later. */
  async find(): Promise<void> {
    await this.#client.persist('looking for open transactions', async () => {
      await this.#client.metadata([]);
      for (const node of this.#client.brokers) {
        const answer = await this.#client.transport.listTransactions(node, OPEN_STATES);
        if (isTransient(answer.errorCode))
          throw failureOf('looking for open transactions', answer.errorCode);
        if (answer.errorCode !== 0) {
          const { message } = failureOf('looking for open transactions', answer.errorCode);
          this.#logger.log('warn', message);
        }
        for (const { transactionalId } of answer.transactions)
          if (this.#isOurs(transactionalId) && this.#ids.size < FOUND_MAX)
            this.#ids.add(transactionalId);
      }
    });
  }

  /** It has been committed: nothing is left of it. */
  keep(transactionalId: string): void {
    this.#ids.delete(transactionalId);
  }

  /** Ends them. @throws `unavailable` */
  async abort(): Promise<void> {
    for (const transactionalId of this.#ids) {
      await this.#client.persist(`aborting ${transactionalId}`, () =>
        this.#abortOne(transactionalId),
      );
      this.#ids.delete(transactionalId);
      this.#logger.log('info', `aborted the transaction ${transactionalId} of an earlier attempt`);
    }
  }

  /** While the abort is under way the broker answers CONCURRENT_TRANSACTIONS, which is tried again. */
  async #abortOne(transactionalId: string): Promise<void> {
    const request = {
      transactionalId,
      transactionTimeoutMs: this.#options.transactionTimeoutMs,
      ...NO_PRODUCER,
    };
    const { errorCode } = await this.#client.askCoordinator(
      'transaction',
      transactionalId,
      (node) => this.#client.transport.initProducerId(node, request),
      (answer) => answer.errorCode,
    );
    if (errorCode !== 0 && !isFenced(errorCode))
      throw failureOf(`aborting the transaction ${transactionalId}`, errorCode);
  }

  #isOurs(transactionalId: string): boolean {
    const { prefix, subtaskIndex, parallelism } = this.#options;
    if (!transactionalId.startsWith(`${prefix}/`)) return false;
    const match = /^(\d+)\/[^/]+\/\d+$/.exec(transactionalId.slice(prefix.length + 1));
    return match !== null && Number(match[1]) % parallelism === subtaskIndex;
  }
}
