import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimerQueue } from './timer-queue.ts';

interface Timer {
  readonly id: number;
  readonly keyGroup: number;
  readonly timestamp: number;
  gone: boolean;
}

const timerOf = (id: number, keyGroup: number, timestamp: number): Timer => ({
  ...{ id, keyGroup, timestamp },
  gone: false,
});

function drop(queue: TimerQueue<Timer>, timer: Timer): void {
  timer.gone = true;
  queue.dropOne();
}

const CASES = [
  { name: 'distinct times', times: 1e9, timers: 40_000 },
  { name: 'few times', times: 50, timers: 40_000 },
  { name: 'one time of very many timers', times: 1, timers: 100_000 },
] as const;

function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const isBeyond = (timer: Timer, end: { timestamp: number; keyGroup: number }): boolean =>
  timer.timestamp > end.timestamp ||
  (timer.timestamp === end.timestamp && timer.keyGroup > end.keyGroup);

/** Polls until none is due; in order of time. */
function pollAll(queue: TimerQueue<Timer>, until: number): readonly Timer[] {
  const fired: Timer[] = [];
  for (let timer = queue.poll(until); timer !== undefined; timer = queue.poll(until)) {
    assert.ok(timer.timestamp >= (fired.at(-1)?.timestamp ?? 0));
    fired.push(timer);
  }
  return fired;
}

for (const { name, times, timers } of CASES) {
  test(`a queue that divides loses nothing and takes the latest out: ${name}`, () => {
    const random = randomFrom(timers + times);
    const queue = new TimerQueue<Timer>({ divides: true });
    const live = new Set<Timer>();
    for (let i = 0; i < timers; i++) {
      const timer = timerOf(i, random(32_768), random(times));
      queue.add(timer, timer.timestamp);
      live.add(timer);
      if (i % 3 === 0) {
        drop(queue, timer);
        live.delete(timer);
      }
      if (i % 10_000 !== 9999) continue;
      const { timers: taken, end } = queue.takeLatest(1500);
      const beyond = [...live].filter((other) => isBeyond(other, end));
      assert.deepEqual(new Set(taken), new Set(beyond));
      assert.ok(taken.length > 0 && taken.length < 6000);
      for (const timer of taken) live.delete(timer);
    }
    let seen = 0;
    queue.ahead(times, 2000, (timer) => (assert.ok(live.has(timer)), seen++));
    assert.equal(seen, 2000);
    const fired = [...pollAll(queue, times / 2), ...pollAll(queue, times)];
    assert.deepEqual(new Set(fired), live);
    assert.equal(fired.length, live.size);
    assert.equal(queue.first, Number.POSITIVE_INFINITY);
  });
}

test('a queue that does not divide fires timers of one time as they were registered', () => {
  const queue = new TimerQueue<Timer>({ divides: false });
  const timers = Array.from({ length: 100_000 }, (_, i) => timerOf(i, (i * 7919) % 32_768, 5));
  for (const timer of timers) queue.add(timer, timer.timestamp);
  assert.deepEqual(
    pollAll(queue, 5).map(({ id }) => id),
    timers.map(({ id }) => id),
  );
});

test('most of the timers are deleted: the others fire', () => {
  const random = randomFrom(7);
  const queue = new TimerQueue<Timer>({ divides: false });
  const timers = Array.from({ length: 30_000 }, (_, i) => timerOf(i, 0, random(1e6)));
  for (const timer of timers) queue.add(timer, timer.timestamp);
  const left = timers.filter((timer, i) => (i % 10 === 0 ? true : (drop(queue, timer), false)));
  const fired = pollAll(queue, 1e6);
  assert.deepEqual(new Set(fired), new Set(left));
});
