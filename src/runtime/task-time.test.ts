import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TaskMetrics } from './task-metrics.ts';
import { TaskTime } from './task-time.ts';

describe('the time of a task', () => {
  test('is idle, back-pressured or busy, and only backpressure makes it unreceptive', () => {
    let now = 1000;
    const time = new TaskTime({ wallMs: () => 0, monotonicMs: () => now });
    const metrics = new TaskMetrics(time);
    now += 100; // busy
    time.wait('input');
    now += 300;
    time.work();
    now += 50; // busy
    time.wait('credit');
    now += 400;
    time.wait('credit');
    now += 50;
    assert.equal(time.receptiveMs(), 450);
    time.work();
    now += 100; // busy
    assert.deepEqual(time.read(), { idleMs: 300, backPressuredMs: 450, totalMs: 1000 });
    assert.deepEqual(metrics.read(), {
      idleTimeMsPerSecond: 300,
      backPressuredTimeMsPerSecond: 450,
      busyTimeMsPerSecond: 250,
    });
    time.wait('input');
    now += 500;
    assert.equal(metrics.read()['idleTimeMsPerSecond'], 1000);
  });
});
