/**
 * What the connector asks of a Kafka cluster: one method a request, error codes as data.
 *
 * The source and the sink are written against this interface alone, so that the same logic runs against real brokers
 * (`socket-transport.ts`) and against the model broker of the simulator.
 *
 * Contract
 *  T1  A method rejects only when no answer came: `unavailable` KAFKA_NOT_REACHED when the request was not sent, `unavailable` KAFKA_NO_ANSWER
 *      when it may or may not have had its effect; `invalid` where the connection can never be had (authentication, TLS). What a
 *      broker answers is data, its error codes included.
 *  T2  Requests to one node over one channel take effect in the order in which they were made.
 *  T3  Answers are not kept or changed by the transport; buffers belong to whoever receives them.
 */
import type { Clock, Logger, Timers } from '../../src/base/world.ts';

export interface TransportServices {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
}

/** A cluster that can be connected to; each reader, writer and committer opens a transport of its own. */
export interface KafkaCluster {
  /** For messages and logs. */
  readonly name: string;
  open(services: TransportServices): KafkaTransport;
}

export interface Broker {
  readonly id: number;
  readonly host: string;
  readonly port: number;
}

export interface PartitionInfo {
  readonly partition: number;
  /** -1: none at the moment. */
  readonly leader: number;
  readonly errorCode: number;
}

export interface TopicInfo {
  readonly topic: string;
  readonly topicId: string;
  readonly errorCode: number;
  readonly internal: boolean;
  readonly partitions: readonly PartitionInfo[];
}

export interface Metadata {
  readonly brokers: readonly Broker[];
  readonly topics: readonly TopicInfo[];
}

export type CoordinatorKind = 'group' | 'transaction';

export interface Coordinator {
  readonly errorCode: number;
  readonly node: Broker;
}

export type Isolation = 'read_committed' | 'read_uncommitted';

export interface OffsetQuery {
  readonly topic: string;
  readonly partition: number;
  /** Epoch milliseconds, or LATEST_OFFSET or EARLIEST_OFFSET. */
  readonly timestamp: number;
}
export const LATEST_OFFSET = -1;
export const EARLIEST_OFFSET = -2;

export interface ListedOffset {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  /** -1: no record is that new. */
  readonly offset: number;
}

export interface FetchPartition {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax: number;
}

export interface FetchRequest {
  readonly isolation: Isolation;
  readonly waitMsMax: number;
  readonly bytesMax: number;
  readonly partitions: readonly FetchPartition[];
}

export interface AbortedTransaction {
  readonly producerId: number;
  readonly firstOffset: number;
}

export interface FetchedPartition {
  readonly topicId: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  /** In the order of `firstOffset`; empty when reading uncommitted. */
  readonly aborted: readonly AbortedTransaction[];
  /** Whole record batches, the last one possibly cut. */
  readonly records: Buffer;
}

export interface FetchAnswer {
  readonly errorCode: number;
  readonly partitions: readonly FetchedPartition[];
}

export interface ProducePartition {
  readonly topic: string;
  readonly partition: number;
  /** One record batch. */
  readonly records: Buffer;
}

export interface ProduceRequest {
  readonly transactionalId: string | null;
  readonly timeoutMs: number;
  readonly partitions: readonly ProducePartition[];
}

export interface ProducedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly errorMessage: string | null;
  readonly baseOffset: number;
}

/** A producer as the broker knows it: an id and the epoch that fences its earlier selves. */
export interface ProducerIdentity {
  readonly producerId: number;
  readonly producerEpoch: number;
}
/** Asks for whatever the broker gives. */
export const NO_PRODUCER: ProducerIdentity = { producerId: -1, producerEpoch: -1 };

export interface InitProducerIdRequest extends ProducerIdentity {
  readonly transactionalId: string | null;
  readonly transactionTimeoutMs: number;
}

export interface InitProducerIdAnswer extends ProducerIdentity {
  readonly errorCode: number;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface PartitionResult extends TopicPartition {
  readonly errorCode: number;
}

export interface AddPartitionsRequest extends ProducerIdentity {
  readonly transactionalId: string;
  readonly partitions: readonly TopicPartition[];
}

export interface EndTransactionRequest extends ProducerIdentity {
  readonly transactionalId: string;
  readonly commit: boolean;
}

export interface GroupOffset extends TopicPartition {
  /** The next offset to read; -1: none is committed. */
  readonly offset: number;
}

export interface GroupOffsets {
  readonly errorCode: number;
  readonly offsets: readonly (GroupOffset & { readonly errorCode: number })[];
}

export interface ListedTransaction {
  readonly transactionalId: string;
  readonly producerId: number;
  /** Kafka's names: Ongoing, PrepareCommit, CompleteCommit, ... */
  readonly state: string;
}

export interface ListedTransactions {
  readonly errorCode: number;
  readonly transactions: readonly ListedTransaction[];
}

export interface KafkaTransport {
  /** `topics` null: all that the client may see. Asks any broker that answers. */
  metadata(topics: readonly string[] | null): Promise<Metadata>;
  findCoordinator(kind: CoordinatorKind, key: string): Promise<Coordinator>;
  listOffsets(
    node: number,
    isolation: Isolation,
    queries: readonly OffsetQuery[],
  ): Promise<readonly ListedOffset[]>;
  /** Waits at the broker: has a channel of its own, so that it holds up nothing else. */
  fetchRecords(node: number, request: FetchRequest): Promise<FetchAnswer>;
  produce(node: number, request: ProduceRequest): Promise<readonly ProducedPartition[]>;
  /** Without a transactional id any broker may answer. */
  initProducerId(node: number, request: InitProducerIdRequest): Promise<InitProducerIdAnswer>;
  addPartitionsToTransaction(
    node: number,
    request: AddPartitionsRequest,
  ): Promise<readonly PartitionResult[]>;
  /** The error code. */
  endTransaction(node: number, request: EndTransactionRequest): Promise<number>;
  commitGroupOffsets(
    node: number,
    groupId: string,
    offsets: readonly GroupOffset[],
  ): Promise<readonly PartitionResult[]>;
  fetchGroupOffsets(
    node: number,
    groupId: string,
    partitions: readonly TopicPartition[],
  ): Promise<GroupOffsets>;
  /** Of all transactional ids whose coordinator `node` is. `states` empty: all. */
  listTransactions(node: number, states: readonly string[]): Promise<ListedTransactions>;
  close(): Promise<void>;
}
