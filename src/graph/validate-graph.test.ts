import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { LogicalEdge, LogicalGraph, LogicalNode, NodeKind } from './logical-graph.ts';
import { graphFaults, validateGraph } from './validate-graph.ts';

const node = (id: string, kind: NodeKind, more: Partial<LogicalNode> = {}): LogicalNode => ({
  id,
  name: id,
  kind,
  type: kind,
  parallelism: 2,
  maxParallelism: 128,
  chaining: 'always',
  slotSharingGroup: 'default',
  outputSchema: null,
  sideOutputs: {},
  description: {},
  ...more,
});
const edge = (source: string, target: string, more: Partial<LogicalEdge> = {}): LogicalEdge => ({
  id: `${source}:${target}`,
  source,
  target,
  input: 1,
  partitioning: 'forward',
  ...more,
});
const graph = (nodes: readonly LogicalNode[], edges: readonly LogicalEdge[]): LogicalGraph => ({
  name: 'job',
  nodes,
  edges,
});
const source = node('source', 'source');
const map = node('map', 'stateless');
const sink = node('sink', 'sink');
const KEY = { kind: 'string' } as const;

describe('a graph', () => {
  const cases: readonly (readonly [string, LogicalGraph, readonly RegExp[]])[] = [
    [
      'that is sound has no faults',
      graph([source, map, sink], [edge('source', 'map'), edge('map', 'sink')]),
      [],
    ],
    ['that is empty says how to begin', graph([], []), [/begin with env.fromSource/]],
    [
      'has operators with ids of their own',
      graph([source, sink, { ...sink, name: 'other' }], [edge('source', 'sink')]),
      [/"sink" and "other" have one operator id, sink/],
    ],
    [
      'has no edge that leads out of it',
      graph([source, sink], [edge('source', 'sink'), edge('source', 'gone')]),
      [/edge source:gone leads to an operator that is not in the graph/],
    ],
    [
      'has positive parallelism up to the number of key groups',
      graph(
        [
          node('source', 'source', { parallelism: 0 }),
          node('sink', 'sink', { parallelism: 0.5, maxParallelism: 1 }),
        ],
        [edge('source', 'sink', { partitioning: 'rebalance' })],
      ),
      [/"source": parallelism 0 is no positive/, /"sink": parallelism 0.5 is no positive/],
    ],
    [
      'keeps parallelism within maxParallelism',
      graph([source, node('sink', 'sink', { maxParallelism: 1 })], [edge('source', 'sink')]),
      [/"sink": parallelism 2 is above its maxParallelism 1/],
    ],
    [
      'reads every input',
      graph(
        [source, node('join', 'two-input'), sink],
        [edge('source', 'join'), edge('join', 'sink')],
      ),
      [/"join" reads nothing on input 2/],
    ],
    [
      'reads no input that an operator does not have',
      graph(
        [source, map, sink],
        [edge('source', 'map'), edge('source', 'map', { input: 2 }), edge('map', 'sink')],
      ),
      [/"map" is a stateless operator and cannot read on input 2/],
    ],
    ['ends in sinks', graph([source, map], [edge('source', 'map')]), [/nothing reads from "map"/]],
    [
      'does not go on behind a sink',
      graph([source, sink, node('end', 'sink')], [edge('source', 'sink'), edge('sink', 'end')]),
      [/"sink" is a sink; nothing can read from it/],
    ],
    [
      'keeps keyed state behind keyBy only',
      graph(
        [source, node('count', 'one-input', { keySchema: KEY }), sink],
        [edge('source', 'count'), edge('count', 'sink')],
      ),
      [/"count" keeps state by key and reads by forward; call keyBy/],
    ],
    [
      'may broadcast into a keyed operator',
      graph(
        [source, node('rules', 'source'), node('check', 'two-input', { keySchema: KEY }), sink],
        [
          edge('source', 'check', { partitioning: 'hash' }),
          edge('rules', 'check', { input: 2, partitioning: 'broadcast' }),
          edge('check', 'sink'),
        ],
      ),
      [],
    ],
    [
      'does not forward between different parallelisms',
      graph([source, node('sink', 'sink', { parallelism: 3 })], [edge('source', 'sink')]),
      [/forward from "source" \(parallelism 2\) to "sink" \(3\): use rebalance or rescale/],
    ],
    [
      'reads side outputs that exist',
      graph([source, sink], [edge('source', 'sink', { sideOutput: 'late' })]),
      [/"sink" reads the side output "late", which "source" does not have/],
    ],
    [
      'has no cycles',
      graph(
        [source, map, node('again', 'stateless'), sink],
        [edge('source', 'map'), edge('map', 'again'), edge('again', 'map'), edge('again', 'sink')],
      ),
      [/in a cycle: "map", "again", "sink"/],
    ],
  ];
  for (const [name, subject, expected] of cases) {
    test(name, () => {
      const faults = graphFaults(subject);
      assert.equal(faults.length, expected.length, faults.join('\n'));
      expected.forEach((pattern, i) => assert.match(faults[i]!, pattern));
    });
  }

  test('is refused with all its faults at once', () => {
    assert.throws(
      () => validateGraph(graph([source, map], [])),
      (error: { code: string; details: { faults: readonly string[] } }) => {
        assert.equal(error.code, 'GRAPH_INVALID');
        assert.equal(error.details.faults.length, 3);
        return true;
      },
    );
  });

  test('has a cycle fault exactly when an edge goes back, for any graph', () => {
    const link = fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 7 }));
    fc.assert(
      fc.property(fc.array(link, { maxLength: 14 }), (links) => {
        const nodes = Array.from({ length: 8 }, (_, i) => node(String(i), 'stateless'));
        const edges = links.map(([a, b]) => edge(String(a), String(b)));
        const reach = (from: number, to: number, seen = new Set<number>()): boolean =>
          links.some(([a, b]) => {
            if (a !== from || seen.has(b)) return false;
            return b === to || reach(b, to, seen.add(b));
          });
        const cyclic = nodes.some((_, i) => reach(i, i));
        const found = graphFaults(graph(nodes, edges)).some((fault) => fault.includes('cycle'));
        assert.equal(found, cyclic);
      }),
    );
  });
});
