/** What a client remembers of a cluster. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realWorld } from '../../src/base/real-world.ts';
import { ClusterClient } from './cluster-client.ts';
import { KafkaError } from './error-codes.ts';
import type { KafkaTransport, Metadata } from './transport.ts';

test('a topic that a broker does not know for a moment is asked for again, and has its leader back', async () => {
  const asked: (readonly string[] | null)[] = [];
  let errorCode = 0;
  const transport: Pick<KafkaTransport, 'metadata' | 'close'> = {
    metadata: (topics): Promise<Metadata> => {
      asked.push(topics);
      const partitions = errorCode === 0 ? [{ partition: 0, leader: 1, errorCode: 0 }] : [];
      const found = (topics ?? []).map((topic) => ({
        ...{ topic, topicId: 'id', internal: false, errorCode, partitions },
      }));
      return Promise.resolve({ brokers: [], topics: found });
    },
    close: () => Promise.resolve(),
  };
  const world = realWorld({ log: () => {} });
  const cluster = { name: 'fake', open: () => transport as KafkaTransport }; // nothing else is asked
  const client = new ClusterClient(cluster, world, 1000);
  await client.topic('t');
  assert.equal(client.leaderOf('t', 0), 1);
  for (const broken of [KafkaError.UNKNOWN_TOPIC_OR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE]) {
    errorCode = broken;
    await client.refresh();
    await client.refresh();
    assert.equal(client.leaderOf('t', 0), -1);
    errorCode = 0;
    await client.refresh();
    assert.equal(client.leaderOf('t', 0), 1);
  }
  assert.ok(asked.every((topics) => topics?.includes('t')));
  await client.close();
});
