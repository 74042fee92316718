/** What tests against a real broker share: topics, and sources and sinks of them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Sink } from '../../src/connector/sink.ts';
import type { Source } from '../../src/connector/source.ts';
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
import { readToEnd, world } from '../connector-fixture.ts';

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
