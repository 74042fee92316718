/**
 * A Kafka cluster in the simulated world: topics, transactions, producers that are fenced, and everything that goes wrong on the way.
 *
 * A request travels, takes effect at one instant, and its answer travels back, in the order of its channel. What can go wrong, by seed:
 *   not reached  it is never sent (`KAFKA_NOT_REACHED`); during an outage, always
 *   lost         it has its effect, and the caller gets `KAFKA_NO_ANSWER`
 *   late         the caller gets `KAFKA_NO_ANSWER`, and it has its effect long after: a delayed EndTxn or Produce
 *   moved        the leader or coordinator is another node by now, which the one that was asked says
 *   crash        the caller dies while it is under way: it has its effect or not
 * Effects are durable at once. Transactions time out, and markers reach partitions some time after a commit was answered.
 */
import { MillraceError } from '../base/errors.ts';
import { KafkaError } from '../../connectors/kafka/error-codes.ts';
import { splitIdOf } from '../../connectors/kafka/kafka-split.ts';
import { RecordCursor } from '../../connectors/kafka/record-cursor.ts';
import {
  EARLIEST_OFFSET,
  type FetchAnswer,
  type FetchPartition,
  type FetchRequest,
  type FetchedPartition,
  type Isolation,
  type KafkaCluster,
  type KafkaTransport,
  LATEST_OFFSET,
  type ListedOffset,
  type Metadata,
  type OffsetQuery,
  type ProducedPartition,
  type ProducePartition,
  type ProduceRequest,
  type TopicInfo,
  type TopicPartition,
} from '../../connectors/kafka/transport.ts';
import type { SeededRandom } from './seeded-random.ts';
import { SimLog } from './sim-log.ts';
import type { SimNode } from './sim-node.ts';
import type { SimScheduler } from './sim-scheduler.ts';
import { SimTransactions } from './sim-transactions.ts';

export interface BrokerFaults {
  readonly latencyLeastMs: number;
  readonly latencyMostMs: number;
  readonly notReachedProbability: number;
  readonly lostAnswerProbability: number;
  readonly lateProbability: number;
  readonly lateMostMs: number;
  /** Of a request, that leaders and coordinators move before it. */
  readonly moveProbability: number;
}

export const CALM_BROKER: BrokerFaults = {
  latencyLeastMs: 0.2,
  latencyMostMs: 3,
  notReachedProbability: 0,
  lostAnswerProbability: 0,
  lateProbability: 0,
  lateMostMs: 0,
  moveProbability: 0,
};

export interface SimTopic {
  readonly topic: string;
  readonly topicId: string;
  readonly logs: readonly SimLog[];
}

const NODES = 2;
const EXPIRE_INTERVAL_MS = 500;
const MARKER_MOST_MS = 20;
/** As clients wait for an answer. */
const REQUEST_TIMEOUT_MS = 1000;

/** The state all handles share. */
export class SimBroker {
  faults: BrokerFaults;
  /** While true nothing is reached. */
  down = false;
  /** Whether transactional batches are checked with the coordinator: brokers since 3.6. */
  verifiesBatches = true;
  readonly scheduler: SimScheduler;
  readonly random: SeededRandom;
  readonly transactions: SimTransactions;
  readonly topics = new Map<string, SimTopic>();
  readonly groups = new Map<string, Map<string, number>>();
  /** Changes with every move. */
  #term = 0;
  #expiring = false;

  constructor(scheduler: SimScheduler, faults: BrokerFaults = CALM_BROKER) {
    this.scheduler = scheduler;
    this.random = scheduler.random.fork('broker');
    this.faults = faults;
    this.transactions = new SimTransactions({
      nowMs: () => scheduler.nowMs,
      writeMarkers: (identity, partitions, commit, done) => {
        scheduler.after(this.random.float(0, MARKER_MOST_MS), 'broker writes markers', () => {
          for (const { topic, partition } of partitions)
            this.log(topic, partition)?.mark(identity, commit, scheduler.nowMs);
          done();
        });
      },
    });
  }

  createTopic(topic: string, partitions: number): SimTopic {
    const topicId = `id-of-${topic}`;
    const created = {
      topic,
      topicId,
      logs: Array.from({ length: partitions }, () => new SimLog()),
    };
    this.topics.set(topic, created);
    return created;
  }

  log(topic: string, partition: number): SimLog | undefined {
    return this.topics.get(topic)?.logs[partition];
  }

  /** The cluster as `node` uses it. */
  of(node: SimNode): KafkaCluster {
    this.#expireForEver();
    return { name: 'simulated', open: () => new SimTransport(this, node) };
  }

  /** What readers of committed records see of a topic, partition by partition, in order: for checkers. */
  committed(topic: string): string[][] {
    return this.topics.get(topic)!.logs.map((log) => {
      const upTo = log.lastStableOffset;
      const cursor = new RecordCursor({
        records: log.read(0, upTo, Number.POSITIVE_INFINITY),
        aborted: log.aborted(0, upTo),
        isolation: 'read_committed',
        fromOffset: 0,
      });
      const values: string[] = [];
      while (cursor.next()) values.push(cursor.value?.toString() ?? '');
      return values;
    });
  }

  leaderOf(topic: string, partition: number): number {
    return (topic.length + partition + this.#term) % NODES;
  }

  coordinatorOf(key: string): number {
    return (key.length + this.#term) % NODES;
  }

  maybeMove(): void {
    if (this.random.chance(this.faults.moveProbability)) this.#term++;
  }

  metadata(topics: readonly string[] | null): Metadata {
    const names = topics ?? [...this.topics.keys()];
    return {
      brokers: Array.from({ length: NODES }, (_, id) => ({ id, host: 'simulated', port: 1 + id })),
      topics: names.map((topic) => this.#describe(topic)),
    };
  }

  #describe(topic: string): TopicInfo {
    const known = this.topics.get(topic);
    if (known === undefined)
      return {
        ...{ topic, topicId: '', internal: false, partitions: [] },
        errorCode: KafkaError.UNKNOWN_TOPIC_OR_PARTITION,
      };
    const partitions = known.logs.map((_, partition) => ({
      ...{ partition, errorCode: 0, leader: this.leaderOf(topic, partition) },
    }));
    return { topic, topicId: known.topicId, errorCode: 0, internal: false, partitions };
  }

  #expireForEver(): void {
    if (this.#expiring) return;
    this.#expiring = true;
    const expire = (): void => {
      this.transactions.expire();
      this.scheduler.after(EXPIRE_INTERVAL_MS, 'broker expires transactions', expire);
    };
    this.scheduler.after(EXPIRE_INTERVAL_MS, 'broker expires transactions', expire);
  }
}

/** When the last request of a channel arrives, and its answer. */
interface Channel {
  arrivesMs: number;
  answeredMs: number;
}

class SimTransport implements KafkaTransport {
  readonly #broker: SimBroker;
  readonly #node: SimNode;
  readonly #channels = new Map<string, Channel>();
  #closed = false;

  constructor(broker: SimBroker, node: SimNode) {
    this.#broker = broker;
    this.#node = node;
  }

  metadata: KafkaTransport['metadata'] = (topics) =>
    this.#request('metadata', 0, () => this.#broker.metadata(topics));

  findCoordinator: KafkaTransport['findCoordinator'] = (_kind, key) =>
    this.#request('findCoordinator', 0, () => ({
      errorCode: 0,
      node: { id: this.#broker.coordinatorOf(key), host: 'simulated', port: 1 },
    }));

  listOffsets: KafkaTransport['listOffsets'] = (node, isolation, queries) =>
    this.#request('listOffsets', node, () =>
      queries.map((query) => this.#listOffset(node, isolation, query)),
    );

  fetchRecords(node: number, request: FetchRequest): Promise<FetchAnswer> {
    const fetch = (): FetchAnswer => ({
      errorCode: 0,
      partitions: request.partitions.map((part) => this.#fetch(node, request, part)),
    });
    const worthAnswering = (answer: FetchAnswer): boolean =>
      answer.partitions.some((part) => part.errorCode !== 0 || part.records.length > 0);
    return this.#request('fetch', node, fetch, {
      waitMs: request.waitMsMax,
      worthAnswering,
      channel: 'fetch',
    });
  }

  produce(node: number, request: ProduceRequest): Promise<readonly ProducedPartition[]> {
    return this.#request(
      'produce',
      node,
      () => request.partitions.map((part) => this.#produce(node, request, part)),
      { channel: 'produce' },
    );
  }

  initProducerId: KafkaTransport['initProducerId'] = (node, request) =>
    this.#request('initProducerId', node, () =>
      this.#coordinates(node, request.transactionalId)
        ? this.#broker.transactions.initProducerId(request)
        : { errorCode: KafkaError.NOT_COORDINATOR, producerId: -1, producerEpoch: -1 },
    );

  addPartitionsToTransaction: KafkaTransport['addPartitionsToTransaction'] = (node, request) =>
    this.#request('addPartitions', node, () => {
      const errorCode = this.#coordinates(node, request.transactionalId)
        ? this.#broker.transactions.addPartitions(request)
        : KafkaError.NOT_COORDINATOR;
      return request.partitions.map((partition) => ({ ...partition, errorCode }));
    });

  endTransaction: KafkaTransport['endTransaction'] = (node, request) =>
    this.#request('endTransaction', node, () =>
      this.#coordinates(node, request.transactionalId)
        ? this.#broker.transactions.endTransaction(request)
        : KafkaError.NOT_COORDINATOR,
    );

  commitGroupOffsets: KafkaTransport['commitGroupOffsets'] = (node, groupId, offsets) =>
    this.#request('commitGroupOffsets', node, () => {
      if (!this.#coordinates(node, groupId))
        return offsets.map((entry) => ({ ...entry, errorCode: KafkaError.NOT_COORDINATOR }));
      const group = this.#broker.groups.get(groupId) ?? new Map<string, number>();
      this.#broker.groups.set(groupId, group);
      for (const { topic, partition, offset } of offsets)
        group.set(splitIdOf(topic, partition), offset);
      return offsets.map((entry) => ({ ...entry, errorCode: 0 }));
    });

  fetchGroupOffsets: KafkaTransport['fetchGroupOffsets'] = (node, groupId, partitions) =>
    this.#request('fetchGroupOffsets', node, () => {
      if (!this.#coordinates(node, groupId))
        return { errorCode: KafkaError.NOT_COORDINATOR, offsets: [] };
      const group = this.#broker.groups.get(groupId);
      const offsetOf = ({ topic, partition }: TopicPartition): number =>
        group?.get(splitIdOf(topic, partition)) ?? -1;
      return {
        errorCode: 0,
        offsets: partitions.map((entry) => ({ ...entry, offset: offsetOf(entry), errorCode: 0 })),
      };
    });

  listTransactions: KafkaTransport['listTransactions'] = (node, states) =>
    this.#request('listTransactions', node, () => ({
      errorCode: 0,
      transactions: this.#broker.transactions
        .list(states)
        .filter(({ transactionalId }) => this.#coordinates(node, transactionalId)),
    }));

  async close(): Promise<void> {
    this.#closed = true;
  }

  #coordinates(node: number, key: string | null): boolean {
    return key === null || this.#broker.coordinatorOf(key) === node;
  }

  #listOffset(node: number, isolation: Isolation, query: OffsetQuery): ListedOffset {
    const { topic, partition, timestamp } = query;
    const log = this.#broker.log(topic, partition);
    if (log === undefined || this.#broker.leaderOf(topic, partition) !== node)
      return { topic, partition, errorCode: KafkaError.NOT_LEADER_OR_FOLLOWER, offset: -1 };
    const end = isolation === 'read_committed' ? log.lastStableOffset : log.highWatermark;
    const offset = timestamp === EARLIEST_OFFSET ? 0 : timestamp === LATEST_OFFSET ? end : -1;
    return { topic, partition, errorCode: 0, offset };
  }

  #fetch(
    node: number,
    { isolation }: FetchRequest,
    { topic, topicId, partition, offset, bytesMax }: FetchPartition,
  ): FetchedPartition {
    const log = this.#broker.log(topic, partition);
    const led = log !== undefined && this.#broker.leaderOf(topic, partition) === node;
    const upTo = isolation === 'read_committed' ? log?.lastStableOffset : log?.highWatermark;
    const facts = {
      ...{ topicId, partition, aborted: [], records: Buffer.alloc(0) },
      highWatermark: log?.highWatermark ?? -1,
      lastStableOffset: log?.lastStableOffset ?? -1,
    };
    if (!led || upTo === undefined)
      return { ...facts, errorCode: KafkaError.NOT_LEADER_OR_FOLLOWER };
    if (offset > log.highWatermark) return { ...facts, errorCode: KafkaError.OFFSET_OUT_OF_RANGE };
    return {
      ...facts,
      errorCode: 0,
      records: log.read(offset, upTo, bytesMax),
      aborted: isolation === 'read_committed' ? log.aborted(offset, upTo) : [],
    };
  }

  #produce(
    node: number,
    { transactionalId }: ProduceRequest,
    { topic, partition, records }: ProducePartition,
  ): ProducedPartition {
    const broker = this.#broker;
    const log = broker.log(topic, partition);
    const answer = { topic, partition, errorMessage: null, baseOffset: -1 };
    if (log === undefined || broker.leaderOf(topic, partition) !== node)
      return { ...answer, errorCode: KafkaError.NOT_LEADER_OR_FOLLOWER };
    if (transactionalId !== null && broker.verifiesBatches) {
      const producer = {
        producerId: Number(records.readBigInt64BE(43)),
        producerEpoch: records.readInt16BE(51),
      };
      if (
        !log.isOpen(producer.producerId) &&
        !broker.transactions.admits(transactionalId, producer, topic, partition)
      )
        return {
          ...answer,
          errorCode:
            log.epochOf(producer.producerId) > producer.producerEpoch
              ? KafkaError.INVALID_PRODUCER_EPOCH
              : KafkaError.INVALID_TXN_STATE,
        };
    }
    return { ...answer, ...log.append(records) };
  }

  #request<T>(
    what: string,
    node: number,
    effect: () => T,
    options: {
      readonly channel?: string;
      readonly waitMs?: number;
      worthAnswering?(answer: T): boolean;
    } = {},
  ): Promise<T> {
    const broker = this.#broker;
    const { random, faults, scheduler } = broker;
    if (this.#closed)
      return Promise.reject(
        new MillraceError('cancelled', 'KAFKA_CLOSED', 'the connection is closed'),
      );
    const reached = !broker.down && !random.chance(faults.notReachedProbability);
    const late = random.chance(faults.lateProbability);
    const lost = late || random.chance(faults.lostAnswerProbability);
    const survivesCrash = random.chance(0.5);
    const { waitMs = 0, worthAnswering = () => true, channel = '' } = options;
    return new Promise((resolve, reject) => {
      const travel = (): number => random.float(faults.latencyLeastMs, faults.latencyMostMs) / 2;
      if (!reached) {
        this.#node.after(travel(), `${what} not reached`, () =>
          reject(failure('KAFKA_NOT_REACHED', what)),
        );
        return;
      }
      const line = this.#channel(`${node}/${channel}`);
      const arrivesMs = Math.max(line.arrivesMs, scheduler.nowMs + travel());
      line.arrivesMs = arrivesMs;
      const answer = (settle: () => void, delayMs = travel()): void => {
        line.answeredMs = Math.max(line.answeredMs, scheduler.nowMs + delayMs);
        this.#node.after(line.answeredMs - scheduler.nowMs, `answer ${what}`, settle);
      };
      const takeEffect = (patienceMs: number): void => {
        if (!this.#node.alive && !survivesCrash) return;
        broker.maybeMove();
        const result = effect();
        if (patienceMs > 0 && !worthAnswering(result)) {
          scheduler.after(patienceMs, `broker ${what} after waiting`, () => takeEffect(0));
          return;
        }
        if (!lost) answer(() => resolve(result));
      };
      const delayMs = late ? random.float(0, faults.lateMostMs) : 0;
      scheduler.after(arrivesMs - scheduler.nowMs + delayMs, `${this.#node.name} ${what}`, () =>
        takeEffect(waitMs),
      );
      if (lost)
        this.#node.after(REQUEST_TIMEOUT_MS + waitMs, `${what} timed out`, () => {
          this.#channels.clear(); // a new connection
          reject(failure('KAFKA_NO_ANSWER', what));
        });
    });
  }

  #channel(name: string): Channel {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { arrivesMs: 0, answeredMs: 0 };
      this.#channels.set(name, channel);
    }
    return channel;
  }
}

const failure = (code: string, what: string): MillraceError =>
  new MillraceError('unavailable', code, `${what}: the simulated broker did not answer`);
