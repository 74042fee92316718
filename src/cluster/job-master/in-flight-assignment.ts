/**
 * Which in-flight data of a checkpoint each new subtask gets, and what cannot be restored: pure functions.
 *
 * Records of an edge that is partitioned by key go to the subtask that owns them now; those of an edge that spreads records go where the old
 * subtask's index leads, modulo the parallelism, so that their order is kept.
 */
import { redistributionOf } from '../../graph/overtaking.ts';
import type { JobEdge, JobGraph, JobVertex } from '../../graph/job-graph.ts';
import type { ChannelRestore, InFlightRestore } from '../../runtime/task-descriptor.ts';
import { rangeOf } from '../../state/channel-state-files.ts';
import type { CheckpointRecord, VertexRecord } from '../../state/checkpoint-record.ts';
import type { ChannelStateHandle } from '../../state/snapshot.ts';
import { intersectRanges, keyGroupRangeOf } from '../../types/key-group.ts';

const channelsOf = (vertex: VertexRecord): readonly (ChannelStateHandle | undefined)[] =>
  vertex.subtasks.map(({ channels }) => channels);

/** Reasons why in-flight data of the record does not fit the graph. */
export function inFlightRefusals(record: CheckpointRecord, graph: JobGraph): readonly string[] {
  const reasons = new Set<string>();
  for (const vertex of record.vertices) {
    const { name, maxParallelism } = vertex.operators[0]!;
    for (const channels of channelsOf(vertex)) {
      for (const [edgeId, partitioning] of Object.entries(channels?.edges ?? {})) {
        const edge = graph.edges.find(({ id }) => id === edgeId);
        const target = graph.vertices.find(({ id }) => id === edge?.targetVertex);
        if (edge === undefined || target === undefined)
          reasons.add(refusal(name, 'an exchange that is not in the program'));
        else if (edge.partitioning !== partitioning)
          reasons.add(
            refusal(name, `an exchange by ${partitioning} that is by ${edge.partitioning} now`),
          );
        else if (
          partitioning === 'hash' &&
          vertex.id === target.id &&
          target.maxParallelism !== maxParallelism
        )
          reasons.add(
            refusal(
              name,
              `maxParallelism ${maxParallelism}, which is ${target.maxParallelism} now`,
            ),
          );
      }
    }
  }
  return [...reasons];
}

const refusal = (operator: string, what: string): string =>
  `the checkpoint is unaligned and holds records in flight at operator "${operator}" for ${what}; restore it with the program that wrote it and take a savepoint, which holds none`;

interface Place {
  readonly vertex: JobVertex;
  readonly subtaskIndex: number;
  /** Of the checkpoint. */
  readonly oldParallelism: number;
}

/** Undefined: nothing is in flight for it. */
export function assignInFlight(
  record: CheckpointRecord,
  graph: JobGraph,
  vertex: JobVertex,
  subtaskIndex: number,
): InFlightRestore | undefined {
  const old = record.vertices.find(({ id }) => id === vertex.id);
  if (old === undefined) return undefined;
  const place = { vertex, subtaskIndex, oldParallelism: old.subtasks.length };
  const edges = graph.edges.filter(({ targetVertex }) => targetVertex === vertex.id);
  const received = channelsOf(old);
  // Stages are counted from the last: that is what stood in channels when the barrier came.
  const depth = Math.max(1, ...received.map((channels) => channels?.inputs.length ?? 0));
  const stages = Array.from({ length: depth }, (_, i) => [
    ...inputParts(received, depth - 1 - i, edges, place),
    ...(i === depth - 1 ? outputParts(record, edges, place) : []),
  ]).filter((parts) => parts.length > 0);
  if (stages.length === 0) return undefined;
  return { stages, timed: isTimed(received, depth, place) };
}

/** Of the old subtasks' stages, counted from the last, those parts that are this subtask's. */
function inputParts(
  received: readonly (ChannelStateHandle | undefined)[],
  fromLast: number,
  edges: readonly JobEdge[],
  place: Place,
): readonly ChannelRestore[] {
  return received.flatMap((channels, target): readonly ChannelRestore[] => {
    const range = channels?.inputs.at(-1 - fromLast);
    if (channels === undefined || range === undefined) return [];
    const owned = edges.flatMap((edge) => {
      const share = shareOf(edge, target, place);
      return share === undefined ? [] : [[edge.id, share] as const];
    });
    if (owned.length === 0) return [];
    return [{ target, bytes: rangeOf(channels.data, range), edges: Object.fromEntries(owned) }];
  });
}

/** What senders had for the old subtasks and could not send. */
function outputParts(
  record: CheckpointRecord,
  edges: readonly JobEdge[],
  place: Place,
): readonly ChannelRestore[] {
  return edges.flatMap((edge) =>
    record.vertices.flatMap(channelsOf).flatMap((channels) =>
      Object.entries(channels?.outputs[edge.id] ?? {}).flatMap(([target, range]) => {
        const share = shareOf(edge, Number(target), place);
        if (share === undefined) return [];
        const bytes = rangeOf(channels!.data, range); // it has this output
        return [{ target: Number(target), bytes, edges: { [edge.id]: share } }];
      }),
    ),
  );
}

/** What of old subtask `target`'s records of an edge this one gets. */
function shareOf(edge: JobEdge, target: number, place: Place): 'all' | 'own' | undefined {
  const { vertex, subtaskIndex, oldParallelism } = place;
  const { parallelism } = vertex;
  const kind = redistributionOf(edge.partitioning);
  if (oldParallelism === parallelism) return target === subtaskIndex ? 'all' : undefined;
  if (kind === 'spread') return target % parallelism === subtaskIndex ? 'all' : undefined;
  // Exchanges that align have no records here, but their time counts.
  const isKeyed = edge.partitioning === 'hash' || kind === 'never';
  if (isKeyed && !shareKeyGroups(target, place)) return undefined;
  return kind === 'never' ? 'all' : 'own';
}

function shareKeyGroups(target: number, { vertex, subtaskIndex, oldParallelism }: Place): boolean {
  const { parallelism, maxParallelism } = vertex;
  return (
    intersectRanges(
      keyGroupRangeOf(target, oldParallelism, maxParallelism),
      keyGroupRangeOf(subtaskIndex, parallelism, maxParallelism),
    ) !== undefined
  );
}

/**
 * Whether event time of the restored channels holds for all that the subtask has: it is what it was, or all its key groups' old subtasks
 * have told theirs.
 */
function isTimed(
  received: readonly (ChannelStateHandle | undefined)[],
  depth: number,
  place: Place,
): boolean {
  const { vertex, subtaskIndex, oldParallelism } = place;
  if (oldParallelism === vertex.parallelism) return received[subtaskIndex]?.inputs[0] !== undefined;
  if (vertex.operators[0]!.keySchema === undefined) return false;
  const old = received.filter((_, target) => shareKeyGroups(target, place));
  if (!old.every((channels) => channels?.inputs[0] !== undefined)) return false;
  return old.length === 1 || depth === 1;
}
