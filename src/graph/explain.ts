/** The plan for people and for tools. Deterministic: the same program explains itself the same way. */
import type { JsonValue } from '../base/json.ts';
import { describeSchema, schemaFromJson } from '../types/schema-json.ts';
import type { JobEdge, JobGraph, JobVertex } from './job-graph.ts';
import type { LogicalNode } from './logical-graph.ts';

const schemaOf = (node: LogicalNode): string =>
  node.outputSchema === null ? 'generic' : describeSchema(schemaFromJson(node.outputSchema));

function factsOf(node: LogicalNode): string {
  const facts = Object.entries(node.description).map(
    ([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return facts.length === 0 ? '' : `  [${facts.join(', ')}]`;
}

function vertexLines(
  vertex: JobVertex,
  number: number,
  inputs: readonly string[],
): readonly string[] {
  return [
    `${number}. ${vertex.name}  (parallelism ${vertex.parallelism})`,
    ...inputs.map((input) => `     reads ${input}`),
    ...vertex.operators.map(
      (node) =>
        `     ${node.type.padEnd(14)} ${node.name}${factsOf(node)}${node.kind === 'sink' ? '' : `  -> ${schemaOf(node)}`}`,
    ),
  ];
}

/** One paragraph a vertex, in the order of the data. */
export function explainText(graph: JobGraph): string {
  const number = new Map(graph.vertices.map(({ id }, i) => [id, i + 1]));
  const inputOf = (edge: JobEdge): string => {
    const side = edge.sideOutput === undefined ? '' : ` (side output ${edge.sideOutput})`;
    return `${number.get(edge.sourceVertex)!}${side} by ${edge.partitioning}`;
  };
  const lines = graph.vertices.flatMap((vertex) =>
    vertexLines(
      vertex,
      number.get(vertex.id)!,
      graph.edges.filter(({ targetVertex }) => targetVertex === vertex.id).map(inputOf),
    ),
  );
  return `${graph.name === '' ? 'job' : graph.name}\n${lines.join('\n')}\n`;
}

/** The same as data: vertices and edges, as Flink's JSON plan has them. */
export function explainJson(graph: JobGraph): JsonValue {
  return {
    name: graph.name,
    fingerprint: graph.fingerprint,
    nodes: graph.vertices.map((vertex) => ({
      id: vertex.id,
      description: vertex.name,
      parallelism: vertex.parallelism,
      maxParallelism: vertex.maxParallelism,
      operators: vertex.operators.map(({ id, name, type, description, outputSchema }) => ({
        id,
        name,
        type,
        description,
        outputSchema,
      })),
      inputs: graph.edges
        .filter(({ targetVertex }) => targetVertex === vertex.id)
        .map(({ sourceVertex, partitioning, input, sideOutput }) => ({
          id: sourceVertex,
          ship_strategy: partitioning.toUpperCase(),
          input,
          ...(sideOutput === undefined ? {} : { sideOutput }),
        })),
    })),
  };
}
