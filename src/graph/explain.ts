/** The plan for people and for tools. Deterministic: the same program explains itself the same way. */
import type { JsonValue } from '../base/json.ts';
import { describeSchema, schemaFromJson } from '../types/schema-json.ts';
import { buildJobGraph } from './build-job-graph.ts';
import { deliveryFindings, pathDeliveries, type PathDelivery } from './delivery.ts';
import type { JobEdge, JobGraph, JobVertex } from './job-graph.ts';
import type { LogicalNode } from './logical-graph.ts';
import { planWarnings } from './plan-warnings.ts';
import type { Program } from './program.ts';

const schemaText = (json: JsonValue): string =>
  json === null ? 'generic' : describeSchema(schemaFromJson(json));

function factsOf(node: LogicalNode): string {
  const facts = Object.entries(node.description).map(
    ([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const uid = node.uid === undefined ? [] : [`uid: ${node.uid}`];
  const all = [...uid, ...facts];
  return all.length === 0 ? '' : `  [${all.join(', ')}]`;
}

function operatorLine(node: LogicalNode, depth: number): string {
  const emits = node.kind === 'sink' ? '' : `  -> ${schemaText(node.outputSchema)}`;
  return `     ${`${'  '.repeat(depth)}${node.type}`.padEnd(14)} ${node.name}${factsOf(node)}${emits}`;
}

/** Operators in the order of the data; branches and side outputs are indented under the operator they leave. */
function chainLines(vertex: JobVertex, id: string, depth: number): readonly string[] {
  const node = vertex.operators.find((operator) => operator.id === id)!;
  const next = vertex.chainEdges.filter(({ source }) => source === id);
  const main = next.filter(({ sideOutput }) => sideOutput === undefined);
  const deeper = main.length > 1 ? depth + 1 : depth;
  return [
    operatorLine(node, depth),
    ...main.flatMap(({ target }) => chainLines(vertex, target, deeper)),
    ...Object.entries(node.sideOutputs).flatMap(([tag, schema]) => [
      `     ${'  '.repeat(depth + 1)}side output ${tag}  -> ${schemaText(schema)}`,
      ...next
        .filter(({ sideOutput }) => sideOutput === tag)
        .flatMap(({ target }) => chainLines(vertex, target, depth + 2)),
    ]),
  ];
}

function vertexLines(graph: JobGraph, vertex: JobVertex): readonly string[] {
  const number = (id: string): number => graph.vertices.findIndex((other) => other.id === id) + 1;
  const inputs = graph.edges.filter(({ targetVertex }) => targetVertex === vertex.id);
  const two = inputs.some(({ input }) => input === 2);
  const inputText = ({ sourceVertex, sideOutput, input, partitioning }: JobEdge): string => {
    const side = sideOutput === undefined ? '' : ` (side output ${sideOutput})`;
    return `     reads ${number(sourceVertex)}${side} by ${partitioning}${two ? ` as input ${input}` : ''}`;
  };
  const group = vertex.slotSharingGroup === 'default' ? '' : `, slots ${vertex.slotSharingGroup}`;
  return [
    `${number(vertex.id)}. ${vertex.name}  (parallelism ${vertex.parallelism}${group})`,
    ...inputs.map(inputText),
    ...chainLines(vertex, vertex.id, 0),
  ];
}

/** A path in one line. */
export const deliveryText = ({ source, sink, delivery, because }: PathDelivery): string =>
  `${source} -> ${sink}: ${delivery}${because.length === 0 ? '' : `, because ${because.join('; ')}`}`;

/** One paragraph a vertex, in the order of the data; then what the job promises, and what to look at. */
export function explainText({ graph, config }: Program): string {
  const job = buildJobGraph(graph);
  const paths = pathDeliveries(graph, config).map(deliveryText);
  const findings = deliveryFindings(graph, config).map(
    ({ isWarning, text }) => `${isWarning ? 'warning' : 'refused'}: ${text}`,
  );
  const warnings = planWarnings(graph, job).map((warning) => `warning: ${warning}`);
  const lines = [
    ...job.vertices.flatMap((vertex) => vertexLines(job, vertex)),
    ...paths,
    ...findings,
    ...warnings,
  ];
  return `${job.name}\n${lines.join('\n')}\n`;
}

/** The same as data: vertices and edges, as Flink's JSON plan has them. */
export function explainJson({ graph, config }: Program): JsonValue {
  const job = buildJobGraph(graph);
  return {
    name: job.name,
    fingerprint: job.fingerprint,
    nodes: job.vertices.map((vertex) => vertexJson(job, vertex)),
    deliveries: pathDeliveries(graph, config).map((path) => ({ ...path })),
    findings: deliveryFindings(graph, config).map((finding) => ({ ...finding })),
    warnings: planWarnings(graph, job),
  };
}

function vertexJson({ edges }: JobGraph, vertex: JobVertex): JsonValue {
  return {
    id: vertex.id,
    description: vertex.name,
    parallelism: vertex.parallelism,
    maxParallelism: vertex.maxParallelism,
    slotSharingGroup: vertex.slotSharingGroup,
    operators: vertex.operators.map(
      ({ id, uid, name, type, description, outputSchema, sideOutputs, keySchema }) => ({
        id,
        ...(uid === undefined ? {} : { uid }),
        name,
        type,
        description,
        outputSchema,
        sideOutputs,
        ...(keySchema === undefined ? {} : { keySchema }),
      }),
    ),
    inputs: edges
      .filter(({ targetVertex }) => targetVertex === vertex.id)
      .map(({ sourceVertex, partitioning, input, sideOutput }) => ({
        id: sourceVertex,
        ship_strategy: partitioning.toUpperCase(),
        input,
        ...(sideOutput === undefined ? {} : { sideOutput }),
      })),
  };
}
