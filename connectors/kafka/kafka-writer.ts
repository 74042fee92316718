/**
 * The first phase of the sink: gives records to a producer, and names the open transaction at each barrier.
 *
 * A transaction is begun before the first record after a barrier, so that a subtask without records has none; the first one when the sink
 * opens, so that what the broker refuses is told before there is data.
 */
import { durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { Committable, SinkWriter, SinkWriterContext } from '../../src/connector/sink.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import { ClusterClient, failureOf } from './cluster-client.ts';
import { KafkaError } from './error-codes.ts';
import type { KafkaCommittable } from './kafka-committer.ts';
import { type KafkaSinkOptions, timeoutsOf } from './kafka-sink-options.ts';
import { partitionOfKey } from './murmur2.ts';
import { Producer, type ProducerOptions } from './producer.ts';
import type { SharedTransactions } from './shared-transactions.ts';
import { TransactionSession } from './transaction-session.ts';
import { NO_PRODUCER } from './transport.ts';

export class KafkaWriter<T> implements SinkWriter<T> {
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
      if (answer.errorCode !== 0) throw failureOf('initialising the producer', answer.errorCode);
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

const MIB = 1024 * 1024;
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
