/** Where partitions begin, end, or reach a time: asked of their leaders. */
import type { ClusterClient } from './cluster-client.ts';
import { failureOf } from './cluster-client.ts';
import { isStaleLeader } from './error-codes.ts';
import type { Isolation, OffsetQuery, TopicPartition } from './transport.ts';
import { splitIdOf } from './kafka-split.ts';

/** Offsets by split id; -1: no record is as new as was asked for. @throws `unavailable`, `invalid` KAFKA_NOT_ALLOWED */
export function lookUpOffsets(
  client: ClusterClient,
  isolation: Isolation,
  queries: readonly OffsetQuery[],
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  return client.persist('looking up offsets', async () => {
    const open = queries.filter(({ topic, partition }) => !found.has(splitIdOf(topic, partition)));
    for (const [node, ofNode] of byLeader(client, open)) {
      if (node < 0) {
        await client.refresh();
        throw failureOf('looking up offsets', 5);
      }
      for (const answer of await client.transport.listOffsets(node, isolation, ofNode)) {
        const { topic, partition, errorCode, offset } = answer;
        if (errorCode === 0) found.set(splitIdOf(topic, partition), offset);
        else {
          if (isStaleLeader(errorCode)) await client.refresh();
          throw failureOf(`looking up offsets of ${topic}-${partition}`, errorCode);
        }
      }
    }
    return found;
  });
}

export function byLeader<P extends TopicPartition>(
  client: ClusterClient,
  partitions: readonly P[],
): Map<number, P[]> {
  const nodes = new Map<number, P[]>();
  for (const partition of partitions) {
    const node = client.leaderOf(partition.topic, partition.partition);
    const ofNode = nodes.get(node);
    if (ofNode === undefined) nodes.set(node, [partition]);
    else ofNode.push(partition);
  }
  return nodes;
}
