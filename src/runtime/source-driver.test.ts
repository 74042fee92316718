import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JsonValue } from '../base/json.ts';
import type { Source, SplitReader } from '../connector/source.ts';
import { WatermarkStrategy } from '../connector/watermark-strategies.ts';
import type { WatermarkStrategy as Strategy } from '../connector/watermark-strategy.ts';
import type { Output } from '../operators/contract.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { SourceDriver } from './source-driver.ts';

/** Splits named by their data: a list of timestamps, one record each; `null` waits until `release`. */
class Harness {
  readonly out: string[] = [];
  readonly reports: string[] = [];
  readonly mails: (() => void)[] = [];
  readonly driver: SourceDriver;
  #released: (() => void)[] = [];

  constructor(strategy: Strategy<number>, intervalMs = 0) {
    const output: Output<unknown> = {
      emitBatch: ({ values }) => this.out.push(...values.map(String)),
      emitWatermark: (watermark) => this.out.push(`w${watermark}`),
      emitWatermarkStatus: (idle) => this.out.push(idle ? 'idle' : 'active'),
    };
    this.driver = new SourceDriver({
      source: { boundedness: 'bounded' } as Source<unknown>, // the driver asks it for the malformed policy only
      reader: {
        openSplit: async ({ split, position }) =>
          this.#open(split.data as readonly (number | null)[], Number(position ?? 0)),
        close: async () => {},
      },
      strategy: strategy as unknown as Strategy<unknown>, // records are numbers here
      output,
      watermarkIntervalMs: intervalMs,
      now: () => 0,
      logger: { log: () => {} },
      mail: (mail) => this.mails.push(mail),
      fail: (error) => {
        throw error;
      },
      reportWatermark: (group, watermark) => this.reports.push(`${group} ${watermark}`),
      deadLetter: undefined,
      countError: () => {},
    });
  }

  async add(id: string, times: readonly (number | null)[], position?: JsonValue): Promise<void> {
    this.driver.addSplits([{ split: { id, data: times }, position }]);
    await this.settle();
  }

  release(): void {
    for (const go of this.#released.splice(0)) go();
  }

  /** Lets promises and mails run out. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await Promise.resolve();
      for (const mail of this.mails.splice(0)) mail();
    }
  }

  steps(count: number): boolean {
    let worked = false;
    for (let i = 0; i < count; i++) worked = this.driver.step() || worked;
    return worked;
  }

  #open(times: readonly (number | null)[], from: number): SplitReader<unknown> {
    let next = from;
    const take = (): RecordBatch<unknown> | null => {
      const time = times[next];
      if (time === undefined) return null;
      next++;
      return { values: [time], timestamps: Float64Array.of(time ?? 0) };
    };
    return {
      poll: () => {
        if (times[next] !== null) return take();
        return new Promise((resolve) => {
          this.#released.push(() => {
            next++;
            resolve(take());
          });
        });
      },
      position: () => next,
      close: async () => {},
    };
  }
}

const monotonous = WatermarkStrategy.forMonotonousTimestamps<number>();

describe('a source', () => {
  test('reads its splits in turn and ends when all have', async () => {
    const source = new Harness(WatermarkStrategy.noWatermarks<number>());
    await source.add('a', [1, 2]);
    await source.add('b', [10]);
    source.driver.noMoreSplits();
    source.steps(10);
    assert.deepEqual(source.out, ['1', '10', '2']);
    assert.equal(source.driver.ended, true);
  });

  test('the watermark is the slowest split’s', async () => {
    const source = new Harness(monotonous);
    await source.add('a', [100]);
    await source.add('b', [5, 7]);
    source.steps(2);
    assert.deepEqual(source.out, ['100', '5', 'w4']);
  });

  test('a batch that a promise brings counts in the position only when it is emitted', async () => {
    const source = new Harness(WatermarkStrategy.noWatermarks<number>());
    await source.add('a', [1, null, 3]);
    source.steps(3);
    assert.deepEqual(
      source.driver.positions().map(({ position }) => position),
      [1],
    );
    source.release();
    await source.settle();
    assert.deepEqual(
      source.driver.positions().map(({ position }) => position),
      [1],
    );
    source.steps(1);
    assert.deepEqual(source.out, ['1', '3']);
    assert.deepEqual(
      source.driver.positions().map(({ position }) => position),
      [3],
    );
  });

  test('a split that is being opened is in the positions', () => {
    const source = new Harness(WatermarkStrategy.noWatermarks<number>());
    source.driver.addSplits([{ split: { id: 'a', data: [1] }, position: 0 }]);
    assert.deepEqual(
      source.driver.positions().map(({ split }) => split.id),
      ['a'],
    );
  });

  test('a restored split goes on at its position', async () => {
    const source = new Harness(WatermarkStrategy.noWatermarks<number>());
    await source.add('a', [1, 2, 3], 2);
    source.steps(3);
    assert.deepEqual(source.out, ['3']);
  });

  test('a split that is too far ahead of its group waits, and goes on when the group has come', async () => {
    const source = new Harness(monotonous.withWatermarkAlignment('g', 50));
    await source.add('a', [10, 200, 300]);
    source.driver.alignTo('g', 0);
    source.driver.alignTo('other', 10_000);
    source.steps(2);
    source.driver.onInterval();
    assert.deepEqual(
      source.out.filter((line) => !line.startsWith('w')),
      ['10', '200'],
    );
    assert.deepEqual(source.reports, ['g 199']);
    assert.equal(source.steps(5), false);
    source.driver.alignTo('g', 160);
    assert.equal(source.steps(1), true);
    assert.equal(source.out.filter((line) => !line.startsWith('w')).at(-1), '300');
  });
});
