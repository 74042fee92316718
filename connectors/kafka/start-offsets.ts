/** From where and up to where partitions are read. */
import { invalid, MillraceError } from '../../src/base/errors.ts';
import type { ClusterClient } from './cluster-client.ts';
import { failureOf } from './cluster-client.ts';
import { splitIdOf } from './kafka-split.ts';
import { lookUpOffsets } from './offset-lookup.ts';
import {
  EARLIEST_OFFSET,
  type Isolation,
  LATEST_OFFSET,
  type TopicPartition,
} from './transport.ts';

/** By topic, then partition. */
export type OffsetsByTopic = Readonly<Record<string, Readonly<Record<number, number>>>>;

/** Where there is nothing committed, or no offset given. */
export type Otherwise = 'earliest' | 'latest' | 'fail';

export type StartFrom =
  | 'earliest'
  | 'latest'
  /** The first record with this timestamp or a later one, epoch milliseconds; the end where there is none. */
  | { readonly timestamp: number }
  /** What the group has committed. `otherwise` default 'fail'. */
  | { readonly committed: string; readonly otherwise?: Otherwise }
  /** `otherwise` default 'fail'. */
  | { readonly offsets: OffsetsByTopic; readonly otherwise?: Otherwise };

/** The first offset that is not read any more. */
export type Until =
  /** What there is when the job first starts. */
  | 'latest'
  | { readonly timestamp: number }
  | { readonly committed: string }
  | { readonly offsets: OffsetsByTopic };

export interface OffsetParams {
  readonly client: ClusterClient;
  readonly isolation: Isolation;
  readonly partitions: readonly TopicPartition[];
}

export async function resolveStart(
  params: OffsetParams,
  from: StartFrom,
): Promise<Map<string, number>> {
  if (from === 'earliest') return lookUp(params, EARLIEST_OFFSET);
  if (from === 'latest') return lookUp(params, LATEST_OFFSET);
  if ('timestamp' in from) return atTime(params, from.timestamp);
  const known =
    'committed' in from
      ? await committedOffsets(params, from.committed)
      : givenOffsets(params, from.offsets);
  const open = params.partitions.filter((p) => !known.has(splitIdOf(p.topic, p.partition)));
  if (open.length === 0) return known;
  const { otherwise = 'fail' } = from;
  if (otherwise === 'fail')
    throw invalid(
      'KAFKA_NO_START_OFFSET',
      `no ${'committed' in from ? `offset of the group ${from.committed}` : 'start offset'} for ${namesOf(open)}; commit or give one, or say 'otherwise'`,
    );
  const rest = await lookUp(
    { ...params, partitions: open },
    otherwise === 'earliest' ? EARLIEST_OFFSET : LATEST_OFFSET,
  );
  return new Map([...known, ...rest]);
}

export async function resolveStop(
  params: OffsetParams,
  until: Until,
): Promise<Map<string, number>> {
  if (until === 'latest') return lookUp(params, LATEST_OFFSET);
  if ('timestamp' in until) return atTime(params, until.timestamp);
  const known =
    'committed' in until
      ? await committedOffsets(params, until.committed)
      : givenOffsets(params, until.offsets);
  const open = params.partitions.filter((p) => !known.has(splitIdOf(p.topic, p.partition)));
  if (open.length > 0)
    throw invalid('KAFKA_NO_STOP_OFFSET', `no offset to stop at for ${namesOf(open)}; give one`);
  return known;
}

const PARTITIONS_NAMED_MAX = 10;

const namesOf = (partitions: readonly TopicPartition[]): string =>
  partitions
    .slice(0, PARTITIONS_NAMED_MAX)
    .map(({ topic, partition }) => splitIdOf(topic, partition))
    .join(', ');

const lookUp = (
  { client, isolation, partitions }: OffsetParams,
  timestamp: number,
): Promise<Map<string, number>> =>
  lookUpOffsets(
    client,
    isolation,
    partitions.map(({ topic, partition }) => ({ topic, partition, timestamp })),
  );

async function atTime(params: OffsetParams, timestamp: number): Promise<Map<string, number>> {
  const [found, ends] = [await lookUp(params, timestamp), await lookUp(params, LATEST_OFFSET)];
  for (const [id, offset] of found) if (offset < 0) found.set(id, ends.get(id)!); // both lookups have every partition
  return found;
}

async function committedOffsets(
  { client, partitions }: OffsetParams,
  groupId: string,
): Promise<Map<string, number>> {
  const { offsets } = await client.persist(`the offsets of the group ${groupId}`, async () => {
    const answer = await client.askCoordinator(
      'group',
      groupId,
      (node) => client.transport.fetchGroupOffsets(node, groupId, partitions),
      ({ errorCode }) => errorCode,
    );
    const errorCode =
      answer.errorCode || (answer.offsets.find((offset) => offset.errorCode !== 0)?.errorCode ?? 0);
    if (errorCode !== 0) throw failureOf(`the offsets of the group ${groupId}`, errorCode);
    return answer;
  });
  const known = new Map<string, number>();
  for (const { topic, partition, offset } of offsets)
    if (offset >= 0) known.set(splitIdOf(topic, partition), offset);
  return known;
}

function givenOffsets({ partitions }: OffsetParams, offsets: OffsetsByTopic): Map<string, number> {
  const known = new Map<string, number>();
  for (const { topic, partition } of partitions) {
    const offset = Object.hasOwn(offsets, topic) ? offsets[topic]?.[partition] : undefined;
    if (offset === undefined) continue;
    if (!Number.isSafeInteger(offset) || offset < 0)
      throw new MillraceError(
        'invalid',
        'KAFKA_BAD_OFFSET',
        `${topic}-${partition}: ${offset} is no offset`,
      );
    known.set(splitIdOf(topic, partition), offset);
  }
  return known;
}
