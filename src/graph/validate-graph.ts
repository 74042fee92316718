/** Whether a logical graph can run: every fault at once, as a pure function, each with the operators it is about. */
import { invalid } from '../base/errors.ts';
import type { LogicalEdge, LogicalGraph, LogicalNode, NodeKind } from './logical-graph.ts';

/** @throws `invalid` GRAPH_INVALID with `details.faults`, one line each. */
export function validateGraph(graph: LogicalGraph): void {
  const faults = graphFaults(graph);
  if (faults.length > 0)
    throw invalid('GRAPH_INVALID', `the job cannot run:\n  ${faults.join('\n  ')}`, { faults });
}

/** What is wrong with the graph, in its own order; empty when it can run. */
export function graphFaults(graph: LogicalGraph): readonly string[] {
  if (graph.nodes.length === 0)
    return ['the job has no operators; begin with env.fromSource and end with sinkTo'];
  // Reversed, so that of two nodes with one id the first is kept.
  const nodes = new Map(graph.nodes.toReversed().map((node) => [node.id, node]));
  const twice = graph.nodes.filter((node) => nodes.get(node.id) !== node);
  const loose = graph.edges.filter(
    ({ source, target }) => !nodes.has(source) || !nodes.has(target),
  );
  const edges = graph.edges.filter((edge) => !loose.includes(edge));
  return [
    ...twice.map(
      ({ id, name }) => `"${nodes.get(id)!.name}" and "${name}" have one operator id, ${id}`,
    ),
    ...loose.map(({ id }) => `edge ${id} leads to an operator that is not in the graph`),
    ...graph.nodes.flatMap((node) => parallelismFaults(node)),
    ...graph.nodes.flatMap((node) => inputFaults(node, edges)),
    ...edges.flatMap((edge) => edgeFaults(edge, nodes.get(edge.source)!, nodes.get(edge.target)!)),
    ...cycleFaults(graph.nodes, edges),
  ];
}

function parallelismFaults({ name, parallelism, maxParallelism }: LogicalNode): readonly string[] {
  if (!Number.isInteger(parallelism) || parallelism < 1)
    return [`"${name}": parallelism ${parallelism} is no positive integer`];
  return parallelism > maxParallelism
    ? [`"${name}": parallelism ${parallelism} is above its maxParallelism ${maxParallelism}`]
    : [];
}

/** Inputs that each kind reads. */
const INPUTS: Readonly<Record<NodeKind, readonly (1 | 2)[]>> = {
  source: [],
  stateless: [1],
  'one-input': [1],
  'two-input': [1, 2],
  sink: [1],
};

function inputFaults(
  { id, kind, name, keySchema }: LogicalNode,
  edges: readonly LogicalEdge[],
): readonly string[] {
  const faults: string[] = [];
  const into = edges.filter(({ target }) => target === id);
  const expected = INPUTS[kind];
  for (const input of expected)
    if (!into.some((edge) => edge.input === input))
      faults.push(`"${name}" reads nothing on input ${input}`);
  for (const { input } of into)
    if (!expected.includes(input))
      faults.push(`"${name}" is a ${kind} operator and cannot read on input ${input}`);
  const keyed = into.some(({ partitioning }) => partitioning === 'hash');
  const astray = into.find(({ partitioning }) => !KEYED_INPUTS.has(partitioning));
  if (keySchema !== undefined && (!keyed || astray !== undefined))
    faults.push(
      `"${name}" keeps state by key and reads ${astray === undefined ? 'no keyed stream' : `by ${astray.partitioning}`}; call keyBy before it`,
    );
  const read = edges.some(({ source }) => source === id);
  if (kind === 'sink' && read) faults.push(`"${name}" is a sink; nothing can read from it`);
  if (kind !== 'sink' && !read)
    faults.push(`nothing reads from "${name}"; end the stream with sinkTo or print`);
  return faults;
}

/** What a keyed operator may read: its keys, and what every subtask gets anyway. */
const KEYED_INPUTS: ReadonlySet<string> = new Set(['hash', 'broadcast']);

function edgeFaults(
  edge: LogicalEdge,
  source: LogicalNode,
  target: LogicalNode,
): readonly string[] {
  const faults: string[] = [];
  if (edge.partitioning === 'forward' && source.parallelism !== target.parallelism)
    faults.push(
      `forward from "${source.name}" (parallelism ${source.parallelism}) to "${target.name}" (${target.parallelism}): use rebalance or rescale`,
    );
  if (edge.sideOutput !== undefined && !Object.hasOwn(source.sideOutputs, edge.sideOutput))
    faults.push(
      `"${target.name}" reads the side output "${edge.sideOutput}", which "${source.name}" does not have`,
    );
  return faults;
}

/** Takes away, again and again, what has no inputs left; what stays is a cycle or reads from one. */
function cycleFaults(
  nodes: readonly LogicalNode[],
  edges: readonly LogicalEdge[],
): readonly string[] {
  let left = nodes;
  for (;;) {
    const ids = new Set(left.map(({ id }) => id));
    const next = left.filter(({ id }) =>
      edges.some(({ source, target }) => target === id && ids.has(source)),
    );
    if (next.length === left.length) break;
    left = next;
  }
  return left.length === 0
    ? []
    : [
        `these operators read from each other in a cycle: ${left.map(({ name }) => `"${name}"`).join(', ')}`,
      ];
}
