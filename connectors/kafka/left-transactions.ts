/**
 * Transactions that earlier attempts left open. Readers of committed records cannot pass them, so they are aborted as soon as that is safe.
 *
 * They are looked for by the prefix of their ids before a checkpoint is acknowledged, and ended by InitProducerId, which also fences whoever
 * still holds them, when that checkpoint is complete. Each subtask takes those of subtasks that are equal to it modulo the parallelism.
 *
 * Invariants
 *  L1  What is aborted is named by no checkpoint that may be restored: it was open when the checkpoint was taken and belongs to an earlier
 *      attempt, all of whose named transactions were committed before the first barrier of this one.
 *  L2  An attempt never aborts what a newer one has begun: when the newer one began, the older one's checkpoints could no longer be completed,
 *      and what it had found before was older than both.
 */
import type { Clock, Logger } from '../../src/base/world.ts';
import { type ClusterClient, failureOf, isUnavailable } from './cluster-client.ts';
import { isFenced, isTransient } from './error-codes.ts';
import { NO_PRODUCER } from './transport.ts';

export interface LeftTransactionsOptions {
  readonly prefix: string;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  readonly attemptId: string;
  readonly transactionTimeoutMs: number;
}

const OPEN_STATES = ['Ongoing', 'PrepareEpochFence'];
const FOUND_MAX = 10_000;
const FIND_INTERVAL_MS = 10_000;

export class LeftTransactions {
  readonly #client: ClusterClient;
  readonly #options: LeftTransactionsOptions;
  readonly #services: { readonly clock: Clock; readonly logger: Logger };
  /** By the checkpoint before whose acknowledgement they were found. */
  readonly #found = new Map<number, Set<string>>();
  #dueMs = Number.NEGATIVE_INFINITY;

  constructor(
    client: ClusterClient,
    options: LeftTransactionsOptions,
    services: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.#client = client;
    this.#options = options;
    this.#services = services;
  }

  /**
   * Looks for them at every broker, the first time and then now and again; whether `abort` has something to do. Brokers that do not answer are
   * asked at the next checkpoint; not being allowed to look is no failure: the broker's timeout ends them later.
   */
  async find(checkpointId: number): Promise<boolean> {
    const { clock, logger } = this.#services;
    if (clock.monotonicMs() < this.#dueMs) return false;
    const ids = new Set<string>();
    try {
      await this.#client.metadata([]);
      for (const node of this.#client.brokers) await this.#findAt(node, ids);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      logger.log('debug', 'could not look for open transactions', { reason: String(error) });
      return false;
    }
    this.#dueMs = clock.monotonicMs() + FIND_INTERVAL_MS;
    if (ids.size > 0) this.#found.set(checkpointId, ids);
    return ids.size > 0;
  }

  /** Ends what was found up to that checkpoint. @throws `unavailable` */
  async abort(checkpointId: number): Promise<void> {
    for (const [foundAt, ids] of this.#found) {
      if (foundAt > checkpointId) continue;
      for (const transactionalId of ids) {
        await this.#client.persist(`aborting ${transactionalId}`, () =>
          this.#abortOne(transactionalId),
        );
        ids.delete(transactionalId);
        this.#services.logger.log(
          'info',
          `aborted the transaction ${transactionalId} of an earlier attempt`,
        );
      }
      this.#found.delete(foundAt);
    }
  }

  async #findAt(node: number, ids: Set<string>): Promise<void> {
    const answer = await this.#client.transport.listTransactions(node, OPEN_STATES);
    if (isTransient(answer.errorCode))
      throw failureOf('looking for open transactions', answer.errorCode);
    if (answer.errorCode !== 0) {
      const { message } = failureOf('looking for open transactions', answer.errorCode);
      this.#services.logger.log('warn', message);
    }
    for (const { transactionalId } of answer.transactions)
      if (this.#isLeft(transactionalId) && ids.size < FOUND_MAX) ids.add(transactionalId);
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

  #isLeft(transactionalId: string): boolean {
    const { prefix, subtaskIndex, parallelism, attemptId } = this.#options;
    if (!transactionalId.startsWith(`${prefix}/`)) return false;
    const match = /^(\d+)\/([^/]+)\/\d+$/.exec(transactionalId.slice(prefix.length + 1));
    return (
      match !== null && Number(match[1]) % parallelism === subtaskIndex && match[2] !== attemptId
    );
  }
}
