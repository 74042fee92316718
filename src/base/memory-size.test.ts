import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memorySizeBytes } from './memory-size.ts';

test('sizes have units of 1024', () => {
  const cases: readonly (readonly [number | string, number])[] = [
    [0, 0],
    [20_480, 20_480],
    ['512', 512],
    ['512 b', 512],
    ['20 kb', 20_480],
    ['20KiB', 20_480],
    [' 64 m ', 64 * 1024 ** 2],
    ['1 gb', 1024 ** 3],
    ['2 tebibytes', 2 * 1024 ** 4],
  ];
  for (const [text, bytes] of cases) assert.equal(memorySizeBytes(text), bytes, String(text));
});

test('anything else is refused with the way to write it', () => {
  for (const bad of [-1, 1.5, Number.NaN, 2 ** 60, '', 'kb', '1.5 mb', '-1 kb', '1 pb', '1 k b'])
    assert.throws(() => memorySizeBytes(bad), { kind: 'invalid', code: 'BAD_MEMORY_SIZE' });
});
