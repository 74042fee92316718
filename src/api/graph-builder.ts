/** Records what the program builds: nodes and edges as data, their code beside them. */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type {
  ChainingStrategy,
  Delivery,
  LogicalEdge,
  LogicalGraph,
  LogicalNode,
  NodeKind,
  Partitioning,
} from '../graph/logical-graph.ts';
import { OperatorIds } from '../graph/operator-id.ts';
import type {
  CustomPartitioner,
  EdgeCode,
  KeySelector,
  NodeCode,
  Program,
} from '../graph/program.ts';
import type { OutputTag } from '../operators/output-tag.ts';
import { schemaToJson } from '../types/schema-json.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';

/** A node while it may still be changed: its id is made when the graph is. */
export interface NodeDraft {
  readonly kind: NodeKind;
  readonly type: string;
  readonly code: NodeCode;
  readonly inputs: InputDraft[];
  readonly description: Readonly<Record<string, JsonValue>>;
  readonly sideOutputs: Map<string, Schema<unknown> | undefined>;
  readonly eventTime: LogicalNode['eventTime'];
  readonly delivery: Delivery | undefined;
  readonly staging: LogicalNode['staging'];
  accepts: Delivery | undefined;
  name: string;
  uid: string | undefined;
  /** Undefined takes the environment's default. */
  parallelism: number | undefined;
  maxParallelism: number | undefined;
  chaining: ChainingStrategy;
  slotSharingGroup: string | undefined;
  schema: Schema<unknown> | undefined;
}

export interface InputDraft {
  readonly source: NodeDraft;
  readonly input: 1 | 2;
  readonly partitioning: Partitioning;
  readonly keySelector?: KeySelector;
  readonly keySchema?: Schema<unknown>;
  readonly partitioner?: CustomPartitioner;
  readonly sideOutput?: OutputTag<unknown>;
  /** The user said `forward`: other parallelism is a fault. Otherwise the edge becomes a rebalance then (Flink's default). */
  readonly explicit?: boolean;
}

export type NodeSpec = Pick<NodeDraft, 'kind' | 'type' | 'code'> &
  Partial<
    Pick<
      NodeDraft,
      'name' | 'parallelism' | 'schema' | 'eventTime' | 'delivery' | 'accepts' | 'staging'
    >
  > & {
    readonly inputs: readonly InputDraft[];
    readonly description?: NodeDraft['description'] | undefined;
  };

/** What streams may ask of the environment they belong to. */
export interface JobRunner {
  execute(name: string): Promise<unknown>;
  toProgram(name: string): Program;
}

export interface GraphDefaults {
  readonly parallelism: number;
  readonly maxParallelism: number;
  /** False: every operator is a task of its own. */
  readonly chaining: boolean;
}

const GENERIC = t.generic();

export class GraphBuilder {
  readonly #nodes: NodeDraft[] = [];
  readonly runner: JobRunner;
  #executedAs: string | undefined;

  constructor(runner: JobRunner) {
    this.runner = runner;
  }

  add(spec: NodeSpec): NodeDraft {
    const name = spec.name ?? spec.type;
    if (this.#executedAs !== undefined)
      throw invalid(
        'JOB_ALREADY_EXECUTED',
        `"${name}" reads a stream of job "${this.#executedAs}", which has been executed; build it before execute, or begin again with env.fromSource`,
      );
    if (!spec.inputs.every(({ source }) => this.#nodes.includes(source)))
      throw invalid(
        'FOREIGN_STREAM',
        `"${name}" reads a stream of another environment, or of a job that has been executed; all streams of a job come from one environment`,
      );
    const node: NodeDraft = {
      kind: spec.kind,
      type: spec.type,
      code: spec.code,
      inputs: [...spec.inputs],
      description: spec.description ?? {},
      sideOutputs: new Map(),
      eventTime: spec.eventTime,
      delivery: spec.delivery,
      accepts: spec.accepts,
      staging: spec.staging,
      name,
      uid: undefined,
      parallelism: spec.parallelism,
      maxParallelism: undefined,
      chaining: 'always',
      slotSharingGroup: undefined,
      schema: spec.schema,
    };
    this.#nodes.push(node);
    return node;
  }

  /** Nothing is added after this. */
  closeAs(name: string): void {
    this.#executedAs = name;
  }

  get isEmpty(): boolean {
    return this.#nodes.length === 0;
  }

  build(name: string, defaults: GraphDefaults, config: Program['config']): Program {
    const ids = new OperatorIds();
    const idOf = new Map<NodeDraft, string>();
    // Uids first: a derived id never takes what a uid stands for.
    for (const node of this.#nodes)
      if (node.uid !== undefined) idOf.set(node, ids.fromUid(node.uid, node.name));
    for (const node of this.#nodes) {
      if (idOf.has(node)) continue;
      idOf.set(
        node,
        ids.derived(
          node.type,
          node.name,
          node.inputs.map(({ source, input }) => `${idOf.get(source)!}:${input}`),
        ),
      );
    }
    const groups = new Map<NodeDraft, string>();
    for (const node of this.#nodes) groups.set(node, groupOf(node, groups));
    const edges: LogicalEdge[] = [];
    const edgeCode = new Map<string, EdgeCode>();
    const parallelismOf = (node: NodeDraft): number => node.parallelism ?? defaults.parallelism;
    for (const node of this.#nodes) this.#addEdges(node, { idOf, parallelismOf }, edges, edgeCode);
    const nodes = this.#nodes.map((node) =>
      toLogical(node, { id: idOf.get(node)!, defaults, slotSharingGroup: groups.get(node)! }),
    );
    const graph: LogicalGraph = { name, nodes, edges };
    return {
      graph,
      nodes: new Map(this.#nodes.map((node) => [idOf.get(node)!, node.code])),
      edges: edgeCode,
      config,
    };
  }

  #addEdges(
    node: NodeDraft,
    { idOf, parallelismOf }: EdgeFacts,
    edges: LogicalEdge[],
    code: Map<string, EdgeCode>,
  ): void {
    node.inputs.forEach((input, ordinal) => {
      const source = idOf.get(input.source)!;
      const target = idOf.get(node)!;
      const id = `${source}:${target}:${input.input}:${ordinal}`;
      edges.push({
        id,
        source,
        target,
        input: input.input,
        partitioning: settledPartitioning(
          input,
          parallelismOf(input.source) === parallelismOf(node),
        ),
        ...(input.sideOutput === undefined ? {} : { sideOutput: input.sideOutput.id }),
      });
      code.set(id, {
        schema:
          (input.sideOutput === undefined
            ? input.source.schema
            : input.source.sideOutputs.get(input.sideOutput.id)) ?? GENERIC,
        ...(input.keySelector === undefined ? {} : { keySelector: input.keySelector }),
        ...(input.keySchema === undefined ? {} : { keySchema: input.keySchema }),
        ...(input.partitioner === undefined ? {} : { partitioner: input.partitioner }),
      });
    });
  }
}

interface EdgeFacts {
  readonly idOf: ReadonlyMap<NodeDraft, string>;
  parallelismOf(node: NodeDraft): number;
}

const settledPartitioning = (
  { partitioning, explicit }: InputDraft,
  sameParallelism: boolean,
): Partitioning =>
  partitioning === 'forward' && explicit !== true && !sameParallelism ? 'rebalance' : partitioning;

/** A node is in its own group, else in that of its inputs if they agree, else in the default one. */
function groupOf(node: NodeDraft, groups: ReadonlyMap<NodeDraft, string>): string {
  if (node.slotSharingGroup !== undefined) return node.slotSharingGroup;
  const inputs = new Set(node.inputs.map(({ source }) => groups.get(source)!));
  return inputs.size === 1 ? [...inputs][0]! : 'default';
}

function toLogical(
  node: NodeDraft,
  {
    id,
    defaults,
    slotSharingGroup,
  }: { id: string; defaults: GraphDefaults; slotSharingGroup: string },
): LogicalNode {
  const json = (schema: Schema<unknown> | undefined): JsonValue =>
    schema === undefined ? null : schemaToJson(schema);
  return {
    id,
    name: node.name,
    kind: node.kind,
    type: node.type,
    parallelism: node.parallelism ?? defaults.parallelism,
    maxParallelism: node.maxParallelism ?? defaults.maxParallelism,
    chaining: defaults.chaining ? node.chaining : 'never',
    slotSharingGroup,
    outputSchema: json(node.schema),
    sideOutputs: Object.fromEntries(
      [...node.sideOutputs].map(([tag, schema]) => [tag, json(schema)]),
    ),
    description: node.description,
    ...(node.eventTime === undefined ? {} : { eventTime: node.eventTime }),
    ...(node.delivery === undefined ? {} : { delivery: node.delivery }),
    ...(node.accepts === undefined ? {} : { accepts: node.accepts }),
    ...(node.staging === undefined ? {} : { staging: node.staging }),
    ...(node.uid === undefined ? {} : { uid: node.uid }),
    ...(node.code.keySchema === undefined ? {} : { keySchema: schemaToJson(node.code.keySchema) }),
  };
}

/** @throws `invalid` SIDE_OUTPUT_TYPES_DIFFER: one id stands for records of one type. */
export function addSideOutput(node: NodeDraft, { id, schema }: OutputTag<unknown>): void {
  const json = (of: Schema<unknown> | undefined): string =>
    of === undefined ? 'generic' : JSON.stringify(schemaToJson(of));
  if (node.sideOutputs.has(id) && json(node.sideOutputs.get(id)) !== json(schema))
    throw invalid(
      'SIDE_OUTPUT_TYPES_DIFFER',
      `the side output "${id}" of "${node.name}" is read with two schemas; use one tag for it`,
    );
  node.sideOutputs.set(id, schema);
}

export function checkParallelism(parallelism: number): number {
  if (!Number.isInteger(parallelism) || parallelism < 1)
    throw invalid('BAD_PARALLELISM', `parallelism is ${parallelism}; it is a positive integer`);
  return parallelism;
}
