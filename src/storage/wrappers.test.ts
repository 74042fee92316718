import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../base/errors.ts';
import type { Timers } from '../base/world.ts';
import { FaultyStore, type FaultyStoreOptions } from '../testing/faulty-store.ts';
import { objectStoreContract } from '../testing/object-store-contract.ts';
import { SeededRandom } from '../testing/seeded-random.ts';
import { MemoryStore } from './memory-store.ts';
import { MeteringStore } from './metering-store.ts';
import type { ConditionalPut, ObjectStore } from './object-store.ts';
import { RetryingStore, type RetryOptions } from './retrying-store.ts';

/** Time passes as soon as it is waited for. */
class EagerTimers implements Timers {
  readonly delays: number[] = [];
  after(delayMs: number, callback: () => void): { cancel(): void } {
    this.delays.push(delayMs);
    let cancelled = false;
    setImmediate(() => {
      if (!cancelled) callback();
    });
    return {
      cancel: () => {
        cancelled = true;
      },
    };
  }
  soon(callback: () => void): void {
    setImmediate(callback);
  }
}

interface Faulty {
  readonly memory: MemoryStore;
  readonly faulty: FaultyStore;
  readonly store: RetryingStore;
  readonly timers: EagerTimers;
}

function unreliable(
  faults: Partial<FaultyStoreOptions>,
  retry: RetryOptions = { attemptsMax: 100 },
): Faulty {
  const timers = new EagerTimers();
  const random = new SeededRandom(7);
  const memory = new MemoryStore();
  const faulty = new FaultyStore(memory, { timers, random: random.fork('faults'), ...faults });
  return { memory, faulty, timers, store: new RetryingStore(faulty, { timers, random }, retry) };
}

const ALL_FAULTS = { refusedProbability: 0.15, lostAnswerProbability: 0.15, latencyMaxMs: 3 };
objectStoreContract('retrying over faulty memory', async () => unreliable(ALL_FAULTS).store);
objectStoreContract('metering', async () => new MeteringStore(new MemoryStore()));

/** Runs `steal` in place of the answer to the first conditional put, which has taken effect. */
function loseAnswer(inner: ObjectStore, steal: () => Promise<unknown>): ObjectStore {
  let lost = false;
  const lose = async (put: Promise<ConditionalPut>): Promise<ConditionalPut> => {
    const result = await put;
    if (lost) return result;
    lost = true;
    await steal();
    throw new MillraceError('unavailable', 'STORE_UNAVAILABLE', 'the answer was lost');
  };
  return {
    get: (key, range) => inner.get(key, range),
    head: (key) => inner.head(key),
    put: (key, bytes) => inner.put(key, bytes),
    putIfAbsent: (key, bytes) => lose(inner.putIfAbsent(key, bytes)),
    putIfMatch: (key, bytes, etag) => lose(inner.putIfMatch(key, bytes, etag)),
    delete: (key) => inner.delete(key),
    list: (prefix) => inner.list(prefix),
    close: () => inner.close(),
  };
}

describe('the retrying store', () => {
  const cases: readonly {
    readonly what: string;
    steal(memory: MemoryStore): Promise<unknown>;
    readonly outcome: 'stored' | 'conflict';
  }[] = [
    { what: 'our bytes are there: stored', steal: async () => {}, outcome: 'stored' },
    {
      what: 'other bytes are there: conflict',
      steal: (memory) => memory.put('k', Buffer.from('them')),
      outcome: 'conflict',
    },
    {
      what: 'other bytes of our length are there: conflict',
      steal: (memory) => memory.put('k', Buffer.from('ou?s')),
      outcome: 'conflict',
    },
  ];
  for (const { what, steal, outcome } of cases) {
    test(`a create whose answer was lost: ${what}`, async () => {
      const memory = new MemoryStore();
      const inner = loseAnswer(memory, () => steal(memory));
      const timers = new EagerTimers();
      const store = new RetryingStore(inner, { timers, random: new SeededRandom(1) });
      const put = await store.putIfAbsent('k', Buffer.from('ours'));
      assert.equal(put.outcome, outcome);
      if (put.outcome === 'stored') assert.equal(put.etag, (await memory.head('k'))!.etag);
    });

    test(`a compare-and-set whose answer was lost: ${what}`, async () => {
      const memory = new MemoryStore();
      const etag = await memory.put('k', Buffer.from('before'));
      const inner = loseAnswer(memory, () => steal(memory));
      const timers = new EagerTimers();
      const store = new RetryingStore(inner, { timers, random: new SeededRandom(1) });
      assert.equal((await store.putIfMatch('k', Buffer.from('ours'), etag)).outcome, outcome);
    });
  }

  test('a conflict at the first attempt is believed, whoever wrote the same bytes', async () => {
    const { memory, store } = unreliable({});
    await memory.put('k', Buffer.from('same'));
    assert.deepEqual(await store.putIfAbsent('k', Buffer.from('same')), { outcome: 'conflict' });
  });

  test('waits grow with jitter to a ceiling, and the attempts end', async () => {
    const { store, timers } = unreliable(
      { refusedProbability: 1 },
      { attemptsMax: 7, delayMs: 10, delayMaxMs: 80 },
    );
    await assert.rejects(store.get('k'), { kind: 'unavailable', code: 'STORE_UNAVAILABLE' });
    assert.equal(timers.delays.length, 6);
    timers.delays.forEach((delay, i) => assert.ok(delay <= Math.min(80, 10 * 2 ** i)));
    assert.ok(new Set(timers.delays).size > 1);
  });

  test('the budget of waits ends the attempts first', async () => {
    const { store, timers } = unreliable(
      { refusedProbability: 1 },
      { attemptsMax: 1000, delayMs: 10, delayMaxMs: 10, waitBudgetMs: 50 },
    );
    await assert.rejects(store.put('k', Buffer.from('x')), { kind: 'unavailable' });
    assert.ok(timers.delays.length < 40);
    assert.ok(timers.delays.reduce((a, b) => a + b, 0) <= 50);
  });

  test('waits as long as a store that throttles asks for', async () => {
    const { store, timers } = unreliable({ throttledProbability: 1 }, { attemptsMax: 3 });
    await assert.rejects(store.get('k'), { code: 'STORE_THROTTLED' });
    assert.equal(timers.delays.length, 2);
    assert.ok(timers.delays.every((delay) => delay >= 100));
  });

  test('requests share a budget of repetitions, which successes fill again', async () => {
    const { memory, timers } = unreliable({});
    let down = true;
    const flaky = new FaultyStore(memory, { timers, random: new SeededRandom(1) });
    const get = flaky.get.bind(flaky);
    flaky.get = (key) =>
      down ? Promise.reject(new MillraceError('unavailable', 'DOWN', 'down')) : get(key);
    const options = { attemptsMax: 4, repetitionsMax: 4 };
    const store = new RetryingStore(flaky, { timers, random: new SeededRandom(1) }, options);
    await memory.put('k', Buffer.from('x'));
    for (const repetitions of [3, 4, 4]) {
      await assert.rejects(store.get('k'), { code: 'DOWN' });
      assert.equal(timers.delays.length, repetitions);
    }
    down = false;
    for (let i = 0; i < 5; i++) await store.get('k');
    down = true;
    await assert.rejects(store.get('k'), { code: 'DOWN' });
    assert.equal(timers.delays.length, 5);
  });

  test('what is no failure of the store is not tried again', async () => {
    const { store, timers } = unreliable({});
    await assert.rejects(store.get('missing'), { code: 'OBJECT_NOT_FOUND' });
    await assert.rejects(store.get('../up'), { code: 'BAD_OBJECT_KEY' });
    assert.deepEqual(timers.delays, []);
  });

  test('an abort ends a wait', async () => {
    const { faulty } = unreliable({ refusedProbability: 1 });
    const never: Timers = { after: () => ({ cancel: () => {} }), soon: () => {} };
    const store = new RetryingStore(faulty, { timers: never, random: new SeededRandom(1) });
    const controller = new AbortController();
    const reading = store.get('k', undefined, controller.signal);
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort(new MillraceError('cancelled', 'CANCELED', 'enough'));
    await assert.rejects(reading, { kind: 'cancelled' });
  });
});

describe('the faulty store', () => {
  test('is one history for one seed', async () => {
    const play = async (): Promise<string> => {
      const { faulty } = unreliable({ refusedProbability: 0.3, lostAnswerProbability: 0.3 });
      const outcomes: string[] = [];
      for (let i = 0; i < 40; i++)
        outcomes.push(
          await faulty.put(`k${i}`, Buffer.from('x')).then(
            () => 'ok',
            () => 'failed',
          ),
        );
      return outcomes.join();
    };
    const history = await play();
    assert.match(history, /ok/);
    assert.match(history, /failed/);
    assert.equal(await play(), history);
  });

  test('tears puts and shows listings from before the last change', async () => {
    const { faulty } = unreliable({ tornPutProbability: 1, staleListProbability: 1 });
    await faulty.put('k', Buffer.from('0123456789'));
    assert.equal((await faulty.get('k')).length, 5);
    const listed = async (): Promise<readonly string[]> => {
      const keys: string[] = [];
      for await (const meta of faulty.list('')) keys.push(meta.key);
      return keys;
    };
    assert.deepEqual(await listed(), []);
    await faulty.delete('k');
    assert.deepEqual(await listed(), ['k']);
    assert.ok(faulty.faults >= 3);
  });
});

describe('the metering store', () => {
  test('sums up the time of requests, and takes other prices', async () => {
    let nowMs = 0;
    const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs };
    const inner = new MemoryStore();
    const get = inner.get.bind(inner);
    inner.get = async (key) => {
      await Promise.resolve();
      nowMs += 23;
      return get(key);
    };
    const prices = { get: 1e6, head: 0, put: 2e6, delete: 0, list: 0 };
    const store = new MeteringStore(inner, { clock, prices });
    await store.put('k', Buffer.from('x'));
    await store.get('k');
    await assert.rejects(store.get('none'));
    assert.equal(store.usage.waitedMs, 46);
    assert.equal(store.usage.dollars, 4);
  });

  test('counts requests, bytes and what they cost at list prices', async () => {
    const store = new MeteringStore(new MemoryStore());
    const { etag } = (await store.putIfAbsent('a', Buffer.from('123'))) as { etag: string };
    await store.putIfMatch('a', Buffer.from('12345'), etag);
    await store.put('b', Buffer.from('1'));
    await store.get('a', { offset: 0, length: 2 });
    await store.head('a');
    await assert.rejects(store.get('none'));
    for await (const meta of store.list('')) assert.ok(meta.size > 0);
    await store.delete('b');
    const { requests, bytesRead, bytesWritten, failures, dollars } = store.usage;
    assert.deepEqual(requests, { get: 2, head: 1, put: 3, delete: 1, list: 1 });
    assert.deepEqual([bytesRead, bytesWritten, failures], [2, 9, 1]);
    assert.ok(Math.abs(dollars - (4 * 5 + 3 * 0.4) / 1e6) < 1e-12);
  });
});
