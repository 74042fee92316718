import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { RecordEmitter } from './record-emitter.ts';

test('batches of any sizes after each other hold what was collected, and stay as they are', () => {
  const emitted: RecordBatch<unknown>[] = [];
  const emitter = new RecordEmitter<number>({
    emitBatch: (batch) => emitted.push(batch),
    emitWatermark: () => {},
    emitWatermarkStatus: () => {},
  });
  const sizes = [
    3,
    1000,
    10,
    1020,
    1,
    300,
    1,
    BATCH_SIZE_MAX,
    256,
    255,
    5,
    64,
    1000,
    BATCH_SIZE_MAX,
  ];
  let next = 0;
  for (const [i, size] of sizes.entries()) {
    emitter.timestamp = i % 2 === 0 ? NO_TIMESTAMP : i;
    for (let n = 0; n < size; n++) emitter.collect(next++);
    emitter.flush();
  }
  assert.deepEqual(
    emitted.map(({ values, timestamps }) => [values.length, timestamps?.[0]]),
    sizes.map((size, i) => [size, i % 2 === 0 ? undefined : i]),
  );
  assert.deepEqual(
    emitted.flatMap(({ values }) => [...values]),
    Array.from({ length: next }, (_, i) => i),
  );
});
