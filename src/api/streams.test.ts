/** What the builder records: schemas, keys, names, and what it refuses. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { environment } from '../index.ts';
import { collectionSource } from '../connector/collection-source.ts';
import { buildJobGraph } from '../graph/build-job-graph.ts';
import type { Program } from '../graph/program.ts';
import { outputTag } from '../operators/output-tag.ts';
import { TumblingEventTimeWindows } from '../operators/window/assigner.ts';
import { recordingExecutor } from '../testing/recording-executor.ts';
import { describeSchema, schemaFromJson } from '../types/schema-json.ts';
import { t } from '../types/t.ts';
import { type Configuration, StreamExecutionEnvironment } from './environment.ts';

const PAIR = t.struct({ k: t.string(), n: t.int32() });
const PAIRS = [
  { k: 'a', n: 3 },
  { k: 'a', n: 1 },
  { k: 'b', n: 7 },
  { k: 'a', n: 2 },
];

function recorded(config: Configuration = {}) {
  const { executor, programs } = recordingExecutor();
  const env = new StreamExecutionEnvironment(executor, config);
  return { env, programs, pairs: env.fromCollection(PAIRS, PAIR) };
}

const nodeOf = ({ graph }: Program, name: string) =>
  graph.nodes.find((node) => node.name === name)!;
/** The schemas that the edges into an operator carry. */
const carried = (program: Program, name: string): readonly string[] =>
  program.graph.edges
    .filter(({ target }) => target === nodeOf(program, name).id)
    .map(({ id }) => describeSchema(program.edges.get(id)!.schema));

describe('schemas', () => {
  test('are kept where records are not changed', () => {
    const { env, pairs } = recorded();
    const tag = outputTag('odd', t.struct({ odd: t.boolean() }));
    const main = pairs
      .filter(({ n }) => n > 0)
      .union(pairs)
      .rebalance()
      .process({ processElement: () => {} }, t.string())
      .name('main');
    main
      .map((text) => text.length)
      .name('lengths')
      .print();
    main
      .getSideOutput(tag)
      .filter(() => true)
      .name('odd ones')
      .print()
      .name('odd sink');
    const program = env.toProgram('job');
    assert.deepEqual(carried(program, 'main'), [
      'struct{k: string, n: int32}',
      'struct{k: string, n: int32}',
    ]);
    assert.deepEqual(carried(program, 'print'), ['generic']);
    assert.deepEqual(carried(program, 'odd ones'), ['struct{odd: boolean}']);
    assert.deepEqual(carried(program, 'odd sink'), ['struct{odd: boolean}']);
  });

  test('of a union are those of all its parts, or none', () => {
    const { env, pairs } = recorded();
    const same = env.fromCollection(PAIRS, t.struct({ k: t.string(), n: t.int32() }));
    assert.equal(pairs.union(same).schema, PAIR);
    const wider = env.fromCollection(PAIRS, t.struct({ k: t.string(), n: t.int64() }));
    assert.equal(pairs.union(wider).schema, undefined);
  });

  test('of a reduce and of rolling folds are those of the stream', () => {
    const { env, pairs } = recorded();
    pairs.keyBy('k').window(TumblingEventTimeWindows.of(1)).sum('n').name('sums').print();
    const { outputSchema } = nodeOf(env.toProgram('job'), 'sums');
    assert.equal(describeSchema(schemaFromJson(outputSchema)), 'struct{k: string, n: int32}');
  });

  test('a side output is read with one schema', () => {
    const { pairs } = recorded();
    pairs.getSideOutput(outputTag('x', t.string()));
    assert.throws(() => pairs.getSideOutput(outputTag('x', t.int32())), {
      code: 'SIDE_OUTPUT_TYPES_DIFFER',
    });
  });
});

describe('keys', () => {
  test('by fields take the fields’ schemas, by function what is given, else they describe themselves', () => {
    const { env, pairs } = recorded();
    const untyped = env.fromElements({ k: 'a', n: 1 });
    const keys = [
      pairs.keyBy('k'),
      pairs.keyBy('k', 'n'),
      pairs.keyBy(({ n }) => n, t.int8()),
      pairs.keyBy(({ n }) => n),
      untyped.keyBy('k'),
    ].map(({ keySchema }) => describeSchema(keySchema));
    assert.deepEqual(keys, ['string', '[string, int32]', 'int8', 'key', 'key']);
  });

  test('of several fields are tuples of their values, in order', () => {
    const { pairs } = recorded();
    assert.deepEqual(pairs.keyBy('n', 'k').keyOf({ k: 'a', n: 3 }), [3, 'a']);
  });

  test('that cannot be ordered are refused where they are given', () => {
    const { pairs } = recorded();
    assert.throws(() => pairs.keyBy(({ k }) => [k], t.array(t.string())), {
      code: 'NOT_A_KEY_SCHEMA',
      message: /array<string> cannot be a key/,
    });
  });

  test('of two connected streams are of one schema', () => {
    const { pairs } = recorded();
    const join = pairs
      .keyBy(({ n }) => n, t.int64())
      .intervalJoin(pairs.keyBy('n'))
      .between(0, 1);
    assert.throws(() => join.process({ processElement: () => {} }), { code: 'KEY_SCHEMAS_DIFFER' });
  });
});

describe('a stream', () => {
  test('belongs to one environment', () => {
    const { pairs } = recorded();
    assert.throws(() => pairs.union(recorded().pairs).print(), {
      code: 'FOREIGN_STREAM',
      message: /"print"/,
    });
  });

  test('ends with the execution of its job', async () => {
    const { env, pairs, programs } = recorded();
    pairs.print();
    await env.execute('first');
    assert.throws(() => pairs.print(), { code: 'JOB_ALREADY_EXECUTED', message: /"first"/ });
    env.fromElements(1).print();
    await env.execute('second');
    assert.deepEqual(
      programs.map(({ graph }) => [graph.name, graph.nodes.length]),
      [
        ['first', 2],
        ['second', 2],
      ],
    );
  });

  test('that is partitioned anew leaves its operator as it was', () => {
    const { env, pairs } = recorded({ 'parallelism.default': 3 });
    pairs
      .shuffle()
      .map(({ n }) => n)
      .setParallelism(2)
      .print()
      .setParallelism(2);
    const { graph } = env.toProgram('job');
    assert.deepEqual(
      graph.nodes.map(({ parallelism }) => parallelism),
      [1, 2, 2],
    );
    assert.deepEqual(
      graph.edges.map(({ partitioning }) => partitioning),
      ['shuffle', 'forward'],
    );
  });

  test('is refused an interval that joins nothing, and a wrong capacity', () => {
    const { pairs } = recorded();
    const join = pairs
      .keyBy('k')
      .intervalJoin(pairs.keyBy('k'))
      .between(1, 1)
      .upperBoundExclusive();
    assert.throws(() => join.process({ processElement: () => {} }), { code: 'BAD_INTERVAL' });
    const call = async (): Promise<number[]> => [];
    assert.throws(() => pairs.asyncMap(call, { timeout: 1, capacity: 0 }), {
      code: 'BAD_CAPACITY',
    });
    assert.throws(() => pairs.asyncMap(call, { timeout: 0 }), { code: 'BAD_TIMEOUT' });
  });
});

describe('the environment', () => {
  test('turns its methods into options', async () => {
    const { env, pairs, programs } = recorded({ 'execution.checkpointing.dir': 'x' });
    pairs.print();
    env
      .setParallelism(2)
      .setMaxParallelism(64)
      .enableCheckpointing('10 s', 'at-least-once')
      .setRestartStrategy({ type: 'exponential-delay', maxBackoff: '1 min', jitterFactor: 0 });
    await env.execute('job');
    const { config, graph } = programs[0]!;
    assert.equal(config['execution.checkpointing.interval'], 10_000);
    assert.equal(config['execution.checkpointing.mode'], 'at-least-once');
    assert.equal(config['restart-strategy.type'], 'exponential-delay');
    assert.equal(config['restart-strategy.exponential-delay.max-backoff'], 60_000);
    assert.equal(config['restart-strategy.exponential-delay.jitter-factor'], 0);
    assert.deepEqual(
      graph.nodes.map(({ parallelism, maxParallelism }) => [parallelism, maxParallelism]),
      [
        [1, 64],
        [2, 64],
      ],
    );
  });

  test('can do without chains', () => {
    const { env, pairs } = recorded();
    pairs.map(({ n }) => n).print();
    assert.equal(buildJobGraph(env.toProgram('job').graph).vertices.length, 1);
    env.disableOperatorChaining();
    assert.equal(buildJobGraph(env.toProgram('job').graph).vertices.length, 3);
  });
});

describe('operator ids', () => {
  /** A chain of operators by name; each entry adds one map. */
  const idsOf = (chains: readonly (readonly string[])[]): ReadonlyMap<string, string> => {
    const env = new StreamExecutionEnvironment(recordingExecutor().executor);
    for (const chain of chains) {
      let stream = env.fromSource(collectionSource([1]), {}, chain[0]!);
      for (const name of chain.slice(1)) stream = stream.map((n) => n).name(name);
      stream.print().name(`end of ${chain.join(' ')}`);
    }
    const { graph } = env.toProgram('job');
    return new Map(graph.nodes.map(({ name, id }) => [name, id]));
  };

  test('do not change when other operators come, go or move', () => {
    const word = fc.string({ minLength: 1, maxLength: 6 });
    const chain = fc.array(word, { minLength: 1, maxLength: 4 });
    // Sources of different names, and no name twice, so that names find operators again.
    const program = fc
      .array(chain, { minLength: 1, maxLength: 4 })
      .map((chains) => chains.map((names, c) => names.map((name, i) => `${c}.${i} ${name}`)));
    fc.assert(
      fc.property(program, fc.array(word, { maxLength: 3 }), fc.nat(), (chains, extra, at) => {
        const before = idsOf(chains);
        const others = extra.map((name) => [`other ${name}`, `other map ${name}`]);
        const moved = [...chains];
        moved.splice(at % (chains.length + 1), 0, ...others);
        const after = idsOf(moved);
        for (const [name, id] of before) assert.equal(after.get(name), id, name);
        const turned = idsOf(chains.toReversed());
        for (const [name, id] of before) assert.equal(turned.get(name), id, name);
        assert.equal(new Set(after.values()).size, after.size);
      }),
    );
  });
});

describe('on the engine', () => {
  const ENGINE = { 'pipeline.generic-types': true } as const;

  test('executeAndCollect settles with the records', async () => {
    const pairs = environment(ENGINE).fromCollection(PAIRS, PAIR);
    assert.deepEqual(await pairs.map(({ n }) => n).executeAndCollect(), [3, 1, 7, 2]);
  });

  test('executeAndCollect refuses what it could not collect', async () => {
    const wide = environment({ 'parallelism.default': 2 }).fromSequence(1, 3);
    await assert.rejects(wide.executeAndCollect(), {
      code: 'COLLECT_NEEDS_ONE_THREAD',
      message: /"sequence" has parallelism 2/,
    });
    const apart = environment()
      .fromSequence(1, 3)
      .map((n) => n)
      .slotSharingGroup('x');
    await assert.rejects(apart.executeAndCollect(), { message: /2 slot sharing groups/ });
  });

  test('sum, min and max keep the first record, minBy and maxBy the whole one', async () => {
    const schema = t.struct({ k: t.string(), n: t.int32(), id: t.int32() });
    const rows = [3, 1, 2].map((n, id) => ({ k: 'a', n, id }));
    const rolled = async (pick: 'sum' | 'min' | 'max' | 'minBy' | 'maxBy'): Promise<string[]> => {
      const keyed = environment(ENGINE).fromCollection(rows, schema).keyBy('k');
      const stream = pick === 'sum' ? keyed.sum('n') : keyed[pick]('n');
      return (await stream.executeAndCollect()).map(({ n, id }) => `${n}#${id}`);
    };
    assert.deepEqual(await rolled('sum'), ['3#0', '4#0', '6#0']);
    assert.deepEqual(await rolled('min'), ['3#0', '1#0', '1#0']);
    assert.deepEqual(await rolled('max'), ['3#0', '3#0', '3#0']);
    assert.deepEqual(await rolled('minBy'), ['3#0', '1#1', '1#1']);
    assert.deepEqual(await rolled('maxBy'), ['3#0', '3#0', '3#0']);
  });

  test('keyed aggregate rolls, and keys of several fields are apart', async () => {
    const mean = {
      accumulatorSchema: t.tuple(t.int32(), t.int32()),
      createAccumulator: (): readonly [number, number] => [0, 0],
      add: ({ n }: { readonly n: number }, [count, sum]: readonly [number, number]) =>
        [count + 1, sum + n] as const,
      getResult: ([count, sum]: readonly [number, number]) => sum / count,
    };
    const pairs = environment(ENGINE).fromCollection(PAIRS, PAIR);
    assert.deepEqual(await pairs.keyBy('k').aggregate(mean).executeAndCollect(), [3, 2, 7, 2]);
    const again = environment(ENGINE).fromCollection(PAIRS, PAIR);
    assert.deepEqual(await again.keyBy('k', 'n').aggregate(mean).executeAndCollect(), [3, 1, 7, 2]);
  });

  test('count windows hold so many records of a key', async () => {
    const numbers = () =>
      environment()
        .fromSequence(1, 7)
        .keyBy(() => 0, t.int8());
    const sum = (_key: number, _window: unknown, elements: readonly number[]): number =>
      elements.reduce((a, b) => a + b);
    assert.deepEqual(await numbers().countWindow(3).apply(sum).executeAndCollect(), [6, 15]);
    const sliding = numbers().countWindow(3, 2).apply(sum);
    assert.deepEqual(await sliding.executeAndCollect(), [3, 9, 15]);
  });

  test('forEach waits for what it calls', async () => {
    const env = environment();
    const seen: number[] = [];
    env.fromSequence(1, 3).forEach(async (n) => {
      await Promise.resolve();
      seen.push(n);
    });
    await env.execute('for each');
    assert.deepEqual(seen, [1, 2, 3]);
  });

  test('a side output can be filtered and repartitioned', async () => {
    const odd = outputTag('odd', t.string());
    const env = environment();
    const main = env.fromSequence(1, 4).process(
      {
        processElement: (n, context, out) =>
          n % 2 === 0 ? out.collect(n) : context.output(odd, `odd ${n}`),
      },
      t.int64(),
    );
    const side = main
      .getSideOutput(odd)
      .filter(() => true)
      .rebalance()
      .map((text) => `${text}!`);
    assert.deepEqual(await side.executeAndCollect(), ['odd 1!', 'odd 3!']);
  });
});
