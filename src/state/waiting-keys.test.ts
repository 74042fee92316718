import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { NO_TIMESTAMP } from '../types/record-batch.ts';
import {
  BatchGatherer,
  KeyQueue,
  type Origin,
  type WaitingBatch,
  WaitingKeys,
} from './waiting-keys.ts';

/** Some are their own identity and some are not. */
const KEYS: readonly (readonly [key: unknown, id: unknown])[] = [
  [1, 1],
  [-7.5, -7.5],
  ['text', 'text'],
  [[1, 2], 2 ** 26 + 2],
  [['a', 'b'], 'a/b'],
];

interface Held {
  readonly value: number;
  readonly timestamp: number;
  readonly origin: Origin;
}

const recordsOf = (batches: readonly WaitingBatch[]): unknown[] =>
  batches.flatMap(({ input, batch, keys }) =>
    batch.values.map((value, i) => [
      input,
      value,
      batch.timestamps?.[i] ?? NO_TIMESTAMP,
      keys?.[i],
    ]),
  );

const told = ({ value, timestamp, origin }: Held, key?: unknown): unknown => [
  origin.input,
  value,
  timestamp,
  key,
];

/** Arrays by key, as they would be without columns. */
class Model {
  readonly keys = new WaitingKeys();
  readonly #held = new Map<number, Held[]>();
  readonly #epoch = { number: 0, waiting: 0 };
  #values = 0;

  append(which: number, stamped: boolean, input: 1 | 2): void {
    const [key, id] = KEYS[which]!;
    const n = this.keys.find(id) || this.keys.add(key, id);
    const origin = { input, stamped, bytes: 10, epoch: this.#epoch };
    const held = {
      value: ++this.#values,
      timestamp: stamped ? this.#values : NO_TIMESTAMP,
      origin,
    };
    this.keys.append(n, held.value, held.timestamp, origin);
    this.#held.set(which, [...(this.#held.get(which) ?? []), held]);
  }

  takeAll(which: number): void {
    const held = this.#held.get(which);
    const n = this.keys.find(KEYS[which]![1]);
    assert.equal(n !== 0, held !== undefined);
    if (held === undefined) return;
    const gatherer = new BatchGatherer();
    assert.equal(this.keys.takeAll(n, gatherer), this.#epoch);
    this.keys.remove(n);
    this.#held.delete(which);
    assert.deepEqual(
      recordsOf(gatherer.take()),
      held.map((one) => told(one)),
    );
  }

  offer(which: number, puts: boolean): void {
    const held = this.#held.get(which);
    if (held === undefined) return;
    const n = this.keys.find(KEYS[which]![1]);
    const gatherer = new BatchGatherer();
    this.keys.offer(n, gatherer);
    assert.deepEqual(recordsOf(gatherer.take()), [told(held[0]!)]);
    if (puts) {
      this.keys.putBack(n);
      return;
    }
    this.keys.settleOffered(n);
    this.#held.set(which, held.slice(1));
    assert.equal(this.keys.hasRecords(n), held.length > 1);
    if (held.length > 1) return;
    this.keys.remove(n);
    this.#held.delete(which);
  }

  check(): void {
    const all = [...this.#held].flatMap(([which, held]) =>
      held.map((one) => told(one, KEYS[which]![0])),
    );
    const order = (records: readonly unknown[]): unknown =>
      Object.entries(
        Object.groupBy(records, (one) => JSON.stringify((one as unknown[])[3])),
      ).toSorted();
    assert.deepEqual(order(recordsOf(this.keys.batches())), order(all));
    assert.equal(this.keys.records, all.length);
    assert.equal(this.keys.bytes, 10 * all.length);
    assert.equal(this.#epoch.waiting, all.length);
    assert.equal(this.keys.size, this.#held.size);
  }
}

describe('records that wait, in columns', () => {
  const which = fc.nat(KEYS.length - 1);
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('append' as const),
      which,
      stamped: fc.boolean(),
      input: fc.constantFrom(1 as const, 2 as const),
    }),
    fc.record({ kind: fc.constant('take' as const), which }),
    fc.record({ kind: fc.constant('offer' as const), which, puts: fc.boolean() }),
  );

  test('are what arrays by key would be', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const model = new Model();
        for (const one of steps) {
          if (one.kind === 'append') model.append(one.which, one.stamped, one.input);
          else if (one.kind === 'take') model.takeAll(one.which);
          else model.offer(one.which, one.puts);
          model.check();
        }
      }),
    );
  });

  test('a queue gives keys in order, whatever portions are taken while it grows', () => {
    const queue = new KeyQueue();
    const taken: number[] = [];
    let next = 0;
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 1200; i++) queue.push(next++);
      taken.push(...queue.take(1024));
      assert.equal(queue.length, next - taken.length);
    }
    while (queue.length > 0) taken.push(...queue.take(1024));
    assert.deepEqual(
      taken,
      Array.from({ length: next }, (_, i) => i),
    );
  });
});
