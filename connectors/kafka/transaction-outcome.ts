/**
 * How a transaction ended, as the log of one of its partitions tells it.
 *
 * A coordinator that refuses to commit does not say why: the transaction may have been committed before (and its producer's epoch have moved on
 * since), or aborted. The log does: behind the last record of the transaction in any partition, the next marker of its producer is its end.
 *
 * Cost: reads the partition from the witness to that marker, at most `SCAN_BYTES_MAX`.
 */
import { type ClusterClient, failureOf } from './cluster-client.ts';
import { isStaleLeader, isTransient } from './error-codes.ts';
import type { Witness } from './producer.ts';
import { RecordCursor, type TransactionMarker } from './record-cursor.ts';
import type { FetchedPartition } from './transport.ts';

/** `unknown`: the log does not reach back so far. `open`: no end is written yet. */
export type TransactionOutcome = 'committed' | 'aborted' | 'open' | 'unknown';

const FETCH_BYTES = 4 * 1024 * 1024;
const SCAN_BYTES_MAX = 1024 * 1024 * 1024;

/** @throws `unavailable` */
export async function transactionOutcome(
  client: ClusterClient,
  { topic, partition, offset }: Witness,
  producerId: number,
): Promise<TransactionOutcome> {
  let at = offset;
  for (let scanned = 0; scanned < SCAN_BYTES_MAX;) {
    const from = at;
    const part = await client.persist(
      `reading the end of a transaction in ${topic}-${partition}`,
      () => fetchOne(client, { topic, partition, offset: from }),
    );
    if (part === undefined) return 'unknown';
    let end: TransactionMarker | undefined;
    const cursor = new RecordCursor({
      records: part.records,
      aborted: [],
      isolation: 'read_uncommitted',
      fromOffset: from,
    });
    cursor.onMarker = (marker) => {
      if (marker.producerId === producerId && marker.offset > offset) end ??= marker;
    };
    do if (end !== undefined) break;
    while (cursor.next());
    if (end !== undefined) return end.committed ? 'committed' : 'aborted';
    at = cursor.nextOffset;
    if (at >= part.highWatermark || at === from) return 'open';
    scanned += part.records.length;
  }
  return 'unknown';
}

/** Undefined: the offset is not there any more. */
async function fetchOne(
  client: ClusterClient,
  { topic, partition, offset }: Witness,
): Promise<FetchedPartition | undefined> {
  const { topicId } = await client.topic(topic);
  const node = client.leaderOf(topic, partition);
  const answer =
    node < 0
      ? undefined
      : await client.transport.fetchRecords(node, {
          isolation: 'read_uncommitted',
          waitMsMax: 0,
          bytesMax: FETCH_BYTES,
          partitions: [{ topic, topicId, partition, offset, bytesMax: FETCH_BYTES }],
        });
  const part = answer?.partitions[0];
  if (part?.errorCode === 0) return part;
  const errorCode = part?.errorCode ?? (answer?.errorCode || 5);
  if (isStaleLeader(errorCode)) await client.refresh();
  if (isStaleLeader(errorCode) || isTransient(errorCode))
    throw failureOf(`fetching ${topic}-${partition}`, errorCode);
  return undefined;
}
