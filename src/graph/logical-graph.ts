/**
 * The logical graph: what the builder recorded, as plain serialisable data. Functions live beside it, in the program,
 * by operator id.
 */
import type { JsonValue } from '../base/json.ts';

/** How records travel along an edge (Flink's stream partitioners). */
export type Partitioning =
  | 'forward'
  | 'hash'
  | 'rebalance'
  | 'rescale'
  | 'shuffle'
  | 'broadcast'
  | 'global'
  | 'custom';

export type NodeKind = 'source' | 'stateless' | 'one-input' | 'two-input' | 'sink';

/** `never` starts no chain and joins none; `head` starts a chain but joins none upstream. */
export type ChainingStrategy = 'always' | 'head' | 'never';

/** How often a record counts in the results, whatever fails: weakest first. */
export type Delivery = 'at-most-once' | 'at-least-once' | 'exactly-once';

export interface LogicalNode {
  /** Stable operator id, 32 hex digits: from `uid`, else derived (see `operator-id.ts`). */
  readonly id: string;
  readonly uid?: string;
  readonly name: string;
  readonly kind: NodeKind;
  /** What it does, for `explain` and for derived ids: 'map', 'window', 'interval-join', ... */
  readonly type: string;
  /** -1 takes the environment's default. */
  readonly parallelism: number;
  readonly maxParallelism: number;
  readonly chaining: ChainingStrategy;
  readonly slotSharingGroup: string;
  /** Schema JSON of what it emits; null where unknown (generic). */
  readonly outputSchema: JsonValue;
  /** Side outputs by tag, with their schema JSON. */
  readonly sideOutputs: Readonly<Record<string, JsonValue>>;
  /** Present on operators with keyed state: schema JSON of the key. */
  readonly keySchema?: JsonValue;
  /** `assigns`: gives the stream watermarks. `needs`: does nothing until watermarks come. Absent: neither. */
  readonly eventTime?: 'assigns' | 'needs';
  /** On sources and sinks: the most that a path through it can promise. Absent: exactly-once. */
  readonly delivery?: Delivery;
  /** On sources and sinks: the program says that no more is asked of paths through it. */
  readonly accepts?: Delivery;
  /** On sinks that stage outside and commit: what is staged is lost after `timeoutMs`, and must survive `longestOutageMs`. */
  readonly staging?: { readonly timeoutMs: number; readonly longestOutageMs: number };
  /** Facts for `explain`: window size, state names, guarantee, ... */
  readonly description: Readonly<Record<string, JsonValue>>;
}

export interface LogicalEdge {
  /** Stable: `${source}:${target}:${input}:${ordinal}`. The program holds key selectors and custom partitioners by edge id. */
  readonly id: string;
  readonly source: string;
  readonly target: string;
  /** 1 or 2. */
  readonly input: 1 | 2;
  readonly partitioning: Partitioning;
  /** Set when the edge carries a side output. */
  readonly sideOutput?: string;
}

export interface LogicalGraph {
  readonly name: string;
  readonly nodes: readonly LogicalNode[];
  readonly edges: readonly LogicalEdge[];
}
