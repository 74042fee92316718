import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StreamExecutionEnvironment } from '../api/environment.ts';
import { WatermarkStrategy } from '../connector/watermark-strategies.ts';
import type { Collector } from '../operators/functions.ts';
import { TumblingEventTimeWindows } from '../operators/window/assigner.ts';
import { valueState } from '../state/descriptor.ts';
import { t } from '../types/t.ts';
import { CollectTarget, collectSink } from './collect-sink.ts';
import { PipelineHarness } from './pipeline-harness.ts';
import { TestSource } from './test-source.ts';

const CLICK = t.struct({ user: t.string(), n: t.int32() });
type Click = { readonly user: string; readonly n: number };

function countPerUser(parallelism: number, seed = 1) {
  const clicks = new TestSource<Click>({ schema: CLICK, splits: 2 });
  const results = new CollectTarget<string>();
  return {
    clicks,
    results,
    options: {
      sources: [clicks],
      parallelism,
      seed,
      build: (env: StreamExecutionEnvironment) => {
        clicks
          .attach(env)
          .keyBy('user')
          .process(
            {
              state: { count: valueState(t.int32(), { default: 0 }) },
              processElement({ user }, { state }, out: Collector<string>) {
                state.count.value += 1;
                out.collect(`${user} ${state.count.value}`);
              },
            },
            t.string(),
          )
          .uid('count')
          .sinkTo(collectSink(results));
      },
    },
  };
}

describe('the pipeline harness', () => {
  test('results are staged until a checkpoint commits them', async () => {
    const { clicks, results, options } = countPerUser(2);
    const pipeline = await PipelineHarness.start(options);
    clicks.push({ user: 'ann', n: 1 });
    clicks.push({ user: 'bob', n: 1 }, { split: 1 });
    await pipeline.settle();
    assert.deepEqual(results.values, []);
    await pipeline.checkpoint();
    assert.deepEqual([...results.values].sort(), ['ann 1', 'bob 1']);
    await pipeline.close();
  });

  test('a crash takes back what no checkpoint holds, and replays it', async () => {
    const { clicks, results, options } = countPerUser(2);
    const pipeline = await PipelineHarness.start(options);
    clicks.push({ user: 'ann', n: 1 });
    await pipeline.checkpoint();
    clicks.push({ user: 'ann', n: 2 });
    await pipeline.settle();
    await pipeline.crash();
    clicks.push({ user: 'ann', n: 3 });
    await pipeline.finish();
    assert.deepEqual(results.values, ['ann 1', 'ann 2', 'ann 3']);
    assert.deepEqual(pipeline.violations, []);
  });

  test('state follows its keys to another parallelism', async () => {
    const { clicks, results, options } = countPerUser(1);
    const pipeline = await PipelineHarness.start(options);
    const users = Array.from({ length: 20 }, (_, i) => `user${i}`);
    for (const user of users) clicks.push({ user, n: 1 });
    for (const parallelism of [3, 2]) {
      await pipeline.rescale(parallelism);
      for (const user of users) clicks.push({ user, n: 1 });
    }
    await pipeline.finish();
    const expected = users.flatMap((user) => [1, 2, 3].map((n) => `${user} ${n}`));
    assert.deepEqual([...results.values].sort(), expected.sort());
  });

  test('watermarks keep their place among records, and windows fire by them', async () => {
    const source = new TestSource<Click>({ schema: CLICK });
    const results = new CollectTarget<string>();
    const pipeline = await PipelineHarness.start({
      sources: [source],
      parallelism: 2,
      build: (env) => {
        source
          .attach(env)
          .keyBy('user')
          .window(TumblingEventTimeWindows.of(1000))
          .aggregate(
            {
              accumulatorSchema: t.int32(),
              createAccumulator: () => 0,
              add: ({ n }: Click, sum) => sum + n,
              getResult: (sum) => sum,
            },
            (user: string, { start }, sum: number) => `${user}@${start}=${sum}`,
            t.string(),
          )
          .sinkTo(collectSink(results));
      },
    });
    source.push({ user: 'ann', n: 1 }, { timestamp: 100 });
    source.push({ user: 'ann', n: 2 }, { timestamp: 900 });
    source.advanceWatermark(999);
    source.push({ user: 'ann', n: 4 }, { timestamp: 999 }); // late: dropped
    source.push({ user: 'ann', n: 8 }, { timestamp: 1000 });
    await pipeline.checkpoint();
    assert.deepEqual(results.values, ['ann@0=3']);
    await pipeline.crash();
    source.push({ user: 'ann', n: 16 }, { timestamp: 500 }); // still late after the restore
    await pipeline.finish();
    assert.deepEqual(results.values, ['ann@0=3', 'ann@1000=8']);
  });

  test('processing time is virtual: an hour passes at once', async () => {
    const source = new TestSource<Click>({ schema: CLICK });
    const results = new CollectTarget<string>();
    const pipeline = await PipelineHarness.start({
      sources: [source],
      build: (env) => {
        source
          .attach(env, WatermarkStrategy.noWatermarks())
          .keyBy('user')
          .process<string>(
            {
              processElement: (_click, { timers }) =>
                timers.registerProcessingTimeTimer(timers.currentProcessingTime + 3_600_000),
              onTimer: (_timestamp, { key }, out) => out.collect(`${key} was away`),
            },
            t.string(),
          )
          .sinkTo(collectSink(results));
      },
    });
    source.push({ user: 'ann', n: 1 });
    await pipeline.advanceTime('59 min');
    await pipeline.checkpoint();
    assert.deepEqual(results.values, []);
    await pipeline.advanceTime('2 min');
    await pipeline.checkpoint();
    assert.deepEqual(results.values, ['ann was away']);
    await pipeline.close();
  });

  test('a failing function fails the next call, with its operator named', async () => {
    const source = new TestSource<Click>({ schema: CLICK });
    const pipeline = await PipelineHarness.start({
      sources: [source],
      build: (env) => {
        source
          .attach(env)
          .map(({ n }): number => {
            if (n === 13) throw new RangeError('unlucky');
            return n;
          }, t.int32())
          .sinkTo(collectSink(new CollectTarget<number>()));
      },
    });
    source.push({ user: 'ann', n: 13 });
    await assert.rejects(pipeline.settle(), /unlucky/);
  });

  test('the same seed runs the same way, and every seed gives the same results', async () => {
    const hashes: string[] = [];
    for (const seed of [1, 1, 2, 3]) {
      const { clicks, results, options } = countPerUser(3, seed);
      const pipeline = await PipelineHarness.start(options);
      for (let n = 0; n < 100; n++) clicks.push({ user: `u${n % 7}`, n }, { split: n % 2 });
      await pipeline.checkpoint();
      await pipeline.crash();
      await pipeline.finish();
      assert.equal(results.values.length, 100);
      hashes.push(pipeline.simulation.scheduler.traceHash);
    }
    assert.equal(hashes[0], hashes[1]);
    assert.equal(new Set(hashes).size, 3);
  });
});
