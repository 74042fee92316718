import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SeededRandom } from '../testing/seeded-random.ts';
import { KeySamples } from './key-samples.ts';

describe('samples of keys', () => {
  test('keys that make up more than their part are found, in order, among many others', () => {
    const random = new SeededRandom(7);
    const samples = new KeySamples();
    for (let i = 0; i < 50_000; i++) {
      const draw = random.next();
      const key =
        draw < 0.2
          ? 'a'
          : draw < 0.3
            ? 'b'
            : draw < 0.35
              ? 'c'
              : `rare ${Math.floor(random.next() * 1e6)}`;
      samples.add(key, key);
    }
    const hottest = samples.hottest(3);
    assert.deepEqual(
      hottest.map(({ key }) => key),
      ['a', 'b', 'c'],
    );
    assert.equal(samples.total, 50_000);
    for (const [i, share] of [0.2, 0.1, 0.05].entries())
      assert.ok(Math.abs(hottest[i]!.samples / samples.total - share) < 0.015, `${i}`);
  });

  test('what was hot long ago gives way to what is hot now', () => {
    const samples = new KeySamples();
    for (let i = 0; i < 1000; i++) samples.add('old', 'old');
    for (let checkpoint = 0; checkpoint < 12; checkpoint++) {
      samples.age();
      for (let i = 0; i < 10; i++) samples.add('new', 'new');
    }
    assert.deepEqual(
      samples.hottest(1).map(({ key }) => key),
      ['new'],
    );
  });

  test('keys that were met once are not told', () => {
    const samples = new KeySamples();
    for (let i = 0; i < 50; i++) samples.add(i, i);
    assert.deepEqual(samples.hottest(5), []);
  });
});
