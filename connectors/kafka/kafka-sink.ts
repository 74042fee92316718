/**
 * Kafka topics as a sink: exactly-once by transactions, or at-least-once by an idempotent producer.
 *
 * Exactly-once: what is written between two barriers is one transaction of each subtask. At a barrier it is flushed and named by a
 * committable `(transactional id, producer id, epoch)`; when the checkpoint is complete, and again after a restore, it is committed
 * with exactly these, by whichever process comes first (`kafka-committer.ts`). Readers see it then, if they read committed records.
 */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { assert, invalid } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type {
  Committable,
  Sink,
  SinkGuarantee,
  SinkWriter,
  SinkWriterContext,
} from '../../src/connector/sink.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import { ClusterClient, failureOf } from './cluster-client.ts';
import { isTransient, KafkaError } from './error-codes.ts';
import {
  KafkaCommitter,
  type KafkaCommittable,
  type TransactionCommittable,
} from './kafka-committer.ts';
import type { KafkaHeaders } from './kafka-record.ts';
import { LeftTransactions } from './left-transactions.ts';
import { partitionOfKey } from './murmur2.ts';
import { Producer, type ProducerOptions } from './producer.ts';
import type { Compression } from './record-batch-builder.ts';
import { type BegunTransaction, TransactionalIds } from './transactional-ids.ts';
import { TransactionSession } from './transaction-session.ts';
import { type KafkaCluster, NO_PRODUCER } from './transport.ts';

export interface KafkaSinkOptions<T> {
  /** Made by `kafkaCluster`. */
  readonly cluster: KafkaCluster;
  /** Where records go; topics are not created. */
  readonly topic: string | ((value: T) => string);
  readonly value: MessageFormat<T>;
  /** Records with the same key go to one partition, in order. Null or absent: partitions in turn. */
  readonly key?: (value: T) => string | Uint8Array | null;
  readonly headers?: (value: T) => KafkaHeaders;
  /** Instead of the key's hash (Java's murmur2). */
  readonly partition?: (value: T, partitions: number) => number;
  /** Default 'exactly-once'. */
  readonly guarantee?: SinkGuarantee;
  /** Of transactional ids; needed for exactly-once. One for each sink and job, the same over restarts: letters, digits, `.`, `_`, `-`. */
  readonly transactionalIdPrefix?: string;
  /** After this long the broker aborts a transaction that was not committed. Default 15 min, the broker's default limit. */
  readonly transactionTimeout?: Duration;
  /**
   * The longest time from the first record of a transaction to its commit that must be survived: checkpoint interval and duration, and every
   * restart or outage in between. Must be shorter than `transactionTimeout`. Default 10 min.
   */
  readonly longestOutage?: Duration;
  /** What happens when a transaction of a completed checkpoint was aborted: 'fail' (default), or 'accept' the loss and log it. */
  readonly lostTransactions?: 'fail' | 'accept';
  readonly compression?: Compression;
  /** Of a batch of records before compression. Default 512 KiB; the topic's max.message.bytes is 1 MiB by default. */
  readonly batchBytes?: number;
  /** How long a batch waits for more records. Default 10 ms. */
  readonly linger?: Duration;
  /** What a subtask holds undelivered before it holds up the stream. Default 32 MiB. */
  readonly bufferBytes?: number;
  /** How long records may go undelivered before the job fails (and restarts by its strategy). Default 2 min. */
  readonly deliveryTimeout?: Duration;
}

/** The part of the options that does not depend on the records. */
type TransactionOptions = Pick<
  KafkaSinkOptions<unknown>,
  | 'cluster'
  | 'transactionalIdPrefix'
  | 'transactionTimeout'
  | 'longestOutage'
  | 'lostTransactions'
  | 'deliveryTimeout'
>;

const PREFIX = /^[A-Za-z0-9._-]{1,200}$/;
const MIB = 1024 * 1024;
const COMPRESSIONS: readonly string[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

/**
 * Writes to Kafka topics. @public
 * @throws `invalid` BAD_KAFKA_SINK, KAFKA_TRANSACTION_TIMEOUT_TOO_SHORT
 */
export function kafkaSink<T>(options: KafkaSinkOptions<T>): Sink<T> {
  checkOptions(options);
  const guarantee = options.guarantee ?? 'exactly-once';
  if (guarantee === 'at-least-once')
    return { guarantee, createWriter: (context) => KafkaWriter.open(options, context, undefined) };
  // One operator's committer and writer are made with the same context, the committer first.
  const shared = new WeakMap<SinkWriterContext, SharedTransactions>();
  return {
    guarantee,
    createCommitter: async (context) => {
      const transactions = new SharedTransactions(options, context);
      shared.set(context, transactions);
      return transactions.committer;
    },
    createWriter: (context) => {
      const transactions = shared.get(context);
      assert(transactions !== undefined, 'a sink operator opens the committer before the writer');
      return KafkaWriter.open(options, context, transactions);
    },
  };
}

const timeoutsOf = ({
  transactionTimeout = '15 min',
  longestOutage = '10 min',
  deliveryTimeout = '2 min',
}: TransactionOptions): { transactionMs: number; outageMs: number; deliveryMs: number } => ({
  transactionMs: durationMs(transactionTimeout),
  outageMs: durationMs(longestOutage),
  deliveryMs: durationMs(deliveryTimeout),
});

function checkOptions<T>(options: KafkaSinkOptions<T>): void {
  const { guarantee = 'exactly-once', transactionalIdPrefix: prefix, compression } = options;
  const { batchBytes = MIB / 2, bufferBytes = 32 * MIB } = options;
  const { transactionMs, outageMs } = timeoutsOf(options);
  const exactlyOnce = guarantee === 'exactly-once';
  const faults = [
    ...(exactlyOnce && prefix === undefined
      ? ['exactly-once needs a transactionalIdPrefix that is its own and stays the same']
      : []),
    ...(prefix !== undefined && !PREFIX.test(prefix)
      ? ['transactionalIdPrefix is 1 to 200 letters, digits, dots, dashes and underscores']
      : []),
    ...(compression !== undefined && !COMPRESSIONS.includes(compression)
      ? [`compression is one of ${COMPRESSIONS.join(', ')}`]
      : []),
    ...(!(batchBytes >= 1024) || batchBytes > 64 * MIB
      ? ['batchBytes is between 1 KiB and 64 MiB']
      : []),
    ...(!(bufferBytes >= batchBytes) ? ['bufferBytes is at least batchBytes'] : []),
  ];
  if (faults.length > 0) throw invalid('BAD_KAFKA_SINK', `Kafka sink: ${faults.join('; ')}`);
  if (exactlyOnce && transactionMs <= outageMs)
    throw invalid(
      'KAFKA_TRANSACTION_TIMEOUT_TOO_SHORT',
      `transactionTimeout (${transactionMs} ms) must be longer than longestOutage (${outageMs} ms): a broker aborts a transaction after the former, and the records of a completed checkpoint would be lost`,
    );
}

/** What an operator's writer and committer know of each other. */
class SharedTransactions {
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

class KafkaWriter<T> implements SinkWriter<T> {
  readonly #options: KafkaSinkOptions<T>;
  readonly #context: SinkWriterContext;
  readonly #client: ClusterClient;
  readonly #producer: Producer;
  readonly #shared: SharedTransactions | undefined;
  readonly #session: TransactionSession | undefined;
  readonly #partitions = new Map<string, number>();
  #turn = 0;
  #refreshedMs: number;

  private constructor(
    options: KafkaSinkOptions<T>,
    context: SinkWriterContext,
    shared: SharedTransactions | undefined,
  ) {
    this.#options = options;
    this.#context = context;
    this.#shared = shared;
    const { deliveryMs, transactionMs } = timeoutsOf(options);
    this.#client = new ClusterClient(options.cluster, context, deliveryMs);
    this.#producer = new Producer(this.#client, context, producerOptionsOf(options));
    this.#refreshedMs = context.clock.monotonicMs();
    if (shared !== undefined)
      this.#session = new TransactionSession({
        client: this.#client,
        clock: context.clock,
        ids: shared.openIds(this.#client),
        producer: this.#producer,
        transactionTimeoutMs: transactionMs,
      });
  }

  static async open<T>(
    options: KafkaSinkOptions<T>,
    context: SinkWriterContext,
    shared: SharedTransactions | undefined,
  ): Promise<KafkaWriter<T>> {
    const writer = new KafkaWriter(options, context, shared);
    try {
      await writer.#open();
    } catch (error) {
      await writer.close();
      throw error;
    }
    return writer;
  }

  write(batch: RecordBatch<T>): void | Promise<void> {
    if (this.#session !== undefined && !this.#session.active) return this.#beginAndWrite(batch);
    try {
      return this.#append(batch, 0);
    } catch (error) {
      throw this.#session?.explain(error) ?? error;
    }
  }

  async flush(): Promise<void> {
    await (this.#session?.guard(this.#producer.flush()) ?? this.#producer.flush());
    await this.#refresh();
  }

  async prepareCommit(checkpointId: number): Promise<readonly Committable[]> {
    const shared = this.#shared;
    if (shared === undefined) return [];
    shared.preparedUpTo = checkpointId;
    const committables: KafkaCommittable[] = [];
    if (await shared.left.find(checkpointId))
      committables.push({ kind: 'sweep', checkpointId, attemptId: this.#context.attemptId });
    const transaction = this.#session!.detach(); // a writer with shared transactions has a session
    if (transaction !== undefined)
      committables.push({
        kind: 'transaction',
        checkpointId,
        ...transaction,
        witness: this.#producer.witness() ?? null,
      });
    return committables as unknown as readonly JsonValue[]; // plain data
  }

  async close(): Promise<void> {
    this.#producer.close();
    await this.#client.close();
  }

  async #open(): Promise<void> {
    const { topic, value } = this.#options;
    await value.open?.(typeof topic === 'string' ? topic : '', 'write');
    if (typeof topic === 'string') await this.#learn(topic);
    // At start, so that a timeout that the broker refuses is told before there is data.
    if (this.#session === undefined) await this.#becomeIdempotent();
    else await this.#session.begin();
  }

  async #becomeIdempotent(): Promise<void> {
    const identity = await this.#client.persist('initialising the producer', async () => {
      await this.#client.metadata([]);
      const node = this.#client.brokers[0];
      if (node === undefined) throw failureOf('the brokers', KafkaError.LEADER_NOT_AVAILABLE);
      const answer = await this.#client.transport.initProducerId(node, {
        ...{ transactionalId: null, transactionTimeoutMs: 0, ...NO_PRODUCER },
      });
      if (isTransient(answer.errorCode) || answer.errorCode !== 0)
        throw failureOf('initialising the producer', answer.errorCode);
      return answer;
    });
    const { producerId, producerEpoch } = identity;
    this.#producer.use({
      ...{ producerId, producerEpoch, transactionalId: null },
      addPartitions: async () => {},
    });
  }

  async #beginAndWrite(batch: RecordBatch<T>): Promise<void> {
    await this.#session!.begin(); // looked at by the caller
    await this.#append(batch, 0);
  }

  #append(batch: RecordBatch<T>, from: number): Promise<void> | undefined {
    const { topic, key, headers, value: format } = this.#options;
    const { values, timestamps } = batch;
    this.#turn++;
    for (let i = from; i < values.length; i++) {
      const value = values[i]!; // below length
      const name = typeof topic === 'string' ? topic : topic(value);
      const partitions = this.#partitions.get(name);
      if (partitions === undefined) return this.#learn(name).then(() => this.#append(batch, i));
      const keyBytes = bytesOf(key?.(value) ?? null);
      const at = timestamps?.[i] ?? -1;
      this.#producer.append(name, this.#partitionOf(value, keyBytes, partitions), {
        key: keyBytes,
        value: format.encode(value),
        timestamp: at >= 0 && Number.isFinite(at) ? Math.floor(at) : this.#context.clock.wallMs(),
        headers: headers?.(value),
      });
    }
    const room = this.#producer.waitForRoom();
    return room === undefined ? undefined : (this.#session?.guard(room) ?? room);
  }

  #partitionOf(value: T, key: Uint8Array | null, partitions: number): number {
    const { partition } = this.#options;
    if (partition !== undefined) {
      const chosen = partition(value, partitions);
      if (!Number.isInteger(chosen) || chosen < 0 || chosen >= partitions)
        throw invalid(
          'KAFKA_BAD_PARTITION',
          `the sink's partition function returned ${chosen}; it returns a number from 0 to ${partitions - 1}`,
        );
      return chosen;
    }
    return key === null ? this.#turn % partitions : partitionOfKey(key, partitions);
  }

  async #learn(topic: string): Promise<void> {
    const { partitions } = await this.#client.learn(topic);
    this.#partitions.set(topic, partitions.length);
  }

  /** Partitions may have been added. */
  async #refresh(): Promise<void> {
    const nowMs = this.#context.clock.monotonicMs();
    if (nowMs - this.#refreshedMs < METADATA_AGE_MS) return;
    this.#refreshedMs = nowMs;
    const topics = [...this.#partitions.keys()];
    const metadata = await this.#client.persist('metadata', () => this.#client.metadata(topics));
    for (const { topic, partitions, errorCode } of metadata.topics)
      if (errorCode === 0) this.#partitions.set(topic, partitions.length);
  }
}

const METADATA_AGE_MS = 5 * 60_000;

const producerOptionsOf = <T>(options: KafkaSinkOptions<T>): ProducerOptions => ({
  compression: options.compression ?? 'none',
  batchBytesMax: options.batchBytes ?? MIB / 2,
  requestBytesMax: 4 * MIB,
  bufferBytes: options.bufferBytes ?? 32 * MIB,
  lingerMs: durationMs(options.linger ?? 10),
  deliveryTimeoutMs: timeoutsOf(options).deliveryMs,
});

const bytesOf = (key: string | Uint8Array | null): Uint8Array | null =>
  typeof key === 'string' ? Buffer.from(key) : key;
