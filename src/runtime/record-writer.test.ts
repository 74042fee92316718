import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Partitioning } from '../graph/logical-graph.ts';
import { BATCH_SIZE_MAX, NO_TIMESTAMP, type RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import { LocalChannel } from './channel.ts';
import { RecordWriter } from './record-writer.ts';
import type { StreamElement } from './stream-element.ts';

class Setup {
  readonly channels: readonly LocalChannel[];
  readonly writer: RecordWriter;

  constructor(partitioning: Partitioning, count: number) {
    this.channels = Array.from({ length: count }, () => new LocalChannel());
    this.writer = new RecordWriter({
      partitioning,
      code: { schema: t.int32(), keySelector: (value: unknown) => value },
      channels: this.channels,
      maxParallelism: 128,
      random: { next: () => 0 },
      subtaskIndex: 0,
    });
  }

  elements(channel: number): readonly StreamElement[] {
    const out: StreamElement[] = [];
    for (
      let e = this.channels[channel]!.poll();
      e !== undefined;
      e = this.channels[channel]!.poll()
    )
      out.push(e);
    return out;
  }

  batches(channel: number): readonly RecordBatch<unknown>[] {
    return this.elements(channel).flatMap((e) => (e.kind === 'batch' ? [e.batch] : []));
  }
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
const plain = (values: readonly unknown[]): RecordBatch<unknown> => ({ values, timestamps: null });

describe('a record writer', () => {
  test('gathers records per channel until it is flushed', () => {
    const { writer, ...setup } = new Setup('rebalance', 2);
    writer.emitBatch(plain([1, 2, 3]));
    assert.deepEqual([setup.channels[0]!.isEmpty, setup.channels[1]!.isEmpty], [true, true]);
    writer.flush();
    assert.deepEqual(
      setup.channels.map((channel) => channel.poll()),
      [
        { kind: 'batch', batch: plain([1, 3]) },
        { kind: 'batch', batch: plain([2]) },
      ],
    );
    assert.equal(writer.recordsOut, 3);
  });

  test('sends a batch that is full by itself', () => {
    const setup = new Setup('rebalance', 2);
    for (let i = 0; i < 3; i++) setup.writer.emitBatch(plain(range(0, 800)));
    assert.deepEqual(
      setup.batches(0).map(({ values }) => values.length),
      [BATCH_SIZE_MAX],
    );
  });

  test('a batch larger than the limit comes out as several', () => {
    const setup = new Setup('rebalance', 2);
    setup.writer.emitBatch(plain(range(0, 5000)));
    setup.writer.flush();
    const sizes = setup.batches(1).map(({ values }) => values.length);
    assert.deepEqual(sizes, [1024, 1024, 452]);
  });

  test('control elements follow what was emitted before them, on every channel', () => {
    const setup = new Setup('rebalance', 3);
    setup.writer.emitBatch(plain([1, 2, 3, 4, 5, 6]));
    setup.writer.emitWatermark(7);
    setup.writer.emitWatermarkStatus(true);
    for (let channel = 0; channel < 3; channel++) {
      const kinds = setup.elements(channel).map(({ kind }) => kind);
      assert.deepEqual(kinds, ['batch', 'watermark', 'status']);
    }
    assert.equal(setup.writer.watermarkOut, 7);
  });

  test('to one channel a batch of some size goes by reference and small ones are put together', () => {
    const setup = new Setup('hash', 1);
    const large = plain(range(0, 500));
    setup.writer.emitBatch(large);
    setup.writer.emitBatch(plain([1]));
    setup.writer.emitBatch(plain([2]));
    setup.writer.emitBatch(large);
    setup.writer.emitBatch(plain([3]));
    setup.writer.flush();
    const batches = setup.batches(0);
    assert.deepEqual(
      batches.map(({ values }) => values),
      [large.values, [1, 2], large.values, [3]],
    );
    assert.equal(batches[0], large);
  });

  test('a broadcast reaches every channel once', () => {
    const setup = new Setup('broadcast', 3);
    setup.writer.emitBatch(plain([1, 2]));
    setup.writer.emitBatch(plain([3]));
    setup.writer.flush();
    for (let channel = 0; channel < 3; channel++)
      assert.deepEqual(setup.batches(channel), [plain([1, 2, 3])]);
  });

  test('a record without a time between records that have one keeps none', () => {
    const setup = new Setup('rebalance', 2);
    setup.writer.emitBatch(plain(['a', '-']));
    setup.writer.emitBatch({ values: ['b', '-'], timestamps: Float64Array.of(5, 6, 99) });
    setup.writer.emitBatch(plain(['c', '-']));
    setup.writer.flush();
    const [batch] = setup.batches(0);
    assert.deepEqual(batch!.values, ['a', 'b', 'c']);
    assert.deepEqual([...batch!.timestamps!], [NO_TIMESTAMP, 5, NO_TIMESTAMP]);
  });

  test('available only while every channel has credit; what is beyond is its backlog', () => {
    const setup = new Setup('global', 2);
    for (let i = 0; i < 4; i++) {
      assert.equal(setup.writer.available, true);
      setup.writer.emitBatch(plain(range(0, BATCH_SIZE_MAX)));
    }
    assert.deepEqual([setup.writer.available, setup.writer.backlog], [false, 0]);
    setup.writer.emitBatch(plain(range(0, BATCH_SIZE_MAX)));
    assert.equal(setup.writer.backlog, 1);
    assert.equal(setup.batches(0).length, 5);
    assert.deepEqual([setup.writer.available, setup.writer.backlog], [true, 0]);
  });

  test('for any batches and flushes every record arrives once, with its time, in order', () => {
    const batch = fc.record({ size: fc.integer({ min: 1, max: 300 }), timed: fc.boolean() });
    const script = fc.array(fc.oneof(batch, fc.constant('flush' as const)), { maxLength: 30 });
    fc.assert(
      fc.property(script, fc.integer({ min: 1, max: 4 }), (steps, count) => {
        const setup = new Setup('rebalance', count);
        const sent: [number, number][] = [];
        for (const step of steps) {
          if (step === 'flush') setup.writer.flush();
          else {
            const values = range(sent.length, sent.length + step.size);
            const timestamps = step.timed ? Float64Array.from(values, (n) => n * 2) : null;
            setup.writer.emitBatch({ values, timestamps });
            for (const n of values) sent.push([n, step.timed ? n * 2 : NO_TIMESTAMP]);
          }
        }
        setup.writer.flush();
        const got = setup.channels.flatMap((_, channel) => {
          const records = setup
            .batches(channel)
            .flatMap(({ values, timestamps }) =>
              values.map((n, i): [number, number] => [Number(n), timestamps?.[i] ?? NO_TIMESTAMP]),
            );
          assert.deepEqual(
            records,
            records.toSorted((a, b) => a[0] - b[0]),
            'order within a channel',
          );
          return records;
        });
        assert.deepEqual(
          got.toSorted((a, b) => a[0] - b[0]),
          sent,
        );
      }),
      { numRuns: 50 },
    );
  });
});
