/** What the state backend tells of itself arrives where the metrics of a job do. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import {
  collectSink,
  environment,
  rangeSource,
  t,
  valueState,
  WatermarkStrategy,
} from '../../src/index.ts';

/** More than memory holds. */
const KEYS = 6000;
const counter = () => valueState(t.int64(), { default: 0 });

test('sizes, caches, requests, flushes and compactions of forst are metrics of the job', async () => {
  const dir = await mkdtemp(`${tmpdir()}/millrace-metrics-`);
  try {
    const env = environment({
      'state.backend.type': 'forst',
      'execution.checkpointing.dir': dir,
      'execution.checkpointing.interval': 20,
      'taskmanager.memory.managed.size': 1_048_576,
    });
    const out: string[] = [];
    env
      .fromSource(
        rangeSource({ count: 18_000, valueAt: (n) => n, schema: t.int64() }),
        WatermarkStrategy.noWatermarks(),
        'numbers',
      )
      .keyBy((n) => n % KEYS, t.int32())
      .process<string, { count: ReturnType<typeof counter> }>(
        {
          state: { count: counter() },
          processElement(_n, { state }) {
            state.count.value += 1;
          },
        },
        t.string(),
      )
      .sinkTo(collectSink(out));
    const { metrics } = await env.execute('metrics');
    const valueOf = (name: string): number => {
      const full = Object.keys(metrics).filter((key) => key.endsWith(`.forst.${name}`));
      assert.equal(full.length, 1, `${name}: ${full.join()}`);
      return metrics[full[0]!]!;
    };
    assert.equal(valueOf('estimate-num-keys') >= KEYS, true);
    for (const name of [
      'num-flushes',
      'flush-write-bytes',
      'live-sst-files-size',
      'store.num-put',
      'store.bytes-written',
      'objectCache.num-evicted-dirty',
    ])
      assert.ok(valueOf(name) > 0, name);
    assert.ok(valueOf('objectCache.num-entries') < KEYS);
    assert.ok(valueOf('block-cache-hit') >= 0);
    assert.equal(valueOf('is-write-stopped'), 0);
    assert.equal(valueOf('background-errors'), 0);
  } finally {
    await rm(dir, { recursive: true });
  }
});
