/** What tests against a real broker share: topics, sinks driven by hand, and sources read to their end. */
import { setTimeout as delay } from 'node:timers/promises';
import { realWorld } from '../../src/base/real-world.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type {
  Committable,
  Committer,
  Sink,
  SinkWriter,
  SinkWriterContext,
} from '../../src/connector/sink.ts';
import type {
  MalformedRecord,
  Source,
  SourceReaderContext,
  SplitState,
} from '../../src/connector/source.ts';
import { textMessages } from '../../src/connector/message-format.ts';
import { textLines } from '../../connectors/files/index.ts';
import type { SocketTransport } from '../../connectors/kafka/socket-transport.ts';
import {
  type KafkaCluster,
  kafkaCluster,
  kafkaSink,
  type KafkaSinkOptions,
  kafkaSource,
  type KafkaSourceOptions,
} from '../../connectors/kafka/index.ts';
import {
  type Api,
  createPartitionsApi,
  createTopicsApi,
  deleteTopicsApi,
  listTransactionsApi,
  metadataApi,
} from '../../connectors/kafka/wire.ts';

export const world = realWorld({ log: () => {} });
export const text = textMessages(textLines());

let topics = 0;

/** A cluster and what its owner may do. */
export class TestCluster {
  readonly cluster: KafkaCluster;

  constructor(bootstrapServers: string) {
    this.cluster = kafkaCluster({
      bootstrapServers,
      connectTimeout: '2 s',
      requestTimeout: '5 s',
    });
  }

  async administer<Request, Answer>(api: Api<Request, Answer>, request: Request): Promise<Answer> {
    const transport = this.cluster.open(world) as SocketTransport; // what kafkaCluster opens
    try {
      return await transport.administer(api, request);
    } finally {
      await transport.close();
    }
  }

  /** A fresh topic; its name. */
  async topic(partitions = 1, configs: Record<string, string> = {}): Promise<string> {
    const topic = `t${process.pid}-${topics++}`;
    await this.createTopic(topic, partitions, configs);
    return topic;
  }

  async createTopic(
    topic: string,
    partitions: number,
    configs: Record<string, string> = {},
  ): Promise<void> {
    const [created] = await this.administer(createTopicsApi, [{ topic, partitions, configs }]);
    if (created?.errorCode !== 0) throw new TypeError(`topic ${topic}: ${created?.errorCode}`);
    // Brokers learn of it a moment later.
    for (;;) {
      const { topics: known } = await this.administer(metadataApi, [topic]);
      if (known[0]?.errorCode === 0 && known[0].partitions.every(({ leader }) => leader >= 0))
        return;
      await delay(20);
    }
  }

  async addPartitions(topic: string, partitions: number): Promise<void> {
    await this.administer(createPartitionsApi, { topic, partitions });
  }

  async deleteTopic(topic: string): Promise<void> {
    await this.administer(deleteTopicsApi, [topic]);
  }

  source(options: Partial<KafkaSourceOptions<string>> & { topics: string[] }): Source<string> {
    return kafkaSource<string>({ cluster: this.cluster, value: text, until: 'latest', ...options });
  }

  sink(options: Partial<KafkaSinkOptions<string>> & { topic: string }): Sink<string> {
    return kafkaSink<string>({
      cluster: this.cluster,
      value: text,
      transactionalIdPrefix: `p-${options.topic}`,
      ...options,
    });
  }

  /** Commits and aborts that were answered reach the partitions a moment later. */
  async settled(): Promise<void> {
    for (;;) {
      const { transactions } = await this.administer(listTransactionsApi, [
        'PrepareCommit',
        'PrepareAbort',
      ]);
      if (transactions.length === 0) return;
      await delay(10);
    }
  }

  /** What a reader of committed records finds in a topic now. */
  async committed(topic: string): Promise<string[]> {
    await this.settled();
    const { values } = await readToEnd(this.source({ topics: [topic] }));
    return values;
  }
}

export interface ReadToEnd<T> {
  readonly values: T[];
  readonly timestamps: number[];
  /** Where each split stands. */
  readonly splits: SplitState[];
  readonly malformed: MalformedRecord[];
  /** By split. */
  readonly bySplit: Map<string, T[]>;
}

export function readerContext(malformed: MalformedRecord[] = []): SourceReaderContext {
  return {
    subtaskIndex: 0,
    parallelism: 1,
    clock: world.clock,
    timers: world.timers,
    logger: world.logger,
    onMalformed: (record) => malformed.push(record),
  };
}

/** The splits that a source's enumerator hands out first. */
export async function discover<T>(
  source: Source<T>,
  parallelism = 1,
): Promise<{ splits: SplitState[]; snapshot: JsonValue; bySubtask: Map<number, SplitState[]> }> {
  const bySubtask = new Map<number, SplitState[]>();
  const splits: SplitState[] = [];
  const enumerator = source.createEnumerator(
    {
      parallelism,
      clock: world.clock,
      timers: world.timers,
      logger: world.logger,
      assign: (subtask, assigned) => {
        splits.push(...assigned);
        bySubtask.set(subtask, [...(bySubtask.get(subtask) ?? []), ...assigned]);
      },
      noMoreSplits: () => {},
      fail: (error) => {
        throw error;
      },
    },
    undefined,
  );
  try {
    await enumerator.start();
    return { splits, snapshot: enumerator.snapshot(), bySubtask };
  } finally {
    await enumerator.close();
  }
}

/** Reads a bounded source to its end. */
export async function readToEnd<T>(
  source: Source<T>,
  from?: readonly SplitState[],
): Promise<ReadToEnd<T>> {
  const malformed: MalformedRecord[] = [];
  const values: T[] = [];
  const timestamps: number[] = [];
  const bySplit = new Map<string, T[]>();
  const splits: SplitState[] = [];
  const reader = source.createReader(readerContext(malformed));
  try {
    for (const state of from ?? (await discover(source)).splits) {
      const split = await reader.openSplit(state);
      const own: T[] = [];
      bySplit.set(state.split.id, own);
      for (;;) {
        const batch = await split.poll(100);
        if (batch === null) break;
        own.push(...batch.values);
        timestamps.push(...(batch.timestamps?.subarray(0, batch.values.length) ?? []));
      }
      for (const value of own) values.push(value);
      splits.push({ split: state.split, position: split.position() });
      await split.close();
    }
  } finally {
    await reader.close();
  }
  return { values, timestamps, splits, malformed, bySplit };
}

let attempts = 0;

/** One try of a sink's subtask, driven by hand: the committables of each checkpoint are its caller's to keep. */
export class SinkAttempt<T = string> {
  readonly writer: SinkWriter<T>;
  readonly committer: Committer | undefined;

  private constructor(writer: SinkWriter<T>, committer: Committer | undefined) {
    this.writer = writer;
    this.committer = committer;
  }

  /** `restored` is committed first, as an operator does. */
  static async open<T>(
    sink: Sink<T>,
    restored: readonly Committable[] = [],
    subtaskIndex = 0,
    parallelism = 1,
  ): Promise<SinkAttempt<T>> {
    const context: SinkWriterContext = {
      jobId: 'job',
      operatorId: 'sink',
      subtaskIndex,
      parallelism,
      attemptId: `a${process.pid}n${attempts++}`,
      restored: [],
      clock: world.clock,
      timers: world.timers,
      logger: world.logger,
      print: () => {},
    };
    const committer = await sink.createCommitter?.(context);
    if (restored.length > 0) await committer?.commit(restored);
    return new SinkAttempt(await sink.createWriter(context), committer);
  }

  async write(...values: T[]): Promise<void> {
    await this.writer.write({ values, timestamps: null });
  }

  async prepare(checkpointId: number): Promise<readonly Committable[]> {
    await this.writer.flush(false);
    // What a checkpoint stores is JSON.
    return JSON.parse(
      JSON.stringify((await this.writer.prepareCommit?.(checkpointId)) ?? []),
    ) as Committable[];
  }

  async checkpoint(checkpointId: number): Promise<void> {
    const committables = await this.prepare(checkpointId);
    await this.committer?.commit(committables);
  }

  /** Ends as a killed process does: nothing is committed or aborted. */
  async close(): Promise<void> {
    await this.writer.close();
    await this.committer?.close();
  }
}
