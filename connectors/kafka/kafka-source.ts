/**
 * Kafka topics as a source: a split a partition, offsets in checkpoints.
 *
 * Partitions are found by `kafka-enumerator.ts`, fetched by `fetcher.ts`, decoded by `kafka-split-reader.ts`. Offsets are committed to the
 * group, if one is named, after each completed checkpoint: for people and tools to see; recovery uses the checkpoint's own.
 */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type { Decoded } from '../../src/connector/format.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type {
  MalformedPolicy,
  Source,
  SourceReader,
  SourceReaderContext,
  SplitReader,
  SplitState,
} from '../../src/connector/source.ts';
import type { Schema } from '../../src/types/schema.ts';
import { ClusterClient, failureOf } from './cluster-client.ts';
import { Fetcher, type OutOfRange } from './fetcher.ts';
import { KafkaEnumerator } from './kafka-enumerator.ts';
import type { KafkaRecord } from './kafka-record.ts';
import { type KafkaSplit, kafkaPositionOf, kafkaSplitOf } from './kafka-split.ts';
import { type Deserialize, KafkaSplitReader, recordOf } from './kafka-split-reader.ts';
import { resolveStop, type StartFrom, type Until } from './start-offsets.ts';
import type { Isolation, KafkaCluster } from './transport.ts';

export interface KafkaSourceOptions<T> {
  /** Made by `kafkaCluster`. */
  readonly cluster: KafkaCluster;
  /** By name, or those whose name matches. */
  readonly topics: readonly string[] | RegExp;
  /** How values are read; a record without one (a tombstone) is malformed. Or pass `deserialize`. */
  readonly value?: MessageFormat<T>;
  /** Reads whole records: key, headers, offset, tombstones. The bytes in it are valid during the call only. */
  readonly deserialize?: (record: KafkaRecord) => Decoded<T>;
  /** Of what `deserialize` returns, where known. */
  readonly schema?: Schema<T>;
  /** Where to begin without a checkpoint. Default 'earliest'. */
  readonly startFrom?: StartFrom;
  /** Makes the source bounded. */
  readonly until?: Until;
  /** Offsets are committed to this group after each completed checkpoint. */
  readonly groupId?: string;
  /** Default 'read_committed'. */
  readonly isolation?: Isolation;
  /** Looks for new partitions and topics at this interval. Default 5 min; false: never. */
  readonly discoveryInterval?: Duration | false;
  /** What happens with a record that cannot be read. Default 'fail', naming topic, partition and offset. */
  readonly malformed?: MalformedPolicy;
  /** What happens when an offset is gone (retention). Default 'fail'. */
  readonly outOfRange?: OutOfRange;
  /** How long the broker may wait for records before it answers with none. Default 500 ms. */
  readonly fetchWait?: Duration;
  /** A larger key and value together are malformed. Default 64 MiB. */
  readonly recordBytesMax?: number;
  /** Of one partition in one answer. Default 1 MiB; a larger record still comes. */
  readonly partitionFetchBytes?: number;
  /** Of one answer. Default 16 MiB. */
  readonly requestFetchBytes?: number;
  /** What a subtask buffers at most, all partitions together; at least twice `partitionFetchBytes` for each. Default 32 MiB. */
  readonly bufferBytes?: number;
  /** How long brokers may be out of reach before the job fails (and restarts by its strategy). Default 2 min. */
  readonly unavailableTimeout?: Duration;
}

const MIB = 1024 * 1024;

/**
 * Reads Kafka topics. @public
 * @throws `invalid` BAD_KAFKA_SOURCE
 */
export function kafkaSource<T>(options: KafkaSourceOptions<T>): Source<T> {
  checkOptions(options);
  const source = sourceOf(options, false);
  // One that has an end already is its own.
  if (options.until !== undefined) return source;
  return { ...source, untilNow: () => sourceOf(options, true) };
}

function sourceOf<T>(options: KafkaSourceOptions<T>, untilNow: boolean): Source<T> {
  const { cluster, until, malformed } = options;
  const topics = options.topics instanceof RegExp ? options.topics : [...new Set(options.topics)];
  const { startFrom = 'earliest', isolation = 'read_committed' } = options;
  const { discoveryInterval = '5 min' } = options;
  const schema = options.schema ?? options.value?.schema;
  const enumeration = {
    ...{ cluster, topics, startFrom, until, untilNow, isolation },
    discoveryIntervalMs: discoveryInterval === false ? undefined : durationMs(discoveryInterval),
    persistMs: persistMsOf(options),
  };
  return {
    boundedness: until === undefined && !untilNow ? 'continuous-unbounded' : 'bounded',
    ...(schema === undefined ? {} : { schema }),
    ...(malformed === undefined ? {} : { malformed }),
    createEnumerator: (context, restored) => new KafkaEnumerator(enumeration, context, restored),
    createReader: (context) => new KafkaReader(options, untilNow, context),
  };
}

const persistMsOf = ({
  unavailableTimeout = '2 min',
}: Pick<KafkaSourceOptions<unknown>, 'unavailableTimeout'>): number =>
  durationMs(unavailableTimeout);

function checkOptions<T>(options: KafkaSourceOptions<T>): void {
  const { topics, value, deserialize, partitionFetchBytes = MIB, bufferBytes } = options;
  const { recordBytesMax } = options;
  const faults = [
    ...((value === undefined) === (deserialize === undefined)
      ? ['it reads records either by value (a format) or by deserialize']
      : []),
    ...(topics instanceof RegExp && (topics.global || topics.sticky)
      ? ['topics is a pattern without the flags g and y']
      : []),
    ...(!(topics instanceof RegExp) && topics.length === 0 ? ['topics is empty'] : []),
    ...(!(partitionFetchBytes >= 1) || partitionFetchBytes > 2 ** 30
      ? ['partitionFetchBytes is between 1 and 1 GiB']
      : []),
    ...(recordBytesMax !== undefined && !(recordBytesMax >= 1)
      ? ['recordBytesMax is positive']
      : []),
    ...(bufferBytes !== undefined && !(bufferBytes >= 1) ? ['bufferBytes is positive'] : []),
  ];
  if (faults.length > 0) throw invalid('BAD_KAFKA_SOURCE', `Kafka source: ${faults.join('; ')}`);
}

class KafkaReader<T> implements SourceReader<T> {
  readonly #options: KafkaSourceOptions<T>;
  readonly #context: SourceReaderContext;
  readonly #client: ClusterClient;
  readonly #fetcher: Fetcher;
  readonly #deserialize: Deserialize<T>;
  readonly #opened = new Map<string, Promise<void>>();
  readonly #untilNow: boolean;

  constructor(options: KafkaSourceOptions<T>, untilNow: boolean, context: SourceReaderContext) {
    this.#options = options;
    this.#untilNow = untilNow;
    this.#context = context;
    this.#client = new ClusterClient(options.cluster, context, persistMsOf(options));
    const fetching = {
      isolation: options.isolation ?? 'read_committed',
      waitMsMax: durationMs(options.fetchWait ?? 500),
      requestBytesMax: options.requestFetchBytes ?? 16 * MIB,
      partitionBytesMax: options.partitionFetchBytes ?? MIB,
      bufferBytes: options.bufferBytes ?? 32 * MIB,
      outOfRange: options.outOfRange ?? 'fail',
    };
    this.#fetcher = new Fetcher(this.#client, fetching, context.logger);
    this.#deserialize = deserializerOf(options);
  }

  async openSplit({ split, position }: SplitState): Promise<SplitReader<T>> {
    const partition = kafkaSplitOf(split.data);
    await this.#openFormat(partition.topic);
    const offset = kafkaPositionOf(position)?.offset ?? partition.startOffset;
    const endsAt = this.#untilNow ? await this.#endOf(split.id, partition) : undefined;
    const slot = await this.#fetcher.open(partition, offset);
    return new KafkaSplitReader({
      slot,
      fetcher: this.#fetcher,
      isolation: this.#options.isolation ?? 'read_committed',
      deserialize: this.#deserialize,
      recordBytesMax: this.#options.recordBytesMax ?? 64 * MIB,
      endsAt,
      context: this.#context,
    });
  }

  /** Where a partition ends now. */
  async #endOf(id: string, { topic, partition }: KafkaSplit): Promise<number> {
    const { isolation = 'read_committed' } = this.#options;
    const params = { client: this.#client, isolation, partitions: [{ topic, partition }] };
    await this.#client.learn(topic);
    const ends = await resolveStop(params, 'latest');
    return ends.get(id)!; // it was asked for
  }

  /** A failure is told and no more: the checkpoint holds the offsets that count. */
  async notifyCheckpointComplete(
    _checkpointId: number,
    positions: readonly SplitState[],
  ): Promise<void> {
    const { groupId } = this.#options;
    if (groupId === undefined || positions.length === 0) return;
    const offsets = positions.map(({ split, position }) => {
      const { topic, partition, startOffset } = kafkaSplitOf(split.data);
      return { topic, partition, offset: kafkaPositionOf(position)?.offset ?? startOffset };
    });
    try {
      const results = await this.#client.askCoordinator(
        'group',
        groupId,
        (node) => this.#client.transport.commitGroupOffsets(node, groupId, offsets),
        (answer) => answer.find(({ errorCode }) => errorCode !== 0)?.errorCode ?? 0,
      );
      const refused = results.find(({ errorCode }) => errorCode !== 0);
      if (refused !== undefined)
        throw failureOf(`committing offsets of ${groupId}`, refused.errorCode);
    } catch (error) {
      if (this.#client.signal.aborted) return;
      this.#context.logger.log('warn', `offsets were not committed to the group ${groupId}`, {
        reason: String(error),
      });
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #openFormat(topic: string): Promise<void> {
    const opened = this.#opened.get(topic) ?? this.#options.value?.open?.(topic, 'read');
    if (opened === undefined) return Promise.resolve();
    this.#opened.set(topic, opened);
    return opened;
  }
}

function deserializerOf<T>({ value, deserialize }: KafkaSourceOptions<T>): Deserialize<T> {
  if (deserialize !== undefined)
    return (cursor, slot) => {
      try {
        return deserialize(recordOf(cursor, slot));
      } catch (error) {
        return { ok: false, reason: String(error) };
      }
    };
  const format = value!; // one of the two is there
  return (cursor) =>
    cursor.value === null
      ? { ok: false, reason: 'the record has no value (a tombstone); read it with deserialize' }
      : format.decode(cursor.value);
}
