/**
 * A program: the logical graph and the code it refers to, by id. Built by `api`, executed by `cluster` and `runtime`.
 * Every process of a job builds the same program by running the same module.
 *
 * Code is opaque here, so that `graph` knows neither operators nor connectors: the runtime casts to
 * `operators/contract.ts`, `connector/source.ts` and `connector/sink.ts` at one place each.
 */
import type { JsonValue } from '../base/json.ts';
import type { Schema } from '../types/schema.ts';
import type { LogicalGraph } from './logical-graph.ts';

export type KeySelector = (value: never) => unknown;
/** Returns the target subtask. */
export type CustomPartitioner = (key: never, parallelism: number) => number;

export interface EdgeCode {
  /** On hash and custom edges. */
  readonly keySelector?: KeySelector;
  readonly keySchema?: Schema<unknown>;
  readonly partitioner?: CustomPartitioner;
  /** Schema of the records on the edge. */
  readonly schema: Schema<unknown>;
}

export interface NodeCode {
  /** A connector `Source` with its `WatermarkStrategy`, an `OperatorCode`, or a connector `Sink`, by the node's kind. */
  readonly source?: unknown;
  readonly watermarkStrategy?: unknown;
  readonly operator?: unknown;
  readonly sink?: unknown;
  /** Key selectors per input and key schema of keyed operators. */
  readonly keySelectors?: readonly KeySelector[];
  readonly keySchema?: Schema<unknown>;
}

export interface Program {
  readonly graph: LogicalGraph;
  readonly nodes: ReadonlyMap<string, NodeCode>;
  readonly edges: ReadonlyMap<string, EdgeCode>;
  /** Job options by Flink's keys, validated. */
  readonly config: Readonly<Record<string, JsonValue>>;
}
