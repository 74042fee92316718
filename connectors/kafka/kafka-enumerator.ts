/**
 * Finds partitions and deals them out: once, or again and again at an interval.
 *
 * Invariants
 *  E1  The snapshot says which partitions have been handed out, and changes in the same turn in which they are.
 *  E2  Where a partition starts and stops is resolved when it is found and is part of its split: a restart before the first
 *      checkpoint that holds the split may resolve it again, one after it does not.
 *  E3  A partition that appears after the first discovery is read from its beginning, whatever `startFrom` says: nothing of it was seen.
 */
import { asError, invalid, MillraceError } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { Timer } from '../../src/base/world.ts';
import type { EnumeratorContext, SplitEnumerator, SplitState } from '../../src/connector/source.ts';
import { ClusterClient, failureOf, isUnavailable } from './cluster-client.ts';
import { asSourceSplit, splitIdOf } from './kafka-split.ts';
import { resolveStart, resolveStop, type StartFrom, type Until } from './start-offsets.ts';
import type { Isolation, KafkaCluster, TopicInfo, TopicPartition } from './transport.ts';

export interface EnumeratorOptions {
  readonly cluster: KafkaCluster;
  readonly topics: readonly string[] | RegExp;
  readonly startFrom: StartFrom;
  readonly until: Until | undefined;
  /** Partitions are looked for once in each run; readers end them where they end then. */
  readonly untilNow: boolean;
  readonly isolation: Isolation;
  /** Undefined: partitions are looked for once. */
  readonly discoveryIntervalMs: number | undefined;
  readonly persistMs: number;
}

interface Handed {
  /** The first discovery has been handed out. */
  readonly discovered: boolean;
  /** By split id: the topic's id. */
  readonly partitions: Readonly<Record<string, string>>;
}

const PARTITIONS_MAX = 100_000;
const FAILED_DISCOVERIES_MAX = 10;

export class KafkaEnumerator implements SplitEnumerator {
  readonly #options: EnumeratorOptions;
  readonly #context: EnumeratorContext;
  readonly #client: ClusterClient;
  readonly #partitions: Map<string, string>;
  #discovered: boolean;
  #timer: Timer | undefined;
  #failed = 0;
  #closed = false;

  constructor(
    options: EnumeratorOptions,
    context: EnumeratorContext,
    restored: JsonValue | undefined,
  ) {
    this.#options = options;
    this.#context = context;
    this.#client = new ClusterClient(options.cluster, context, options.persistMs);
    const handed = restored as unknown as Handed | undefined; // written by snapshot
    this.#discovered = handed?.discovered ?? false;
    this.#partitions = new Map(Object.entries(handed?.partitions ?? {}));
  }

  async start(): Promise<void> {
    const { until, untilNow, discoveryIntervalMs } = this.#options;
    if (until === undefined || !this.#discovered)
      await this.#client.persist('discovering partitions', () => this.#discover());
    if (this.#closed) return;
    if (until !== undefined || untilNow) this.#context.noMoreSplits();
    else if (discoveryIntervalMs !== undefined) this.#discoverLater(discoveryIntervalMs);
  }

  requestSplit(): void {}

  snapshot(): JsonValue {
    return { discovered: this.#discovered, partitions: Object.fromEntries(this.#partitions) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#client.close();
  }

  #discoverLater(intervalMs: number): void {
    this.#timer = this.#context.timers.after(intervalMs, () => {
      this.#discover().then(
        () => {
          this.#failed = 0;
          if (!this.#closed) this.#discoverLater(intervalMs);
        },
        (error: unknown) => {
          if (this.#closed) return;
          if (isUnavailable(error) && ++this.#failed < FAILED_DISCOVERIES_MAX)
            this.#discoverLater(intervalMs);
          else this.#context.fail(asError(error));
        },
      );
    });
  }

  async #discover(): Promise<void> {
    const found = await this.#findTopics();
    const fresh: (TopicPartition & { topicId: string })[] = [];
    for (const { topic, topicId, partitions } of found)
      for (const { partition } of partitions)
        if (this.#isNew(topic, topicId, partition)) fresh.push({ topic, topicId, partition });
    if (this.#partitions.size + fresh.length > PARTITIONS_MAX)
      throw invalid(
        'KAFKA_TOO_MANY_PARTITIONS',
        `more than ${PARTITIONS_MAX} partitions match; narrow the topics down`,
      );
    await this.#handOut(fresh);
  }

  #isNew(topic: string, topicId: string, partition: number): boolean {
    const known = this.#partitions.get(splitIdOf(topic, partition));
    if (known === undefined) return true;
    if (known === topicId) return false;
    throw new MillraceError(
      'data',
      'KAFKA_TOPIC_RECREATED',
      `the topic ${topic} was deleted and created again: the offsets in this job's state mean nothing in it. Start the source without its state, or under another uid`,
      { details: { topic, permanent: true } },
    );
  }

  async #findTopics(): Promise<readonly TopicInfo[]> {
    const { topics } = this.#options;
    if (topics instanceof RegExp) {
      const all = await this.#client.metadata(null);
      return all.topics.filter(
        ({ topic, internal, errorCode }) => errorCode === 0 && !internal && topics.test(topic),
      );
    }
    await this.#client.metadata(topics);
    return Promise.all(topics.map((topic) => this.#client.learn(topic)));
  }

  async #handOut(fresh: readonly (TopicPartition & { topicId: string })[]): Promise<void> {
    const { startFrom, until, isolation, topics } = this.#options;
    const params = { client: this.#client, isolation, partitions: fresh };
    if (fresh.length === 0) {
      if (!this.#discovered && topics instanceof RegExp && until !== undefined)
        throw invalid('KAFKA_TOPIC_MISSING', `no topic matches ${String(topics)}`);
    }
    const starts =
      fresh.length === 0
        ? new Map<string, number>()
        : await resolveStart(params, this.#discovered ? 'earliest' : startFrom); // E3
    const stops =
      until === undefined || fresh.length === 0 ? undefined : await resolveStop(params, until);
    if (this.#closed) return;
    const shares = new Map<number, SplitState[]>();
    for (const { topic, topicId, partition } of fresh) {
      const id = splitIdOf(topic, partition);
      const startOffset = starts.get(id);
      if (startOffset === undefined) throw failureOf(`the start of ${id}`, 5);
      const stopOffset = stops?.get(id) ?? null;
      const split = asSourceSplit({ topic, topicId, partition, startOffset, stopOffset });
      const subtask = subtaskOf(topic, partition, this.#context.parallelism);
      const share = shares.get(subtask) ?? [];
      shares.set(subtask, share);
      share.push({ split, position: undefined });
    }
    for (const [subtask, splits] of shares) this.#context.assign(subtask, splits);
    for (const { topic, topicId, partition } of fresh)
      this.#partitions.set(splitIdOf(topic, partition), topicId); // E1
    this.#discovered = true;
  }
}

/** The partitions of a topic go round the subtasks, each topic beginning somewhere else. */
function subtaskOf(topic: string, partition: number, parallelism: number): number {
  let hash = 0;
  for (let i = 0; i < topic.length; i++) hash = (Math.imul(hash, 31) + topic.charCodeAt(i)) | 0;
  return (((Math.imul(hash, 31) & 0x7fffffff) % parallelism) + partition) % parallelism;
}
