/**
 * What a job promises from each of its sources to each of its sinks, derived before it runs: the weakest of what the source can repeat,
 * what the checkpoints keep and how the sink commits.
 */
import type { JsonValue } from '../base/json.ts';
import type { Delivery, LogicalGraph, LogicalNode } from './logical-graph.ts';

export interface PathDelivery {
  readonly source: string;
  readonly sink: string;
  readonly delivery: Delivery;
  /** What keeps it from being exactly-once; empty when it is. */
  readonly because: readonly string[];
}

const STRENGTH: readonly Delivery[] = ['at-most-once', 'at-least-once', 'exactly-once'];

interface Limit {
  readonly delivery: Delivery;
  readonly because: string;
}

/** One entry for each sink and each source it reads from, in the order of the graph. */
export function pathDeliveries(
  graph: LogicalGraph,
  config: Readonly<Record<string, JsonValue>>,
): readonly PathDelivery[] {
  const checkpoints = checkpointLimits(config);
  return graph.nodes
    .filter(({ kind }) => kind === 'sink')
    .flatMap((sink) =>
      sourcesOf(sink, graph).map((source) => {
        const limits = [...limitsOf(source), ...checkpoints, ...limitsOf(sink)];
        const weakest = Math.min(
          STRENGTH.length - 1,
          ...limits.map(({ delivery }) => STRENGTH.indexOf(delivery)),
        );
        return {
          source: source.name,
          sink: sink.name,
          delivery: STRENGTH[weakest]!,
          because: limits.map(({ because }) => because),
        };
      }),
    );
}

function limitsOf({ kind, name, delivery = 'exactly-once' }: LogicalNode): readonly Limit[] {
  if (delivery === 'exactly-once') return [];
  return [
    {
      delivery,
      because: `"${name}" ${kind === 'source' ? sourceReason(delivery) : 'writes without transactions'}`,
    },
  ];
}

const sourceReason = (delivery: Delivery): string =>
  delivery === 'at-least-once'
    ? 'is sent again what it has not acknowledged'
    : 'cannot read again what was read';

function checkpointLimits(config: Readonly<Record<string, JsonValue>>): readonly Limit[] {
  if ((config['execution.checkpointing.interval'] ?? null) === null)
    return [{ delivery: 'at-most-once', because: 'checkpoints are off, so nothing is recovered' }];
  return config['execution.checkpointing.mode'] === 'at-least-once'
    ? [{ delivery: 'at-least-once', because: 'execution.checkpointing.mode is at-least-once' }]
    : [];
}

/** The sources that reach a node, in the order of the graph. */
export function sourcesOf(node: LogicalNode, graph: LogicalGraph): readonly LogicalNode[] {
  const reaching = new Set([node.id]);
  const open = [node.id];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const { source, target } of graph.edges) {
      if (target !== id || reaching.has(source)) continue;
      reaching.add(source);
      open.push(source);
    }
  }
  return graph.nodes.filter(({ id, kind }) => kind === 'source' && reaching.has(id));
}
