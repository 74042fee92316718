/**
 * Where every subtask runs and which channels connect them: a pure function of the job graph and the workers.
 *
 * Subtask i of every vertex of a slot sharing group takes slot i of the group, so that a slot holds one pipeline and forward edges stay
 * on one thread. Slots are dealt to workers in order.
 */
import { invalid } from '../../base/errors.ts';
import type { JobEdge, JobGraph, JobVertex } from '../../graph/job-graph.ts';
import type { ChannelStart } from '../../runtime/channel.ts';
import type {
  ChannelDescriptor,
  InputDescriptor,
  OutputDescriptor,
  TaskDescriptor,
} from '../../runtime/task-descriptor.ts';

export interface WorkerSlots {
  readonly name: string;
  readonly slots: number;
}

/** vertexId -> worker of each subtask. */
export type Placement = ReadonlyMap<string, readonly string[]>;

/** Slots that each slot sharing group takes: as many as its widest vertex has subtasks. */
function groupSlots(graph: JobGraph): ReadonlyMap<string, number> {
  const groups = new Map<string, number>();
  for (const { slotSharingGroup, parallelism } of graph.vertices)
    groups.set(slotSharingGroup, Math.max(groups.get(slotSharingGroup) ?? 0, parallelism));
  return groups;
}

export const slotsNeeded = (graph: JobGraph): number =>
  groupSlots(graph)
    .values()
    .reduce((a, b) => a + b, 0);

/** @throws `invalid` NOT_ENOUGH_SLOTS */
export function placeSubtasks(graph: JobGraph, workers: readonly WorkerSlots[]): Placement {
  const groups = groupSlots(graph);
  const slots = workers.flatMap(({ name, slots: count }) =>
    Array.from({ length: count }, () => name),
  );
  const needed = slotsNeeded(graph);
  if (needed > slots.length)
    throw invalid(
      'NOT_ENOUGH_SLOTS',
      `the job needs ${needed} slots and there are ${slots.length}`,
      { needed, available: slots.length },
    );
  const firstSlot = new Map<string, number>();
  let next = 0;
  for (const [group, count] of groups) {
    firstSlot.set(group, next);
    next += count;
  }
  return new Map(
    graph.vertices.map((vertex) => {
      const first = firstSlot.get(vertex.slotSharingGroup)!;
      return [vertex.id, Array.from({ length: vertex.parallelism }, (_, i) => slots[first + i]!)];
    }),
  );
}

/** Target subtasks of source subtask `index` on an edge, in channel order. */
export function targetsOf(
  edge: JobEdge,
  index: number,
  { sources, targets }: { readonly sources: number; readonly targets: number },
): readonly number[] {
  const all = Array.from({ length: targets }, (_, i) => i);
  if (edge.partitioning === 'forward') return [index];
  if (edge.partitioning === 'global') return [0];
  if (edge.partitioning !== 'rescale') return all;
  // Pointwise, as Flink deals them out: each subtask of the smaller side has a run of the larger side's.
  return all.filter((target) =>
    targets >= sources
      ? Math.floor((target * sources) / targets) === index
      : Math.floor((target * sources) / targets) <= index &&
        index < Math.floor(((target + 1) * sources) / targets),
  );
}

export interface Connected {
  readonly inputs: ReadonlyMap<string, readonly InputDescriptor[]>;
  readonly outputs: ReadonlyMap<string, readonly OutputDescriptor[]>;
}

export const subtaskKey = (vertexId: string, index: number): string => `${vertexId}#${index}`;

/** Channels of all edges among `vertexIds`, and how those into each subtask begin; a number is never used again within a job. */
export function connectSubtasks(
  graph: JobGraph,
  vertexIds: ReadonlySet<string>,
  placement: Placement,
  nextChannel: () => number,
  startOf: (vertexId: string, subtaskIndex: number) => ChannelStart = () => 'open',
): Connected {
  const inputs = new Map<string, InputDescriptor[]>();
  const outputs = new Map<string, OutputDescriptor[]>();
  const parallelismOf = (id: string): number =>
    graph.vertices.find((vertex) => vertex.id === id)!.parallelism;
  for (const edge of graph.edges) {
    if (!vertexIds.has(edge.sourceVertex)) continue;
    const [sources, targets] = [parallelismOf(edge.sourceVertex), parallelismOf(edge.targetVertex)];
    const into = Array.from({ length: targets }, (): ChannelDescriptor[] => []);
    for (let source = 0; source < sources; source++) {
      const channels = targetsOf(edge, source, { sources, targets }).map((target) => {
        const channel = nextChannel();
        into[target]!.push({
          channel,
          peerSubtask: source,
          peerWorker: placement.get(edge.sourceVertex)![source]!,
        });
        return {
          channel,
          peerSubtask: target,
          peerWorker: placement.get(edge.targetVertex)![target]!,
          start: startOf(edge.targetVertex, target),
        };
      });
      append(outputs, subtaskKey(edge.sourceVertex, source), { edgeId: edge.id, channels });
    }
    into.forEach((channels, target) =>
      append(inputs, subtaskKey(edge.targetVertex, target), {
        edgeId: edge.id,
        input: edge.input,
        channels,
      }),
    );
  }
  return { inputs, outputs };
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** The descriptor of one attempt. */
export function describeTask(
  vertex: JobVertex,
  subtaskIndex: number,
  connected: Connected,
  attempt: Pick<TaskDescriptor, 'jobId' | 'attempt' | 'attemptId'> & {
    readonly restore: TaskDescriptor['restore'] | undefined;
  },
): TaskDescriptor {
  const key = subtaskKey(vertex.id, subtaskIndex);
  return {
    jobId: attempt.jobId,
    vertexId: vertex.id,
    subtaskIndex,
    parallelism: vertex.parallelism,
    maxParallelism: vertex.maxParallelism,
    attempt: attempt.attempt,
    attemptId: attempt.attemptId,
    inputs: connected.inputs.get(key) ?? [],
    outputs: connected.outputs.get(key) ?? [],
    ...(attempt.restore === undefined ? {} : { restore: attempt.restore }),
  };
}
