/**
 * The wire format of the requests this connector makes: one constant a request, with what goes out and how the answer is read.
 *
 * Versions are the oldest flexible ones that say what is needed, so that brokers from 3.1 on answer them, and are all of Kafka's first
 * transaction protocol: the epoch changes when a producer is initialised, and at no other time (what a stored committable counts on).
 */
import type { Reader, Writer } from '@platformatic/kafka';
import { MillraceError } from '../../src/base/errors.ts';
import { KafkaError } from './error-codes.ts';
import { Writer as WriterClass } from '@platformatic/kafka';
import type {
  AddPartitionsRequest,
  Broker,
  Coordinator,
  CoordinatorKind,
  EndTransactionRequest,
  FetchAnswer,
  FetchedPartition,
  FetchRequest,
  GroupOffset,
  GroupOffsets,
  InitProducerIdAnswer,
  InitProducerIdRequest,
  Isolation,
  ListedOffset,
  ListedTransactions,
  Metadata,
  OffsetQuery,
  PartitionResult,
  ProducedPartition,
  ProduceRequest,
  TopicInfo,
  TopicPartition,
} from './transport.ts';

/** A request kind. */
export interface Api<Request, Answer> {
  readonly name: string;
  readonly key: number;
  readonly version: number;
  /** The answer's header has no tagged fields. */
  readonly plainHeader?: boolean;
  write(request: Request): Writer;
  read(reader: Reader): Answer;
}

const writer = (): Writer => WriterClass.create();
const int64 = (value: number): bigint => BigInt(value);
const readInt64 = (reader: Reader): number => Number(reader.readInt64());

interface TopicGroup<P> {
  readonly topic: string;
  readonly partitions: P[];
}

function byTopic<P extends { readonly topic: string }>(partitions: readonly P[]): TopicGroup<P>[] {
  const groups = new Map<string, TopicGroup<P>>();
  for (const partition of partitions) {
    const group = groups.get(partition.topic);
    if (group === undefined)
      groups.set(partition.topic, { topic: partition.topic, partitions: [partition] });
    else group.partitions.push(partition);
  }
  return [...groups.values()];
}

const isolationCode = (isolation: Isolation): number => (isolation === 'read_committed' ? 1 : 0);

/** Reads `topic => name [partitions]`, each partition by `read`. */
function readTopics<P>(reader: Reader, read: (reader: Reader, topic: string) => P): P[] {
  return reader
    .readArray((topics) => {
      const topic = topics.readString();
      return topics.readArray((partitions) => read(partitions, topic));
    })
    .flat();
}

/** What a broker speaks: by request key, the versions from and to. Empty: it does not even know this request's version. */
export const apiVersionsApi: Api<void, ReadonlyMap<number, readonly [number, number]>> = {
  name: 'ApiVersions',
  key: 18,
  version: 3,
  plainHeader: true,
  write: () => writer().appendString('millrace').appendString('0').appendTaggedFields(),
  read: (reader) => {
    const errorCode = reader.readInt16();
    if (errorCode === KafkaError.UNSUPPORTED_VERSION) return new Map();
    if (errorCode !== 0)
      throw new MillraceError('data', 'KAFKA_REQUEST_REFUSED', `ApiVersions: error ${errorCode}`);
    return new Map(
      reader.readArray((r) => [r.readInt16(), [r.readInt16(), r.readInt16()] as const] as const),
    );
  },
};

export const metadataApi: Api<readonly string[] | null, Metadata> = {
  name: 'Metadata',
  key: 3,
  version: 12,
  write: (topics) =>
    writer()
      .appendArray(topics === null ? null : [...topics], (w, topic) => {
        w.appendUUID(null).appendString(topic);
      })
      .appendBoolean(false) // no topic is created by asking
      .appendBoolean(false)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    const brokers = reader.readArray((r): Broker => {
      const broker = { id: r.readInt32(), host: r.readString(), port: r.readInt32() };
      r.readNullableString();
      return broker;
    });
    reader.readNullableString();
    reader.readInt32();
    return { brokers, topics: reader.readArray(readTopic) };
  },
};

function readTopic(reader: Reader): TopicInfo {
  const errorCode = reader.readInt16();
  const topic = reader.readNullableString() ?? '';
  const topicId = reader.readUUID();
  const internal = reader.readBoolean();
  const partitions = reader.readArray((r) => {
    const info = { errorCode: r.readInt16(), partition: r.readInt32(), leader: r.readInt32() };
    r.readInt32();
    for (let replicas = 0; replicas < 3; replicas++)
      r.readArray((node) => node.readInt32(), true, false);
    return info;
  });
  reader.readInt32();
  return { topic, topicId, errorCode, internal, partitions };
}

export const findCoordinatorApi: Api<
  { readonly kind: CoordinatorKind; readonly key: string },
  Coordinator
> = {
  name: 'FindCoordinator',
  key: 10,
  version: 4,
  write: ({ kind, key }) =>
    writer()
      .appendInt8(kind === 'group' ? 0 : 1)
      .appendArray([key], (w, entry) => w.appendString(entry), true, false)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    const [found] = reader.readArray((r): Coordinator => {
      r.readString();
      const node = { id: r.readInt32(), host: r.readString(), port: r.readInt32() };
      const errorCode = r.readInt16();
      r.readNullableString();
      return { errorCode, node };
    });
    return found ?? { errorCode: -1, node: { id: -1, host: '', port: 0 } };
  },
};

export const listOffsetsApi: Api<
  { readonly isolation: Isolation; readonly queries: readonly OffsetQuery[] },
  ListedOffset[]
> = {
  name: 'ListOffsets',
  key: 2,
  version: 7,
  write: ({ isolation, queries }) =>
    writer()
      .appendInt32(-1)
      .appendInt8(isolationCode(isolation))
      .appendArray(byTopic(queries), (w, { topic, partitions }) => {
        w.appendString(topic).appendArray(partitions, (p, { partition, timestamp }) => {
          p.appendInt32(partition).appendInt32(-1).appendInt64(int64(timestamp));
        });
      })
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return readTopics(reader, (r, topic) => {
      const partition = r.readInt32();
      const errorCode = r.readInt16();
      r.readInt64();
      const offset = readInt64(r);
      r.readInt32();
      return { topic, partition, errorCode, offset };
    });
  },
};

export const fetchApi: Api<FetchRequest, FetchAnswer> = {
  name: 'Fetch',
  key: 1,
  version: 13,
  write: ({ isolation, waitMsMax, bytesMax, partitions }) =>
    writer()
      .appendInt32(-1)
      .appendInt32(waitMsMax)
      .appendInt32(1)
      .appendInt32(bytesMax)
      .appendInt8(isolationCode(isolation))
      .appendInt32(0)
      .appendInt32(-1) // no fetch session
      .appendArray(byTopic(partitions), (w, group) => {
        w.appendUUID(group.partitions[0]?.topicId ?? null).appendArray(
          group.partitions,
          (p, { partition, offset, bytesMax: partitionBytesMax }) => {
            p.appendInt32(partition)
              .appendInt32(-1)
              .appendInt64(int64(offset))
              .appendInt32(-1)
              .appendInt64(-1n)
              .appendInt32(partitionBytesMax);
          },
        );
      })
      .appendArray([], () => {})
      .appendString('')
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    const errorCode = reader.readInt16();
    reader.readInt32();
    const partitions = reader
      .readArray((topics) => {
        const topicId = topics.readUUID();
        return topics.readArray((r) => readFetched(r, topicId));
      })
      .flat();
    return { errorCode, partitions };
  },
};

function readFetched(reader: Reader, topicId: string): FetchedPartition {
  const partition = reader.readInt32();
  const errorCode = reader.readInt16();
  const highWatermark = readInt64(reader);
  const lastStableOffset = readInt64(reader);
  reader.readInt64();
  const aborted =
    reader.readNullableArray((r) => ({ producerId: readInt64(r), firstOffset: readInt64(r) })) ??
    [];
  reader.readInt32();
  const records = reader.readBytes();
  return {
    topicId,
    partition,
    errorCode,
    highWatermark,
    lastStableOffset,
    aborted: aborted.sort((a, b) => a.firstOffset - b.firstOffset),
    records,
  };
}

const ACKS_ALL = -1;

export const produceApi: Api<ProduceRequest, ProducedPartition[]> = {
  name: 'Produce',
  key: 0,
  version: 9,
  write: ({ transactionalId, timeoutMs, partitions }) =>
    writer()
      .appendString(transactionalId)
      .appendInt16(ACKS_ALL)
      .appendInt32(timeoutMs)
      .appendArray(byTopic(partitions), (w, { topic, partitions: ofTopic }) => {
        w.appendString(topic).appendArray(ofTopic, (p, { partition, records }) => {
          p.appendInt32(partition).appendBytes(records);
        });
      })
      .appendTaggedFields(),
  read: (reader) =>
    readTopics(reader, (r, topic) => {
      const partition = r.readInt32();
      const errorCode = r.readInt16();
      const baseOffset = readInt64(r);
      r.readInt64();
      r.readInt64();
      r.readArray((e) => {
        e.readInt32();
        e.readNullableString();
      });
      const errorMessage = r.readNullableString();
      return { topic, partition, errorCode, errorMessage, baseOffset };
    }),
};

export const initProducerIdApi: Api<InitProducerIdRequest, InitProducerIdAnswer> = {
  name: 'InitProducerId',
  key: 22,
  version: 4,
  write: ({ transactionalId, transactionTimeoutMs, producerId, producerEpoch }) =>
    writer()
      .appendString(transactionalId)
      .appendInt32(transactionTimeoutMs)
      .appendInt64(int64(producerId))
      .appendInt16(producerEpoch)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return {
      errorCode: reader.readInt16(),
      producerId: readInt64(reader),
      producerEpoch: reader.readInt16(),
    };
  },
};

export const addPartitionsToTxnApi: Api<AddPartitionsRequest, PartitionResult[]> = {
  name: 'AddPartitionsToTxn',
  key: 24,
  version: 3,
  write: ({ transactionalId, producerId, producerEpoch, partitions }) =>
    writer()
      .appendString(transactionalId)
      .appendInt64(int64(producerId))
      .appendInt16(producerEpoch)
      .appendArray(byTopic(partitions), (w, { topic, partitions: ofTopic }) => {
        w.appendString(topic).appendArray(
          ofTopic,
          (p, { partition }) => p.appendInt32(partition),
          true,
          false,
        );
      })
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return readTopics(reader, (r, topic) => ({
      topic,
      partition: r.readInt32(),
      errorCode: r.readInt16(),
    }));
  },
};

export const endTxnApi: Api<EndTransactionRequest, number> = {
  name: 'EndTxn',
  key: 26,
  version: 3,
  write: ({ transactionalId, producerId, producerEpoch, commit }) =>
    writer()
      .appendString(transactionalId)
      .appendInt64(int64(producerId))
      .appendInt16(producerEpoch)
      .appendBoolean(commit)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return reader.readInt16();
  },
};

/** A member of no group: offsets are kept for people and tools, not for assignment. */
export const offsetCommitApi: Api<
  { readonly groupId: string; readonly offsets: readonly GroupOffset[] },
  PartitionResult[]
> = {
  name: 'OffsetCommit',
  key: 8,
  version: 8,
  write: ({ groupId, offsets }) =>
    writer()
      .appendString(groupId)
      .appendInt32(-1)
      .appendString('')
      .appendString(null)
      .appendArray(byTopic(offsets), (w, { topic, partitions }) => {
        w.appendString(topic).appendArray(partitions, (p, { partition, offset }) => {
          p.appendInt32(partition).appendInt64(int64(offset)).appendInt32(-1).appendString('');
        });
      })
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return readTopics(reader, (r, topic) => ({
      topic,
      partition: r.readInt32(),
      errorCode: r.readInt16(),
    }));
  },
};

export const offsetFetchApi: Api<
  { readonly groupId: string; readonly partitions: readonly TopicPartition[] },
  GroupOffsets
> = {
  name: 'OffsetFetch',
  key: 9,
  version: 8,
  write: ({ groupId, partitions }) =>
    writer()
      .appendArray([groupId], (w, group) => {
        w.appendString(group).appendArray(
          byTopic(partitions),
          (g, { topic, partitions: ofTopic }) => {
            g.appendString(topic).appendArray(
              ofTopic,
              (p, { partition }) => p.appendInt32(partition),
              true,
              false,
            );
          },
        );
      })
      .appendBoolean(true) // offsets of open transactions are not stable
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    const [group] = reader.readArray((r): GroupOffsets => {
      r.readString();
      const offsets = readTopics(r, (p, topic) => {
        const partition = p.readInt32();
        const offset = readInt64(p);
        p.readInt32();
        p.readNullableString();
        return { topic, partition, offset, errorCode: p.readInt16() };
      });
      return { errorCode: r.readInt16(), offsets };
    });
    return group ?? { errorCode: -1, offsets: [] };
  },
};

export const listTransactionsApi: Api<readonly string[], ListedTransactions> = {
  name: 'ListTransactions',
  key: 66,
  version: 0,
  write: (states) =>
    writer()
      .appendArray([...states], (w, state) => w.appendString(state), true, false)
      .appendArray([] as number[], (w, id) => w.appendInt64(int64(id)), true, false)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    const errorCode = reader.readInt16();
    reader.readArray((r) => r.readString(), true, false);
    const transactions = reader.readArray((r) => ({
      transactionalId: r.readString(),
      producerId: readInt64(r),
      state: r.readString(),
    }));
    return { errorCode, transactions };
  },
};

/** What the connector cannot do without. */
export const NEEDED_APIS: readonly Pick<Api<never, unknown>, 'name' | 'key' | 'version'>[] = [
  metadataApi,
  findCoordinatorApi,
  listOffsetsApi,
  fetchApi,
  produceApi,
  initProducerIdApi,
  addPartitionsToTxnApi,
  endTxnApi,
  offsetCommitApi,
  offsetFetchApi,
  listTransactionsApi,
];

/** Topics are made by whoever owns the cluster; tests are that. @testing */
export const createTopicsApi: Api<
  readonly {
    readonly topic: string;
    readonly partitions: number;
    readonly configs?: Readonly<Record<string, string>>;
  }[],
  { topic: string; errorCode: number }[]
> = {
  name: 'CreateTopics',
  key: 19,
  version: 5,
  write: (topics) =>
    writer()
      .appendArray([...topics], (w, { topic, partitions, configs = {} }) => {
        w.appendString(topic)
          .appendInt32(partitions)
          .appendInt16(1)
          .appendArray([], () => {})
          .appendArray(Object.entries(configs), (c, [name, value]) => {
            c.appendString(name).appendString(value);
          });
      })
      .appendInt32(30_000)
      .appendBoolean(false)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return reader.readArray((r) => {
      const topic = r.readString();
      const errorCode = r.readInt16();
      r.readNullableString();
      r.readInt32();
      r.readInt16();
      r.readNullableArray((c) => {
        c.readString();
        c.readNullableString();
        c.readBoolean();
        c.readInt8();
        c.readBoolean();
      });
      return { topic, errorCode };
    });
  },
};

/** @testing */
export const createPartitionsApi: Api<
  { readonly topic: string; readonly partitions: number },
  { topic: string; errorCode: number }[]
> = {
  name: 'CreatePartitions',
  key: 37,
  version: 2,
  write: ({ topic, partitions }) =>
    writer()
      .appendArray([topic], (w, name) => {
        w.appendString(name)
          .appendInt32(partitions)
          .appendArray(null, () => {});
      })
      .appendInt32(30_000)
      .appendBoolean(false)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return reader.readArray((r) => {
      const topic = r.readString();
      const errorCode = r.readInt16();
      r.readNullableString();
      return { topic, errorCode };
    });
  },
};

/** @testing */
export const deleteTopicsApi: Api<readonly string[], { topic: string; errorCode: number }[]> = {
  name: 'DeleteTopics',
  key: 20,
  version: 4,
  write: (topics) =>
    writer()
      .appendArray([...topics], (w, topic) => w.appendString(topic), true, false)
      .appendInt32(30_000)
      .appendTaggedFields(),
  read: (reader) => {
    reader.readInt32();
    return reader.readArray((r) => ({ topic: r.readString(), errorCode: r.readInt16() }));
  },
};
