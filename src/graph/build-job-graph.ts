/**
 * From operators to vertices: chaining, as a pure function over the logical graph.
 *
 * An edge is chained when all of this holds (Flink's rules): it is forward; its target has one input edge in all; both sides have the same
 * parallelism and slot sharing group; the target's chaining strategy is `always`, the source's is not `never`. Records then go by a call.
 */
import { assert } from '../base/errors.ts';
import type { JobEdge, JobGraph, JobVertex } from './job-graph.ts';
import type { LogicalEdge, LogicalGraph, LogicalNode } from './logical-graph.ts';
import { fingerprintOf } from './operator-id.ts';
import { validateGraph } from './validate-graph.ts';

/** @throws `invalid` GRAPH_INVALID listing every fault. */
export function buildJobGraph(graph: LogicalGraph): JobGraph {
  validateGraph(graph);
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const order = topologicalOrder(graph);
  const chained = new Set(graph.edges.filter((edge) => isChainable(edge, graph, nodes)));
  const headOf = new Map<string, string>();
  for (const id of order) {
    const into = graph.edges.find((edge) => edge.target === id && chained.has(edge));
    headOf.set(id, into === undefined ? id : headOf.get(into.source)!);
  }
  const heads = order.filter((id) => headOf.get(id) === id);
  const vertices = heads.map((head) =>
    vertexOf(
      head,
      order.filter((id) => headOf.get(id) === head).map((id) => nodes.get(id)!),
      chained,
    ),
  );
  const edges: JobEdge[] = graph.edges
    .filter((edge) => !chained.has(edge))
    .map((edge) => ({
      ...edge,
      sourceVertex: headOf.get(edge.source)!,
      targetVertex: headOf.get(edge.target)!,
    }));
  return { name: graph.name, vertices, edges, fingerprint: fingerprintOf({ vertices, edges }) };
}

function vertexOf(
  head: string,
  operators: readonly LogicalNode[],
  chained: ReadonlySet<LogicalEdge>,
): JobVertex {
  const first = operators[0]!;
  const ids = new Set(operators.map(({ id }) => id));
  return {
    id: head,
    name: operators.map(({ name }) => name).join(' -> '),
    operators,
    chainEdges: [...chained].filter((edge) => ids.has(edge.source)),
    parallelism: first.parallelism,
    maxParallelism: first.maxParallelism,
    slotSharingGroup: first.slotSharingGroup,
  };
}

function isChainable(
  edge: LogicalEdge,
  graph: LogicalGraph,
  nodes: ReadonlyMap<string, LogicalNode>,
): boolean {
  const source = nodes.get(edge.source)!;
  const target = nodes.get(edge.target)!;
  return (
    edge.partitioning === 'forward' &&
    graph.edges.filter(({ target: id }) => id === edge.target).length === 1 &&
    source.parallelism === target.parallelism &&
    source.slotSharingGroup === target.slotSharingGroup &&
    target.chaining === 'always' &&
    source.chaining !== 'never'
  );
}

/** Sources first, ties in the order of recording. */
function topologicalOrder(graph: LogicalGraph): readonly string[] {
  const waiting = new Map(
    graph.nodes.map(({ id }) => [id, graph.edges.filter(({ target }) => target === id).length]),
  );
  const order: string[] = [];
  while (order.length < graph.nodes.length) {
    const next = graph.nodes.find(({ id }) => waiting.get(id) === 0);
    assert(next !== undefined, 'a validated graph has no cycle');
    waiting.set(next.id, -1);
    order.push(next.id);
    for (const edge of graph.edges)
      if (edge.source === next.id) waiting.set(edge.target, waiting.get(edge.target)! - 1);
  }
  return order;
}

/** Vertices that restart together: connected by edges, all of which are pipelined. */
export function pipelinedRegions(graph: JobGraph): readonly ReadonlySet<string>[] {
  const regions: Set<string>[] = graph.vertices.map(({ id }) => new Set([id]));
  for (const { sourceVertex, targetVertex } of graph.edges) {
    const a = regions.find((region) => region.has(sourceVertex))!;
    const b = regions.find((region) => region.has(targetVertex))!;
    if (a === b) continue;
    for (const id of b) a.add(id);
    regions.splice(regions.indexOf(b), 1);
  }
  return regions;
}
