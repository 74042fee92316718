/** What a plan promises and warns of. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Configuration, StreamExecutionEnvironment } from '../api/environment.ts';
import { StreamExecutionEnvironment as Environment } from '../api/environment.ts';
import { collectionSource } from '../connector/collection-source.ts';
import type { Sink } from '../connector/sink.ts';
import { WatermarkStrategy } from '../connector/watermark-strategies.ts';
import { TumblingEventTimeWindows } from '../operators/window/assigner.ts';
import { recordingExecutor } from '../testing/recording-executor.ts';
import { t } from '../types/t.ts';
import { buildJobGraph } from './build-job-graph.ts';
import { pathDeliveries } from './delivery.ts';
import { explainJson, explainText } from './explain.ts';
import { planWarnings } from './plan-warnings.ts';

type Build = (env: StreamExecutionEnvironment) => void;
const CHECKPOINTS: Configuration = {
  'execution.checkpointing.interval': '1 s',
  'execution.checkpointing.dir': 'checkpoints',
};

const programOf = (build: Build, config: Configuration = {}) => {
  const env = new Environment(recordingExecutor().executor, config);
  build(env);
  return env.toProgram('job');
};
const sinkOf = (guarantee: Sink<unknown>['guarantee']): Sink<unknown> => ({
  guarantee,
  createWriter: () => Promise.reject(new TypeError('never opened')),
});
const transactional = sinkOf('exactly-once');

describe('delivery', () => {
  const cases: readonly (readonly [string, Build, Configuration, string, number])[] = [
    [
      'is exactly-once when all three parts are',
      (env) => env.fromSequence(1, 2).sinkTo(transactional),
      CHECKPOINTS,
      'exactly-once',
      0,
    ],
    [
      'is that of the sink',
      (env) => env.fromSequence(1, 2).sinkTo(sinkOf('at-least-once')),
      CHECKPOINTS,
      'at-least-once',
      1,
    ],
    [
      'is that of the checkpoints',
      (env) => env.fromSequence(1, 2).sinkTo(transactional),
      { ...CHECKPOINTS, 'execution.checkpointing.mode': 'at-least-once' },
      'at-least-once',
      1,
    ],
    [
      'is that of the source',
      (env) => {
        const once = { ...collectionSource([1]), replayable: false };
        env.fromSource(once, WatermarkStrategy.noWatermarks()).sinkTo(transactional);
      },
      CHECKPOINTS,
      'at-most-once',
      1,
    ],
    [
      'needs checkpoints',
      (env) => env.fromSequence(1, 2).sinkTo(sinkOf('at-least-once')),
      {},
      'at-most-once',
      2,
    ],
  ];
  for (const [name, build, config, expected, reasons] of cases) {
    test(name, () => {
      const program = programOf(build, config);
      const [path, ...others] = pathDeliveries(program.graph, program.config);
      assert.equal(path?.delivery, expected);
      assert.equal(path.because.length, reasons, path.because.join('; '));
      assert.deepEqual(others, []);
    });
  }

  test('is told for every source that reaches a sink, and no other', () => {
    const program = programOf((env) => {
      const a = env.fromSequence(1, 2).name('a');
      const b = env.fromSequence(1, 2).name('b');
      a.union(b).sinkTo(transactional, 'both');
      b.map((n) => n).sinkTo(transactional, 'only b');
    }, CHECKPOINTS);
    assert.deepEqual(
      pathDeliveries(program.graph, program.config).map(
        ({ source, sink }) => `${source} -> ${sink}`,
      ),
      ['a -> both', 'b -> both', 'b -> only b'],
    );
  });
});

describe('warnings', () => {
  const warningsOf = (build: Build, config: Configuration = {}): readonly string[] => {
    const { graph } = programOf(build, config);
    return planWarnings(graph, buildJobGraph(graph));
  };
  const window = TumblingEventTimeWindows.of('1 min');
  const monotonous = WatermarkStrategy.forMonotonousTimestamps<number>();

  test('an event-time operator without watermarks waits for the end', () => {
    const [first, ...others] = warningsOf((env) => {
      const keyed = env.fromSequence(1, 2).keyBy((n) => n);
      keyed
        .window(window)
        .reduce((a) => a)
        .uid('w')
        .print();
    });
    assert.match(first!, /"window" works by event time and "sequence" gives no watermarks/);
    assert.deepEqual(others, []);
  });

  test('watermarks from the source or in between are enough', () => {
    const fine = warningsOf((env) => {
      const late = env.fromSequence(1, 2).assignTimestampsAndWatermarks(monotonous);
      const early = env.fromSource(collectionSource([1], t.int64()), monotonous);
      const keyed = early.union(late).keyBy((n) => n);
      keyed
        .window(window)
        .reduce((a) => a)
        .uid('w')
        .print();
    });
    assert.deepEqual(fine, []);
  });

  test('every source of a join is looked at', () => {
    const warnings = warningsOf((env) => {
      const timed = env.fromSource(collectionSource([1], t.int64()), monotonous);
      const untimed = env.fromSequence(1, 2).name('untimed');
      timed
        .keyBy((n) => n)
        .intervalJoin(untimed.keyBy((n) => n))
        .between(-1, 1)
        .process({ processElement: () => {} })
        .uid('join')
        .print();
    });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /"interval-join".*"untimed"/);
  });

  test('records without a schema that go to other threads are named', () => {
    const build: Build = (env) =>
      env
        .fromSequence(1, 2)
        .map((n) => ({ n }))
        .name('wrap')
        .rebalance()
        .print();
    assert.match(warningsOf(build, { 'parallelism.default': 2 })[0]!, /"wrap".*without a schema/);
    assert.deepEqual(warningsOf(build), []);
  });

  test('keyed state without a uid is named', () => {
    const [warning] = warningsOf((env) => {
      const keyed = env.fromSequence(1, 2).keyBy((n) => n);
      keyed.reduce((a) => a).print();
      keyed
        .reduce((a) => a)
        .uid('kept')
        .print();
    });
    assert.match(warning!, /^no uid on "reduce": /);
  });
});

describe('explain', () => {
  const build: Build = (env) => {
    const orders = env.fromSequence(1, 2).uid('orders');
    const rules = env.fromElements('rule').broadcastAs({
      name: 'rules',
      keySchema: t.string(),
      valueSchema: t.string(),
    });
    orders
      .keyBy((n) => n, t.int64())
      .connect(rules)
      .process({ processElement: () => {}, processBroadcastElement: () => {} }, t.string())
      .name('check')
      .sinkTo(transactional);
  };

  test('numbers inputs, and names keys, broadcast state, uids and slots', () => {
    const text = explainText(programOf((env) => (build(env), undefined), CHECKPOINTS));
    assert.equal(
      text,
      `job
1. sequence  (parallelism 1)
     source         sequence  [uid: orders, boundedness: bounded]  -> int64
2. collection  (parallelism 1)
     source         collection  [boundedness: bounded]  -> generic
3. check -> sink  (parallelism 1)
     reads 1 by hash as input 1
     reads 2 by broadcast as input 2
     keyed-broadcast-process check  [key: key, broadcast: rules, state: []]  -> string
     sink           sink  [guarantee: exactly-once]
sequence -> sink: exactly-once
collection -> sink: exactly-once
warning: no uid on "check": state is found again only while the program before it stays the same
`,
    );
  });

  test('is the same for the same program, as data too', () => {
    assert.deepEqual(explainJson(programOf(build)), explainJson(programOf(build)));
    const json = JSON.parse(JSON.stringify(explainJson(programOf(build))));
    assert.equal(json.nodes.length, 3);
    assert.equal(json.nodes[2].inputs[1].ship_strategy, 'BROADCAST');
  });
});
