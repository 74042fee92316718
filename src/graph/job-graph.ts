/**
 * The job graph: operators chained into vertices, plain serialisable data.
 */
import type { LogicalEdge, LogicalNode } from './logical-graph.ts';

export interface JobVertex {
  /** Id of its head operator. */
  readonly id: string;
  readonly name: string;
  /** In topological order, head first; a tree rooted at the head through `chainEdges`. */
  readonly operators: readonly LogicalNode[];
  /** Edges inside the vertex. */
  readonly chainEdges: readonly LogicalEdge[];
  readonly parallelism: number;
  readonly maxParallelism: number;
  readonly slotSharingGroup: string;
}

/** An edge between vertices: an exchange. */
export interface JobEdge extends LogicalEdge {
  readonly sourceVertex: string;
  readonly targetVertex: string;
}

export interface JobGraph {
  readonly name: string;
  /** Topological order. */
  readonly vertices: readonly JobVertex[];
  readonly edges: readonly JobEdge[];
  /** Hash over all of it: two processes that run the same program agree on it. */
  readonly fingerprint: string;
}
