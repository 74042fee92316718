/**
 * A transport with a memory: who leads a partition, who coordinates a group or transaction, and patience.
 *
 * `persist` is the one way to try again: attempts that reject with `unavailable` are repeated with backoff until the deadline, everything
 * else goes to the caller. What an attempt without an answer may have done is the caller's to know.
 */
import { invalid, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import {
  errorName,
  isNotAllowed,
  isStaleCoordinator,
  isTransient,
  KafkaError,
} from './error-codes.ts';
import type {
  CoordinatorKind,
  KafkaCluster,
  KafkaTransport,
  Metadata,
  TopicInfo,
  TransportServices,
} from './transport.ts';

const BACKOFF_LEAST_MS = 20;
const BACKOFF_MOST_MS = 1000;
const TOPIC_GRACE_MS = 3000;

export class ClusterClient {
  readonly transport: KafkaTransport;
  readonly #services: TransportServices;
  readonly #persistMs: number;
  readonly #topics = new Map<string, TopicInfo>();
  /** Topics that were known once: a broker that has just started may not know them for a moment, and they are asked for again. */
  readonly #inUse = new Set<string>();
  readonly #coordinators = new Map<string, number>();
  readonly #abort = new AbortController();
  #brokers: readonly number[] = [];
  #refreshing: Promise<void> | undefined;

  /** `persistMs`: how long one thing is tried again before it fails. */
  constructor(cluster: KafkaCluster, services: TransportServices, persistMs: number) {
    this.transport = cluster.open(services);
    this.#services = services;
    this.#persistMs = persistMs;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get brokers(): readonly number[] {
    return this.#brokers;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.transport.close();
  }

  /** Asks for these topics, or for all. */
  async metadata(topics: readonly string[] | null): Promise<Metadata> {
    const metadata = await this.transport.metadata(topics);
    this.#brokers = metadata.brokers.map(({ id }) => id);
    for (const info of metadata.topics)
      if (info.errorCode === 0) {
        this.#topics.set(info.topic, info);
        this.#inUse.add(info.topic);
      } else this.#topics.delete(info.topic);
    return metadata;
  }

  /** Known or asked for. @throws `invalid` KAFKA_TOPIC_MISSING, KAFKA_NOT_ALLOWED; `unavailable` */
  async topic(topic: string): Promise<TopicInfo> {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const { topics } = await this.metadata([topic]);
    const info = topics.find((found) => found.topic === topic);
    const errorCode = info?.errorCode ?? KafkaError.UNKNOWN_TOPIC_OR_PARTITION;
    if (errorCode === 0 && info !== undefined) return info;
    if (errorCode === KafkaError.UNKNOWN_TOPIC_OR_PARTITION)
      throw invalid(
        'KAFKA_TOPIC_MISSING',
        `the topic ${topic} does not exist; create it, or correct its name`,
        {
          topic,
        },
      );
    throw failureOf(`metadata of the topic ${topic}`, errorCode);
  }

  /**
   * The topic, patiently: brokers learn of a new topic, and of all topics after a restart, a moment late.
   * @throws `invalid` KAFKA_TOPIC_MISSING, KAFKA_NOT_ALLOWED; `unavailable` KAFKA_UNAVAILABLE
   */
  async learn(topic: string): Promise<TopicInfo> {
    const { clock } = this.#services;
    const graceMs = clock.monotonicMs() + Math.min(TOPIC_GRACE_MS, this.#persistMs);
    return this.persist(`metadata of the topic ${topic}`, async () => {
      try {
        return await this.topic(topic);
      } catch (error) {
        const missing = isMillraceError(error) && error.code === 'KAFKA_TOPIC_MISSING';
        if (!missing || clock.monotonicMs() > graceMs) throw error;
        throw failureOf(`the topic ${topic}`, KafkaError.UNKNOWN_TOPIC_OR_PARTITION);
      }
    });
  }

  /** The leader as known; -1 when there is none. */
  leaderOf(topic: string, partition: number): number {
    const info = this.#topics.get(topic);
    return info?.partitions.find((p) => p.partition === partition)?.leader ?? -1;
  }

  /** Learns the leaders of all topics in use again; calls at the same time share one request. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.metadata([...this.#inUse])
      .then(() => {})
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  /** The node that coordinates. @throws `unavailable` */
  async coordinator(kind: CoordinatorKind, key: string): Promise<number> {
    const name = `${kind} ${key}`;
    const known = this.#coordinators.get(name);
    if (known !== undefined) return known;
    const { errorCode, node } = await this.transport.findCoordinator(kind, key);
    if (errorCode !== 0) throw failureOf(`the coordinator of ${name}`, errorCode);
    this.#coordinators.set(name, node.id);
    return node.id;
  }

  /**
   * Sends a request to a coordinator. Answers that say it moved, and requests without an answer, forget it and reject with `unavailable`;
   * other codes are the caller's.
   */
  async askCoordinator<Answer>(
    kind: CoordinatorKind,
    key: string,
    ask: (node: number) => Promise<Answer>,
    codeOf: (answer: Answer) => number,
  ): Promise<Answer> {
    const node = await this.coordinator(kind, key);
    let answer: Answer;
    try {
      answer = await ask(node);
    } catch (error) {
      this.#coordinators.delete(`${kind} ${key}`);
      throw error;
    }
    const code = codeOf(answer);
    if (isStaleCoordinator(code)) {
      this.#coordinators.delete(`${kind} ${key}`);
      throw failureOf(`the coordinator of ${kind} ${key}`, code);
    }
    return answer;
  }

  /** Repeats `attempt` with backoff while it rejects with `unavailable`. @throws `unavailable` KAFKA_UNAVAILABLE when time is up */
  async persist<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    const { clock } = this.#services;
    const deadlineMs = clock.monotonicMs() + this.#persistMs;
    for (let backoffMs = BACKOFF_LEAST_MS; ; backoffMs = Math.min(BACKOFF_MOST_MS, backoffMs * 2)) {
      try {
        return await attempt();
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        if (clock.monotonicMs() + backoffMs > deadlineMs)
          throw new MillraceError(
            'unavailable',
            'KAFKA_UNAVAILABLE',
            `${what}: Kafka gave no usable answer for ${this.#persistMs} ms. Check that the brokers are up and reachable from here`,
            { cause: error, details: { what } },
          );
      }
      await this.pause(backoffMs);
    }
  }

  /** @throws `cancelled` KAFKA_CLOSED when the client is closed meanwhile */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = this.#abort;
      if (signal.aborted) {
        reject(closed());
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        reject(closed());
      };
      const timer = this.#services.timers.after(delayMs, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

const closed = (): MillraceError =>
  new MillraceError('cancelled', 'KAFKA_CLOSED', 'the Kafka connection is closed');

export const isUnavailable = (error: unknown): boolean =>
  isMillraceError(error) && error.kind === 'unavailable';

/** What an error code comes to where nothing more particular is known about it. */
export function failureOf(what: string, code: number): MillraceError {
  const details = { kafkaError: errorName(code) };
  if (isTransient(code))
    return new MillraceError('unavailable', 'KAFKA_NOT_READY', `${what}: ${errorName(code)}`, {
      details,
    });
  if (isNotAllowed(code))
    return invalid(
      'KAFKA_NOT_ALLOWED',
      `${what}: ${errorName(code)}. Give the client's user this right, or use another user`,
      details,
    );
  if (code === KafkaError.UNSUPPORTED_VERSION)
    return invalid(
      'KAFKA_BROKER_UNSUPPORTED',
      `${what}: ${errorName(code)}. The connector needs Apache Kafka 3.1 or newer`,
      details,
    );
  return new MillraceError(
    'data',
    'KAFKA_REQUEST_REFUSED',
    `${what}: Kafka refused with ${errorName(code)}`,
    {
      details,
    },
  );
}
