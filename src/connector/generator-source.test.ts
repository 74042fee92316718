import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Clock, Timers } from '../base/world.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { generatorSource, type GeneratorSourceOptions } from './generator-source.ts';
import { RateLimiter } from './rate-limiter.ts';
import type { SplitReader, SplitState } from './source.ts';

/** Time that passes only when told to. */
class HandClock implements Clock, Timers {
  nowMs = 0;
  #waiting: { readonly dueMs: number; readonly run: () => void }[] = [];
  wallMs = (): number => this.nowMs;
  monotonicMs = (): number => this.nowMs;
  after(delayMs: number, run: () => void) {
    const entry = { dueMs: this.nowMs + delayMs, run };
    this.#waiting.push(entry);
    return {
      cancel: () => void (this.#waiting = this.#waiting.filter((other) => other !== entry)),
    };
  }
  soon(run: () => void): void {
    this.after(0, run);
  }
  get timers(): number {
    return this.#waiting.length;
  }
  pass(ms: number): void {
    this.nowMs += ms;
    const due = this.#waiting.filter(({ dueMs }) => dueMs <= this.nowMs);
    this.#waiting = this.#waiting.filter(({ dueMs }) => dueMs > this.nowMs);
    for (const { run } of due) run();
  }
}

function open<T>(options: GeneratorSourceOptions<T>, parallelism = 1, clock = new HandClock()) {
  const source = generatorSource(options);
  const context = { parallelism, clock, timers: clock, logger: { log: () => {} } };
  const assigned: SplitState[] = [];
  const enumerator = source.createEnumerator(
    {
      ...context,
      assign: (_subtask, splits) => assigned.push(...splits),
      noMoreSplits: () => {},
      fail: (error) => assert.fail(error),
    },
    undefined,
  );
  const reader = source.createReader({
    ...context,
    subtaskIndex: 0,
    onMalformed: () => assert.fail('a generated record is never malformed'),
  });
  return { source, enumerator, reader, assigned };
}

async function drain<T>(reader: SplitReader<T>, max: number): Promise<T[]> {
  const values: T[] = [];
  for (;;) {
    const batch = await reader.poll(max);
    if (batch === null) return values;
    values.push(...batch.values);
  }
}

describe('the generator source', () => {
  test('makes every value once, over any number of splits, and goes on from any position', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 7 }),
        fc.nat({ max: 6 }),
        async (count, parallelism, max, polls) => {
          const { enumerator, reader, assigned } = open({ count, valueAt: (i) => i }, parallelism);
          await enumerator.start();
          assert.equal(assigned.length, parallelism);
          const all: number[] = [];
          for (const { split } of assigned) {
            const first = await reader.openSplit({ split, position: undefined });
            for (let i = 0; i < polls; i++) {
              const batch = await first.poll(max);
              if (batch === null) break;
              assert.ok(batch.values.length <= max);
              all.push(...batch.values);
            }
            all.push(
              ...(await drain(await reader.openSplit({ split, position: first.position() }), max)),
            );
          }
          assert.deepEqual(
            all.toSorted((a, b) => a - b),
            Array.from({ length: count }, (_, i) => i),
          );
        },
      ),
    );
  });

  test('gives values the time of their number', async () => {
    const options = { count: 3, valueAt: String, timestampAt: (i: number) => i * 10 };
    const { enumerator, reader, assigned } = open(options);
    await enumerator.start();
    const split = await reader.openSplit(assigned[0]!);
    const batch = split.poll(9) as RecordBatch<string>; // nothing to wait for
    assert.deepEqual(batch.values, ['0', '1', '2']);
    assert.deepEqual([...batch.timestamps!], [0, 10, 20]);
  });

  test('never ends without a count', () => {
    const { source } = open({ valueAt: (i) => i });
    assert.equal(source.boundedness, 'continuous-unbounded');
    assert.equal(open({ count: 0, valueAt: (i) => i }).source.boundedness, 'bounded');
  });

  test('keeps to its rate, shared by the subtasks', async () => {
    const clock = new HandClock();
    const { enumerator, reader, assigned } = open(
      { valueAt: (i) => i, recordsPerSecond: 200 },
      2,
      clock,
    );
    await enumerator.start();
    const split = await reader.openSplit(assigned[0]!);
    let made = 0;
    for (let ms = 0; ms < 3000; ms += 10) {
      const polled = split.poll(1000);
      clock.pass(10);
      if (clock.timers > 0) while (clock.timers > 0) [ms] = [ms + 10, clock.pass(10)];
      made += (await polled)!.values.length;
    }
    assert.ok(made >= 290 && made <= 310, `${made} records in 3 s at 100 a second`);
  });

  test('settles a waiting poll when it is closed, and leaves no timer', async () => {
    const clock = new HandClock();
    const { enumerator, reader, assigned } = open(
      { valueAt: (i) => i, recordsPerSecond: 1 },
      1,
      clock,
    );
    await enumerator.start();
    const split = await reader.openSplit(assigned[0]!);
    assert.equal(((await split.poll(10)) as RecordBatch<number>).values.length, 1); // not the end
    const waiting = split.poll(10);
    assert.equal(clock.timers, 1);
    await split.close();
    await split.close();
    assert.equal(await waiting, null);
    assert.equal(clock.timers, 0);
    assert.equal(split.position(), 1);
  });

  test('refuses what makes no sense, with all its faults', () => {
    assert.throws(() => generatorSource({ valueAt: (i) => i, count: -1, recordsPerSecond: 0 }), {
      code: 'BAD_GENERATOR',
      message: /count is -1.*recordsPerSecond is 0/,
    });
    assert.throws(() => new RateLimiter(0, new HandClock()), { code: 'BAD_RATE' });
  });
});
