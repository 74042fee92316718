import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WatermarkStrategy } from '../connector/watermark-strategies.ts';
import type { WatermarkStrategy as Strategy } from '../connector/watermark-strategy.ts';
import { MIN_WATERMARK } from '../types/record-batch.ts';
import { SplitWatermarks } from './split-watermarks.ts';

const at = (...timestamps: readonly number[]) => ({
  values: timestamps,
  timestamps: Float64Array.from(timestamps),
});
const erased = <T>(strategy: Strategy<T>): Strategy<unknown> =>
  strategy as unknown as Strategy<unknown>; // records are numbers here

describe('watermarks of splits', () => {
  test('bounded out-of-orderness is the largest timestamp less the bound less one', () => {
    const watermarks = new SplitWatermarks(
      erased(WatermarkStrategy.forBoundedOutOfOrderness<number>(10)),
    );
    watermarks.open('a', 0);
    watermarks.onBatch('a', at(5, 30, 20), 0);
    watermarks.update(0);
    assert.equal(watermarks.watermark, 19);
  });

  test('the minimum over splits, never going back when one joins late', () => {
    const watermarks = new SplitWatermarks(
      erased(WatermarkStrategy.forMonotonousTimestamps<number>()),
    );
    watermarks.open('a', 0);
    watermarks.open('b', 0);
    watermarks.onBatch('a', at(10), 0);
    watermarks.update(0);
    assert.equal(watermarks.watermark, MIN_WATERMARK);
    watermarks.onBatch('b', at(5), 0);
    watermarks.update(0);
    assert.equal(watermarks.watermark, 4);
    watermarks.open('c', 0);
    watermarks.onBatch('c', at(1), 0);
    watermarks.update(0);
    assert.equal(watermarks.watermark, 4);
  });

  test('a silent split becomes idle and holds nothing; with a record it counts again', () => {
    const watermarks = new SplitWatermarks(
      erased(WatermarkStrategy.forMonotonousTimestamps<number>().withIdleness(100)),
    );
    watermarks.open('a', 0);
    watermarks.open('b', 0);
    watermarks.onBatch('a', at(50), 90);
    watermarks.update(99);
    assert.equal(watermarks.watermark, MIN_WATERMARK);
    watermarks.update(100);
    assert.equal(watermarks.watermark, 49);
    assert.equal(watermarks.idle, false);
    watermarks.update(190);
    assert.equal(watermarks.idle, true);
    watermarks.onBatch('b', at(60), 200);
    watermarks.update(200);
    assert.equal(watermarks.idle, false);
    assert.equal(watermarks.watermark, 59);
  });

  test('a split that has ended holds nothing', () => {
    const watermarks = new SplitWatermarks(
      erased(WatermarkStrategy.forMonotonousTimestamps<number>()),
    );
    watermarks.open('a', 0);
    watermarks.open('b', 0);
    watermarks.onBatch('a', at(10), 0);
    watermarks.close('b');
    watermarks.update(0);
    assert.equal(watermarks.watermark, 9);
  });

  test('the assigner gives records their time', () => {
    const watermarks = new SplitWatermarks(
      erased(
        WatermarkStrategy.forMonotonousTimestamps<number>().withTimestampAssigner(
          (value) => value * 2,
        ),
      ),
    );
    watermarks.open('a', 0);
    assert.deepEqual(
      watermarks.onBatch('a', { values: [1, 2], timestamps: null }, 0).timestamps,
      Float64Array.of(2, 4),
    );
  });

  test('a punctuated generator speaks with its record', () => {
    const watermarks = new SplitWatermarks(
      erased(
        WatermarkStrategy.forGenerator<number>(() => ({
          onEvent: (timestamp, value) => (value === 7 ? timestamp : undefined),
          onPeriodicEmit: () => MIN_WATERMARK,
        })),
      ),
    );
    watermarks.open('a', 0);
    watermarks.onBatch('a', at(6), 0);
    watermarks.update(0);
    assert.equal(watermarks.watermark, MIN_WATERMARK);
    watermarks.onBatch('a', at(7), 0);
    watermarks.update(0);
    assert.equal(watermarks.watermark, 7);
  });
});
