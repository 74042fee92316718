import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { collectSink, environment, outputTag, t, TumblingEventTimeWindows } from '../index.ts';
import { buildJobGraph, pipelinedRegions } from './build-job-graph.ts';
import type { JobGraph } from './job-graph.ts';
import type { StreamExecutionEnvironment } from '../api/environment.ts';

const numbers = (env: StreamExecutionEnvironment) => env.fromSequence(1, 10);
const sink = () => collectSink<unknown>([]);

function graphOf(build: (env: StreamExecutionEnvironment) => void, parallelism = 2): JobGraph {
  const env = environment({ 'parallelism.default': parallelism });
  build(env);
  return buildJobGraph(env.toProgram('job').graph);
}

const names = (graph: JobGraph): readonly string[] => graph.vertices.map(({ name }) => name);

describe('chaining', () => {
  const cases: readonly (readonly [
    string,
    (env: StreamExecutionEnvironment) => void,
    readonly string[],
  ])[] = [
    [
      'forward operators of one parallelism are one vertex',
      (env) =>
        numbers(env)
          .map((n) => n)
          .filter(Boolean)
          .sinkTo(sink()),
      ['sequence -> map -> filter -> sink'],
    ],
    [
      'keyBy parts vertices',
      (env) =>
        numbers(env)
          .keyBy((n) => n, t.int64())
          .reduce((a, b) => a + b)
          .sinkTo(sink()),
      ['sequence', 'reduce -> sink'],
    ],
    [
      'another parallelism parts vertices, by rebalance',
      (env) =>
        numbers(env)
          .map((n) => n)
          .setParallelism(3)
          .sinkTo(sink())
          .setParallelism(3),
      ['sequence', 'map -> sink'],
    ],
    [
      'disableChaining stands alone',
      (env) =>
        numbers(env)
          .map((n) => n)
          .disableChaining()
          .sinkTo(sink()),
      ['sequence', 'map', 'sink'],
    ],
    [
      'startNewChain begins one',
      (env) =>
        numbers(env)
          .map((n) => n)
          .startNewChain()
          .sinkTo(sink()),
      ['sequence', 'map -> sink'],
    ],
    [
      'a slot sharing group parts vertices',
      (env) =>
        numbers(env)
          .map((n) => n)
          .slotSharingGroup('x')
          .sinkTo(sink()),
      ['sequence', 'map -> sink'],
    ],
    [
      'rebalance parts vertices',
      (env) =>
        numbers(env)
          .rebalance()
          .map((n) => n)
          .sinkTo(sink()),
      ['sequence', 'map -> sink'],
    ],
    [
      'an operator with two inputs is a head',
      (env) =>
        numbers(env)
          .connect(numbers(env))
          .map(
            (n) => n,
            (n) => n,
          )
          .sinkTo(sink()),
      ['sequence', 'sequence', 'co-process -> sink'],
    ],
    [
      'two readers may share a chain',
      (env) => {
        const s = numbers(env);
        s.map((n) => n).sinkTo(sink());
        s.filter(Boolean).sinkTo(sink());
      },
      ['sequence -> map -> sink -> filter -> sink'],
    ],
    [
      'a union is read by channels',
      (env) =>
        numbers(env)
          .union(numbers(env))
          .map((n) => n)
          .sinkTo(sink()),
      ['sequence', 'sequence', 'map -> sink'],
    ],
  ];
  for (const [name, build, expected] of cases) {
    test(name, () => assert.deepEqual(names(graphOf(build)), expected));
  }

  test('a rebalance made by parallelism says so', () => {
    const graph = graphOf((env) =>
      numbers(env)
        .map((n) => n)
        .setParallelism(1)
        .sinkTo(sink())
        .setParallelism(1),
    );
    assert.deepEqual(
      graph.edges.map(({ partitioning }) => partitioning),
      ['rebalance'],
    );
  });
});

describe('validation', () => {
  test('all faults at once', () => {
    const build = (env: StreamExecutionEnvironment): void => {
      numbers(env)
        .forward()
        .map((n) => n)
        .setParallelism(3)
        .setMaxParallelism(2);
    };
    assert.throws(
      () => graphOf(build),
      (error: { code: string; details: { faults: readonly string[] } }) => {
        assert.equal(error.code, 'GRAPH_INVALID');
        assert.equal(error.details.faults.length, 3);
        return true;
      },
    );
  });

  test('a uid stands for one operator', () => {
    assert.throws(
      () =>
        graphOf((env) =>
          numbers(env)
            .uid('x')
            .map((n) => n)
            .uid('x')
            .sinkTo(sink()),
        ),
      { code: 'DUPLICATE_UID', message: /"sequence" and to "map"/ },
    );
  });

  test('keyBy names the fields there are', () => {
    const env = environment();
    const stream = env.fromCollection([{ a: 1 }], t.struct({ a: t.int32() }));
    assert.throws(() => stream.keyBy('b' as 'a'), { code: 'UNKNOWN_FIELD', message: /fields a/ });
  });

  test('state goes by name', () => {
    assert.throws(() => environment().toProgram('empty'), { code: 'GRAPH_INVALID' });
  });
});

describe('operator ids', () => {
  const pipeline = (env: StreamExecutionEnvironment): void => {
    numbers(env)
      .map((n) => n)
      .name('double')
      .keyBy((n) => n, t.int64())
      .reduce((a, b) => a + b)
      .uid('sum')
      .sinkTo(sink());
  };
  const idsOf = (graph: JobGraph): ReadonlyMap<string, string> =>
    new Map(
      graph.vertices.flatMap(({ operators }) =>
        operators.map(({ id, name, type }) => [`${type} ${name}`, id] as const),
      ),
    );

  test('the same program has the same fingerprint, another has another', () => {
    assert.equal(graphOf(pipeline).fingerprint, graphOf(pipeline).fingerprint);
    assert.notEqual(graphOf(pipeline).fingerprint, graphOf(pipeline, 3).fingerprint);
  });

  test('an unrelated operator, before or after, changes no id', () => {
    const before = idsOf(graphOf(pipeline));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 }), (early, late) => {
        const graph = graphOf((env) => {
          for (let i = 0; i < early; i++)
            env.fromElements(`early ${i}`).filter(Boolean).name(`early ${i}`).print();
          pipeline(env);
          for (let i = 0; i < late; i++)
            env.fromElements(`late ${i}`).filter(Boolean).name(`late ${i}`).print();
        });
        const after = idsOf(graph);
        for (const [name, id] of before) assert.equal(after.get(name), id, name);
      }),
    );
  });

  test('a uid keeps its id wherever the operator goes', () => {
    const moved = idsOf(
      graphOf((env) =>
        numbers(env)
          .filter(Boolean)
          .keyBy((n) => n, t.int64())
          .reduce((a, b) => a + b)
          .uid('sum')
          .sinkTo(sink()),
      ),
    );
    assert.equal(
      moved.get('keyed-process reduce'),
      idsOf(graphOf(pipeline)).get('keyed-process reduce'),
    );
  });
});

describe('regions', () => {
  test('are what pipelined edges connect', () => {
    const graph = graphOf((env) => {
      numbers(env)
        .keyBy((n) => n, t.int64())
        .reduce((a, b) => a + b)
        .sinkTo(sink());
      env.fromElements('apart').print();
    });
    assert.deepEqual(
      pipelinedRegions(graph).map((region) => region.size),
      [2, 2],
    );
  });
});

describe('explain', () => {
  test('shows vertices, operators, partitioning and schemas', () => {
    const env = environment({ 'parallelism.default': 2 });
    const late = outputTag('late', t.struct({ at: t.timestamp() }));
    const windowed = env
      .fromCollection([{ at: 1 }], t.struct({ at: t.timestamp() }))
      .keyBy('at')
      .window(TumblingEventTimeWindows.of('1 min'))
      .sideOutputLateData(late)
      .apply((_key, _window, elements) => elements.length, t.int32());
    windowed.sinkTo(collectSink([])).name('counts');
    windowed.getSideOutput(late).sinkTo(collectSink([])).name('too late');
    assert.equal(
      env.explain(),
      `job
1. collection  (parallelism 1)
     source         collection  [boundedness: bounded]  -> struct{at: timestamp}
2. window -> counts -> too late  (parallelism 2)
     reads 1 by hash
     window         window  [key: at, window: tumbling(60000 ms), keeps: list]  -> int32
     sink           counts  [guarantee: at-least-once]
       side output late  -> struct{at: timestamp}
         sink       too late  [guarantee: at-least-once]
collection -> counts: at-most-once, because checkpoints are off, so nothing is recovered; "counts" writes without transactions
collection -> too late: at-most-once, because checkpoints are off, so nothing is recovered; "too late" writes without transactions
warning: "window" works by event time and "collection" gives no watermarks: it waits for the end of the input; give the source a WatermarkStrategy
warning: no uid on "window": state is found again only while the program before it stays the same
`,
    );
  });
});
