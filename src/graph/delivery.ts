/**
 * What a job promises from each of its sources to each of its sinks, derived before it runs: the weakest of what the source can repeat,
 * what the checkpoints keep and how the sink commits; whether that is less than was asked for; and what makes the promise unsafe.
 *
 * Asked for is what `execution.checkpointing.mode` says, or nothing without checkpoints, unless the program accepts less for the source or
 * the sink of the path.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { Delivery, LogicalGraph, LogicalNode } from './logical-graph.ts';

export interface PathDelivery {
  readonly source: string;
  readonly sink: string;
  readonly delivery: Delivery;
  /** What it has to be for the job to start. */
  readonly asked: Delivery;
  /** What keeps it from being exactly-once; empty when it is. */
  readonly because: readonly string[];
}

export interface DeliveryFinding {
  readonly code:
    | 'PATH_WEAKER_THAN_ASKED'
    | 'NEVER_COMMITTED'
    | 'STAGED_TOO_SHORT'
    | 'CHECKPOINT_MAY_OUTLAST_STAGING'
    | 'REPEATED_BY_NEXT_RUN'
    | 'CHECKPOINTS_OFF';
  /** False: the job does not start. */
  readonly isWarning: boolean;
  /** What is the matter, where, and what to do. */
  readonly text: string;
}

type Config = Readonly<Record<string, JsonValue>>;

const STRENGTH: readonly Delivery[] = ['at-most-once', 'at-least-once', 'exactly-once'];

const weakest = (...deliveries: readonly Delivery[]): Delivery =>
  STRENGTH[Math.min(STRENGTH.length - 1, ...deliveries.map((each) => STRENGTH.indexOf(each)))]!;

interface Limit {
  readonly delivery: Delivery;
  readonly because: string;
}

/** One entry for each sink and each source it reads from, in the order of the graph. */
export const pathDeliveries = (graph: LogicalGraph, config: Config): readonly PathDelivery[] =>
  pathsOf(graph).map(({ source, sink }) => pathDelivery(source, sink, config));

interface Path {
  readonly source: LogicalNode;
  readonly sink: LogicalNode;
}

const pathsOf = (graph: LogicalGraph): readonly Path[] =>
  graph.nodes
    .filter(({ kind }) => kind === 'sink')
    .flatMap((sink) => sourcesOf(sink, graph).map((source) => ({ source, sink })));

function pathDelivery(source: LogicalNode, sink: LogicalNode, config: Config): PathDelivery {
  const limits = [...limitsOf(source), ...checkpointLimits(config), ...limitsOf(sink)];
  return {
    source: source.name,
    sink: sink.name,
    delivery: weakest(...limits.map(({ delivery }) => delivery)),
    asked: weakest(
      askedOf(config),
      source.accepts ?? 'exactly-once',
      sink.accepts ?? 'exactly-once',
    ),
    because: limits.map(({ because }) => because),
  };
}

const intervalOf = (config: Config): number | undefined => {
  const interval = config['execution.checkpointing.interval'] ?? null;
  return interval === null ? undefined : Number(interval);
};

/** A job that runs until now takes a checkpoint at its end, and it is a short one. */
const isCheckpointed = (config: Config): boolean =>
  intervalOf(config) !== undefined || (config['execution.until'] ?? null) !== null;

function askedOf(config: Config): Delivery {
  if (!isCheckpointed(config)) return 'at-most-once';
  return config['execution.checkpointing.mode'] === 'at-least-once'
    ? 'at-least-once'
    : 'exactly-once';
}

function limitsOf({ kind, name, delivery = 'exactly-once' }: LogicalNode): readonly Limit[] {
  if (delivery === 'exactly-once') return [];
  const why = kind === 'source' ? sourceReason(delivery) : 'writes without transactions';
  return [{ delivery, because: `"${name}" ${why}` }];
}

const sourceReason = (delivery: Delivery): string =>
  delivery === 'at-least-once'
    ? 'is sent again what it has not acknowledged'
    : 'cannot read again what was read';

function checkpointLimits(config: Config): readonly Limit[] {
  if (!isCheckpointed(config))
    return [{ delivery: 'at-most-once', because: 'checkpoints are off, so nothing is recovered' }];
  return config['execution.checkpointing.mode'] === 'at-least-once'
    ? [{ delivery: 'at-least-once', because: 'execution.checkpointing.mode is at-least-once' }]
    : [];
}

/** Everything that keeps the job from starting, and everything to know before it does; in the order of the graph. */
export function deliveryFindings(graph: LogicalGraph, config: Config): readonly DeliveryFinding[] {
  return [
    ...pathsOf(graph).flatMap((path) => pathFindings(path, config)),
    ...graph.nodes
      .filter(({ kind }) => kind === 'sink')
      .flatMap((sink) => sinkFindings(sink, graph, config)),
    ...jobFindings(graph, config),
  ];
}

/** @throws `invalid` DELIVERY_REFUSED with every reason */
export function checkDelivery(graph: LogicalGraph, config: Config): void {
  const refused = deliveryFindings(graph, config).filter(({ isWarning }) => !isWarning);
  if (refused.length === 0) return;
  throw invalid(
    'DELIVERY_REFUSED',
    `job "${graph.name}" would promise less than was asked for:\n  ${refused.map(({ text }) => text).join('\n  ')}`,
    { findings: refused.map(({ code, text }) => ({ code, text })) },
  );
}

function pathFindings({ source, sink }: Path, config: Config): readonly DeliveryFinding[] {
  const { delivery, asked, because } = pathDelivery(source, sink, config);
  if (STRENGTH.indexOf(delivery) >= STRENGTH.indexOf(asked)) return [];
  const short = (source.delivery ?? 'exactly-once') === delivery ? source : sink;
  return [
    {
      code: 'PATH_WEAKER_THAN_ASKED',
      isWarning: false,
      text: `${source.name} -> ${sink.name} is ${delivery}, and ${asked} was asked for (execution.checkpointing.mode): ${because.join('; ')}. Accept it in the program with .acceptDelivery('${delivery}') on "${short.name}", or use another`,
    },
  ];
}

const isEndless = ({ description }: LogicalNode): boolean =>
  description['boundedness'] === 'continuous-unbounded';

function sinkFindings(
  sink: LogicalNode,
  graph: LogicalGraph,
  config: Config,
): readonly DeliveryFinding[] {
  const { name, delivery, staging } = sink;
  if (delivery !== undefined) return [];
  if (!isCheckpointed(config)) {
    const endless = sourcesOf(sink, graph).find(isEndless);
    if (endless === undefined) return [];
    return [
      {
        code: 'NEVER_COMMITTED',
        isWarning: false,
        text: `"${name}" commits at checkpoints, "${endless.name}" never ends, and checkpoints are off: nothing would ever be seen. Set execution.checkpointing.interval`,
      },
    ];
  }
  return staging === undefined ? [] : stagingFindings(name, staging, config);
}

function stagingFindings(
  name: string,
  { timeoutMs, longestOutageMs }: NonNullable<LogicalNode['staging']>,
  config: Config,
): readonly DeliveryFinding[] {
  const intervalMs = intervalOf(config) ?? 0;
  if (timeoutMs <= longestOutageMs || longestOutageMs <= intervalMs)
    return [
      {
        code: 'STAGED_TOO_SHORT',
        isWarning: false,
        text: `what "${name}" has staged is given up after ${timeoutMs} ms, is to survive ${longestOutageMs} ms, and is open for a checkpoint interval of ${intervalMs} ms before: each has to be longer than the next, else results of completed checkpoints are lost. Raise the timeout of its transactions, or lower execution.checkpointing.interval`,
      },
    ];
  const checkpointMs = Number(config['execution.checkpointing.timeout'] ?? 0);
  if (intervalMs + checkpointMs < timeoutMs) return [];
  return [
    {
      code: 'CHECKPOINT_MAY_OUTLAST_STAGING',
      isWarning: true,
      text: `a checkpoint may take execution.checkpointing.timeout (${checkpointMs} ms), by when what "${name}" has staged is given up (${timeoutMs} ms): the job would fail then. Lower the former`,
    },
  ];
}

function jobFindings(graph: LogicalGraph, config: Config): readonly DeliveryFinding[] {
  const sinks = graph.nodes.filter(({ kind }) => kind === 'sink');
  if (!isCheckpointed(config))
    return graph.nodes.some(isEndless)
      ? [
          {
            code: 'CHECKPOINTS_OFF',
            isWarning: true,
            text: 'the input never ends and checkpoints are off: after a failure the job begins anew. Set execution.checkpointing.interval',
          },
        ]
      : [];
  const exact = sinks.filter(({ delivery }) => delivery === undefined);
  if (
    exact.length === 0 ||
    config['execution.checkpointing.externalized-checkpoint-retention'] !==
      'no-externalized-checkpoints'
  )
    return [];
  return [
    {
      code: 'REPEATED_BY_NEXT_RUN',
      isWarning: true,
      text: `execution.checkpointing.externalized-checkpoint-retention is no-externalized-checkpoints: a run after a failure begins anew, and writes again to ${exact.map(({ name }) => `"${name}"`).join(', ')} what this one has committed`,
    },
  ];
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
