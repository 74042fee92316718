/**
 * Gathers records into batches by partition and sends them, idempotently: one request at a time to each leader, everything that is ready in it.
 *
 * Invariants
 *  P1  Records of a partition are stored in the order in which they were given, each once: a batch is sent again under the same sequence
 *      until the broker has answered for it, and the next one of its partition only then.
 *  P2  In a transaction no batch is sent before the coordinator knows its partition.
 *  P3  The identity changes only while nothing is open, waiting or under way; sequences begin at 0 with each identity.
 *  P4  The first failure is final: it rejects what waits and everything after. The task restarts from its checkpoint.
 *
 * Memory: `bufferBytes` and what one call of `append` adds; `waitForRoom` is the backpressure.
 */
import { assert, asError, MillraceError } from '../../src/base/errors.ts';
import type { Timer } from '../../src/base/world.ts';
import { type ClusterClient, failureOf, isUnavailable } from './cluster-client.ts';
import { errorName, isFenced, isStaleLeader, isTransient, KafkaError } from './error-codes.ts';
import type { KafkaHeaders } from './kafka-record.ts';
import { type Compression, RecordBatchBuilder, recordBytesMost } from './record-batch-builder.ts';
import type {
  ProducedPartition,
  ProducerIdentity,
  TopicPartition,
  TransportServices,
} from './transport.ts';

export interface ProducerOptions {
  readonly compression: Compression;
  /** Of a batch before compression; a larger record has a batch of its own. */
  readonly batchBytesMax: number;
  readonly requestBytesMax: number;
  readonly bufferBytes: number;
  readonly lingerMs: number;
  /** How long a batch may go undelivered. */
  readonly deliveryTimeoutMs: number;
}

export interface TransactionIdentity extends ProducerIdentity {
  /** Null: idempotent, without transactions. */
  readonly transactionalId: string | null;
  /** Registers partitions with the coordinator (P2). */
  addPartitions(partitions: readonly TopicPartition[]): Promise<void>;
}

/** The last record of the current identity in some partition: where the end of its transaction is looked for. */
export interface Witness extends TopicPartition {
  readonly offset: number;
}

interface Batch {
  readonly records: Buffer;
  readonly firstMs: number;
}

interface Lane extends TopicPartition {
  readonly key: string;
  builder: RecordBatchBuilder | undefined;
  readonly queue: Batch[];
  /** The head of the queue is under way. */
  sent: boolean;
  sequence: number;
  added: boolean;
  lastOffset: number;
}

const PRODUCE_TIMEOUT_MS = 30_000;
const BACKOFF_LEAST_MS = 20;
const BACKOFF_MOST_MS = 1000;
const SEQUENCE_LIMIT = 2 ** 31;

export class Producer {
  readonly #client: ClusterClient;
  readonly #services: TransportServices;
  readonly #options: ProducerOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #busy = new Set<number>();
  #identity: TransactionIdentity | undefined;
  #bufferedBytes = 0;
  #linger: Timer | undefined;
  #failure: Error | undefined;
  /** Whoever waits for fewer bytes than this. */
  #waiting: { readonly bytes: number; resolve(): void; reject(error: Error): void }[] = [];
  #recordsSent = 0;

  constructor(client: ClusterClient, services: TransportServices, options: ProducerOptions) {
    this.#client = client;
    this.#services = services;
    this.#options = options;
  }

  /** Records given to the current identity. */
  get recordsSent(): number {
    return this.#recordsSent;
  }

  /** P3 */
  use(identity: TransactionIdentity): void {
    assert(this.#bufferedBytes === 0, 'a producer changes its identity only when all is delivered');
    this.#identity = identity;
    this.#lanes.clear();
    this.#recordsSent = 0;
  }

  /** Where a record of this identity was stored last; undefined when none was. */
  witness(): Witness | undefined {
    for (const { topic, partition, lastOffset } of this.#lanes.values())
      if (lastOffset >= 0) return { topic, partition, offset: lastOffset };
    return undefined;
  }

  append(
    topic: string,
    partition: number,
    record: {
      readonly key: Uint8Array | null;
      readonly value: Uint8Array | null;
      readonly timestamp: number;
      readonly headers: KafkaHeaders | undefined;
    },
  ): void {
    if (this.#failure !== undefined) throw this.#failure;
    const lane = this.#lane(topic, partition);
    const { key, value, timestamp, headers } = record;
    const most = recordBytesMost(key, value);
    if (lane.builder !== undefined && lane.builder.bytes + most > this.#options.batchBytesMax)
      this.#seal(lane);
    const builder = (lane.builder ??= new RecordBatchBuilder());
    const before = builder.bytes;
    builder.append(key, value, timestamp, headers);
    this.#bufferedBytes += builder.bytes - before;
    this.#recordsSent++;
    this.#linger ??= this.#services.timers.after(this.#options.lingerMs, () => this.#onLinger());
  }

  /** A promise when more is buffered than should be. */
  waitForRoom(): Promise<void> | undefined {
    const { bufferBytes } = this.#options;
    return this.#bufferedBytes <= bufferBytes ? undefined : this.#until(bufferBytes / 2);
  }

  /** Everything that was appended is stored by the broker when this settles. */
  async flush(): Promise<void> {
    this.#sealAll();
    await this.#until(0);
  }

  close(): void {
    this.#linger?.cancel();
    this.#fail(new MillraceError('cancelled', 'KAFKA_CLOSED', 'the Kafka producer is closed'));
  }

  #until(bytes: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#bufferedBytes <= bytes) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ bytes, resolve, reject }));
  }

  #lane(topic: string, partition: number): Lane {
    const key = `${topic} ${partition}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = {
        ...{ key, topic, partition, builder: undefined, queue: [], sent: false },
        ...{ sequence: 0, added: false, lastOffset: -1 },
      };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #sealAll(): void {
    this.#linger?.cancel();
    this.#linger = undefined;
    for (const lane of this.#lanes.values()) if (lane.builder !== undefined) this.#seal(lane);
  }

  #onLinger(): void {
    try {
      this.#sealAll();
    } catch (error) {
      this.#fail(asError(error));
    }
  }

  #seal(lane: Lane): void {
    const builder = lane.builder!; // callers look first
    const identity = this.#identity;
    assert(identity !== undefined, 'records are appended under an identity');
    lane.builder = undefined;
    const records = builder.build(
      {
        producerId: identity.producerId,
        producerEpoch: identity.producerEpoch,
        baseSequence: lane.sequence,
        transactional: identity.transactionalId !== null,
      },
      this.#options.compression,
    );
    lane.sequence = (lane.sequence + builder.count) % SEQUENCE_LIMIT;
    this.#bufferedBytes += records.length - (builder.bytes - HEADER_BYTES);
    lane.queue.push({ records, firstMs: this.#services.clock.monotonicMs() });
    this.#kick();
  }

  /** Starts a loop for each leader that has something to be sent and none under way. */
  #kick(): void {
    if (this.#failure !== undefined) return;
    for (const lane of this.#lanes.values()) {
      const node = this.#client.leaderOf(lane.topic, lane.partition);
      if (lane.queue.length > 0 && !lane.sent && !this.#busy.has(node)) this.#run(node);
    }
  }

  #run(node: number): void {
    this.#busy.add(node);
    this.#sendLoop(node).then(
      () => {
        this.#busy.delete(node);
        this.#kick();
      },
      (error: unknown) => this.#fail(asError(error)),
    );
  }

  async #sendLoop(node: number): Promise<void> {
    for (let backoffMs = BACKOFF_LEAST_MS; this.#failure === undefined;) {
      const lanes = this.#ready(node);
      if (lanes.length === 0) return;
      this.#checkDeadlines(lanes);
      const good = node >= 0 && (await this.#sendOnce(node, lanes));
      if (good) backoffMs = BACKOFF_LEAST_MS;
      else {
        await this.#client.pause(backoffMs);
        backoffMs = Math.min(BACKOFF_MOST_MS, backoffMs * 2);
        await this.#client.refresh().catch((error: unknown) => {
          if (!isUnavailable(error)) throw error;
        });
      }
    }
  }

  /** The lanes of a leader whose head can go, as many as fit a request. */
  #ready(node: number): Lane[] {
    const lanes: Lane[] = [];
    let bytes = 0;
    for (const lane of this.#lanes.values()) {
      const head = lane.queue[0];
      if (head === undefined || lane.sent) continue;
      if (this.#client.leaderOf(lane.topic, lane.partition) !== node) continue;
      bytes += head.records.length;
      if (lanes.length > 0 && bytes > this.#options.requestBytesMax) break;
      lanes.push(lane);
    }
    return lanes;
  }

  #checkDeadlines(lanes: readonly Lane[]): void {
    const { deliveryTimeoutMs } = this.#options;
    const oldestMs = this.#services.clock.monotonicMs() - deliveryTimeoutMs;
    const late = lanes.find(({ queue }) => queue[0]!.firstMs < oldestMs); // ready lanes have a head
    if (late === undefined) return;
    throw new MillraceError(
      'unavailable',
      'KAFKA_DELIVERY_TIMED_OUT',
      `records for ${late.topic}-${late.partition} could not be stored for ${deliveryTimeoutMs} ms. Check that its leader is up, and that enough replicas are in sync (min.insync.replicas)`,
      { details: { topic: late.topic, partition: late.partition } },
    );
  }

  /** False: something is to be sent again after a pause. */
  async #sendOnce(node: number, lanes: readonly Lane[]): Promise<boolean> {
    const identity = this.#identity!; // a lane with batches has one
    const fresh = lanes.filter(({ added }) => !added);
    if (identity.transactionalId !== null && fresh.length > 0) {
      await identity.addPartitions(fresh.map(({ topic, partition }) => ({ topic, partition })));
      for (const lane of fresh) lane.added = true;
    }
    for (const lane of lanes) lane.sent = true;
    try {
      const answers = await this.#client.transport.produce(node, {
        transactionalId: identity.transactionalId,
        timeoutMs: PRODUCE_TIMEOUT_MS,
        partitions: lanes.map(({ topic, partition, queue }) => ({
          topic,
          partition,
          records: queue[0]!.records, // ready lanes have a head
        })),
      });
      return this.#settle(lanes, answers);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      return false; // P1: the broker may have stored it; the same sequence again says so
    } finally {
      for (const lane of lanes) lane.sent = false;
    }
  }

  #settle(lanes: readonly Lane[], answers: readonly ProducedPartition[]): boolean {
    let good = true;
    for (const answer of answers) {
      const lane = lanes.find(
        ({ topic, partition }) => topic === answer.topic && partition === answer.partition,
      );
      if (lane === undefined) continue;
      const { errorCode } = answer;
      if (errorCode === 0 || errorCode === KafkaError.DUPLICATE_SEQUENCE_NUMBER)
        this.#delivered(lane, answer);
      else if (isStaleLeader(errorCode) || isTransient(errorCode)) good = false;
      else throw produceFailure(lane, lane.queue[0]!.records.length, answer); // it was sent
    }
    return good;
  }

  #delivered(lane: Lane, { errorCode, baseOffset }: ProducedPartition): void {
    const { records } = lane.queue.shift()!; // it was sent
    this.#bufferedBytes -= records.length;
    // A broker that has forgotten where a duplicate is answers -1; the batch before, if any, is a witness as good.
    if (errorCode === 0 && baseOffset >= 0)
      lane.lastOffset = baseOffset + records.readInt32BE(LAST_OFFSET_DELTA_AT);
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = waiting.filter(({ bytes }) => this.#bufferedBytes > bytes);
    for (const waiter of waiting) if (this.#bufferedBytes <= waiter.bytes) waiter.resolve();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}

const HEADER_BYTES = 61;
const LAST_OFFSET_DELTA_AT = 23;

/** What a refused batch means for the task. */
function produceFailure(
  { topic, partition }: TopicPartition,
  bytes: number,
  { errorCode, errorMessage }: ProducedPartition,
): MillraceError {
  const details = { topic, partition, kafkaError: errorName(errorCode), errorMessage };
  const where = `${topic}-${partition}`;
  if (errorCode === KafkaError.MESSAGE_TOO_LARGE || errorCode === KafkaError.RECORD_LIST_TOO_LARGE)
    return new MillraceError(
      'data',
      'KAFKA_RECORD_TOO_LARGE',
      `${where}: the broker takes no batch of ${bytes} bytes. Raise the topic's max.message.bytes, lower the sink's batchBytes, or write smaller records`,
      { details },
    );
  if (isFenced(errorCode))
    return new MillraceError(
      'fenced',
      'KAFKA_PRODUCER_FENCED',
      `${where}: ${errorName(errorCode)}`,
      {
        details,
      },
    );
  if (errorCode === KafkaError.INVALID_RECORD || errorCode === KafkaError.INVALID_TIMESTAMP)
    return new MillraceError(
      'data',
      'KAFKA_RECORD_REFUSED',
      `${where}: ${errorName(errorCode)}: ${errorMessage ?? 'no reason given'}. A compacted topic needs keys; message.timestamp.* bounds timestamps`,
      { details },
    );
  if (
    errorCode === KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER ||
    errorCode === KafkaError.UNKNOWN_PRODUCER_ID ||
    errorCode === KafkaError.INVALID_TXN_STATE ||
    errorCode === KafkaError.TRANSACTION_ABORTABLE
  )
    return new MillraceError(
      'unavailable',
      'KAFKA_PRODUCER_BROKEN',
      `${where}: ${errorName(errorCode)}: what was sent cannot be completed by this producer; the task starts again from its checkpoint`,
      { details },
    );
  return failureOf(`writing to ${where}`, errorCode);
}
