import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../testing/seeded-random.ts';
import { BlockCache, ENTRY_BYTES } from './block-cache.ts';

const block = (fileNo: number, index: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  bytes[0] = fileNo;
  bytes[1] = index;
  return bytes;
};

test('holds what was put in or nothing, within its budget, under random operations', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = new SeededRandom(seed);
    const budget = 20_000;
    const cache = new BlockCache(budget);
    let pinned = 0;
    const truth = new Map<string, Uint8Array>();
    for (let i = 0; i < 3000; i++) {
      const fileNo = random.int(8);
      const index = random.int(60);
      const name = `${fileNo}/${index}`;
      const die = random.next();
      if (die < 0.5) {
        const known = cache.get(fileNo, index, random.chance(0.8));
        if (known !== undefined) assert.equal(known, truth.get(name));
      } else if (die < 0.95) {
        const bytes = block(fileNo, index, 2 + random.int(400));
        if (!cache.has(fileNo, index)) truth.set(name, bytes);
        cache.insert(fileNo, index, bytes, random.chance(0.1));
      } else if (die < 0.97) {
        cache.dropFile(fileNo);
        for (let b = 0; b < 60; b++) truth.delete(`${fileNo}/${b}`);
      } else {
        const delta = random.int(3000) - Math.min(pinned, 1500);
        cache.pin(delta);
        pinned += delta;
      }
      let bytes = 0;
      let blocks = 0;
      for (let f = 0; f < 8; f++)
        for (const b of cache.hotBlocks(f, 1000)) {
          bytes += truth.get(`${f}/${b}`)!.length + ENTRY_BYTES;
          blocks++;
        }
      assert.equal(cache.bytes, bytes);
      assert.equal(cache.blocks, blocks);
      assert.ok(cache.bytes <= Math.max(0, budget - pinned), `seed ${seed}, step ${i}`);
    }
    cache.clear();
    assert.equal(cache.bytes, 0);
    assert.equal(cache.blocks, 0);
  }
});

/** Ranks of a Zipf distribution, by inversion over a table. */
function zipf(n: number, random: SeededRandom): () => number {
  const sums = new Float64Array(n);
  let sum = 0;
  for (let i = 0; i < n; i++) sums[i] = sum += 1 / (i + 1) ** 0.99;
  return () => {
    const at = random.next() * sum;
    let low = 0;
    let high = n;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

function lruHits(trace: readonly number[], blocksMax: number): number {
  const lru = new Set<number>();
  let hits = 0;
  for (const at of trace) {
    if (lru.delete(at)) hits++;
    lru.add(at);
    if (lru.size > blocksMax) lru.delete(lru.values().next().value!);
  }
  return hits;
}

function ourHits(trace: readonly number[], blocksMax: number): number {
  const cache = new BlockCache(blocksMax * (ENTRY_BYTES + 10));
  const bytes = new Uint8Array(10);
  let hits = 0;
  for (const at of trace) {
    if (cache.get(at >> 8, at & 255, true) !== undefined) hits++;
    else cache.insert(at >> 8, at & 255, bytes);
  }
  return hits;
}

test('finds more than least recently used does, under Zipf and under scans that fill', () => {
  const random = new SeededRandom(5);
  const draw = zipf(10_000, random);
  const skewed = Array.from({ length: 100_000 }, draw);
  assert.ok(ourHits(skewed, 500) > 1.1 * lruHits(skewed, 500));
  const scanned = Array.from({ length: 100_000 }, (_, i) =>
    i % 10_000 < 3000 ? 20_000 + i : draw(),
  );
  assert.ok(ourHits(scanned, 1000) > 1.1 * lruHits(scanned, 1000));
});

test('blocks that are hot come first in what a checkpoint lists', () => {
  const cache = new BlockCache(100_000);
  for (let i = 0; i < 20; i++) cache.insert(1, i, block(1, i, 10));
  for (let i = 0; i < 3; i++) cache.get(1, 7, true);
  cache.get(1, 9, true);
  cache.get(1, 3, false);
  assert.deepEqual(cache.hotBlocks(1, 2), [7, 9]);
  assert.deepEqual(cache.hotBlocks(2, 2), []);
});

test('memory that is pinned leaves so much less for blocks', () => {
  const cache = new BlockCache(10_000);
  for (let i = 0; i < 50; i++) cache.insert(1, i, block(1, i, 1000));
  assert.ok(cache.bytes > 7000);
  cache.pin(8000);
  assert.ok(cache.bytes <= 2000);
  cache.pin(8000);
  assert.equal(cache.bytes, 0);
  assert.throws(() => cache.pin(-20_000), { code: 'ASSERTION_FAILED' });
});

test('blocks take no more than their part, however little is pinned', () => {
  const cache = new BlockCache(10_000, 5000);
  for (let i = 0; i < 50; i++) cache.insert(1, i, block(1, i, 1000));
  assert.ok(cache.bytes <= 5000 && cache.bytes > 5000 - 1000 - ENTRY_BYTES, `${cache.bytes} bytes`);
  cache.pin(4000);
  assert.ok(cache.bytes > 5000 - 1000 - ENTRY_BYTES, `${cache.bytes} bytes`);
  cache.pin(3000);
  assert.ok(cache.bytes <= 3000, `${cache.bytes} bytes`);
});
