/** What will run, but perhaps not as meant: pure functions over the graphs, for `explain`. */
import type { JobGraph } from './job-graph.ts';
import type { LogicalGraph, LogicalNode } from './logical-graph.ts';

/** One line each, in the order of the graph. */
export function planWarnings(graph: LogicalGraph, job: JobGraph): readonly string[] {
  return [
    ...graph.nodes
      .filter(({ eventTime }) => eventTime === 'needs')
      .flatMap((node) => withoutWatermarks(node, graph)),
    ...withoutSchema(graph, job),
    ...withoutUid(graph),
  ];
}

/** Walks upstream and stops where watermarks are made; a source that is reached makes none. */
function withoutWatermarks(node: LogicalNode, graph: LogicalGraph): readonly string[] {
  const nodes = new Map(graph.nodes.map((other) => [other.id, other]));
  const seen = new Set<string>();
  const open = [node.id];
  const bare: string[] = [];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const { source, target } of graph.edges) {
      if (target !== id || seen.has(source)) continue;
      seen.add(source);
      const upstream = nodes.get(source)!;
      if (upstream.eventTime === 'assigns') continue;
      if (upstream.kind === 'source') bare.push(upstream.name);
      else open.push(source);
    }
  }
  return bare.map(
    (source) =>
      `"${node.name}" works by event time and "${source}" gives no watermarks: it waits for the end of the input; give the source a WatermarkStrategy`,
  );
}

/** Schemaless records between subtasks are written as MessagePack: slower, larger, without evolution. */
function withoutSchema(graph: LogicalGraph, { edges, vertices }: JobGraph): readonly string[] {
  const parallel = new Set(
    vertices.filter(({ parallelism }) => parallelism > 1).map(({ id }) => id),
  );
  const bare = graph.nodes.filter(({ id, outputSchema, sideOutputs }) =>
    edges.some(
      ({ source, sourceVertex, targetVertex, sideOutput }) =>
        source === id &&
        (parallel.has(sourceVertex) || parallel.has(targetVertex)) &&
        (sideOutput === undefined ? outputSchema : sideOutputs[sideOutput]) === null,
    ),
  );
  return bare.map(
    ({ name }) =>
      `records of "${name}" go to other threads without a schema; give it one, as an argument or with returns(schema)`,
  );
}

function withoutUid({ nodes }: LogicalGraph): readonly string[] {
  const bare = nodes.filter(({ keySchema, uid }) => keySchema !== undefined && uid === undefined);
  return bare.length === 0
    ? []
    : [
        `no uid on ${bare.map(({ name }) => `"${name}"`).join(', ')}: state is found again only while the program before it stays the same`,
      ];
}
