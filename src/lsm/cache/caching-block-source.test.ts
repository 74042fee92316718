import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../../base/errors.ts';
import { MemoryStore } from '../../storage/memory-store.ts';
import type { ByteRange } from '../../storage/object-store.ts';
import { SeededRandom } from '../../testing/seeded-random.ts';
import type { BlockAddress, BlockRead, StoredFile } from '../block-source.ts';
import { sealBlock, TRAILER_BYTES } from '../block-trailer.ts';
import { CachingBlockSource } from './caching-block-source.ts';

const BLOCK = 1000;
const BLOCKS = 200;
const START = 77;

/** Counts requests, answers when it is told to, and spoils answers. */
class CountingStore extends MemoryStore {
  readonly ranges: ByteRange[] = [];
  held = false;
  spoilt = 0;
  running = 0;
  runningMax = 0;
  readonly #waiting: (() => void)[] = [];

  override async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    this.ranges.push(range!);
    this.running++;
    this.runningMax = Math.max(this.runningMax, this.running);
    try {
      if (this.held) await this.#hold(signal);
      const bytes = await super.get(key, range, signal);
      if (this.spoilt > 0) {
        this.spoilt--;
        bytes[bytes.length >> 1]! ^= 1;
      }
      return bytes;
    } finally {
      this.running--;
    }
  }

  release(): void {
    this.held = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  #hold(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
    });
  }
}

const blockAt = (index: number): BlockAddress => ({
  index,
  offset: index * BLOCK,
  length: BLOCK,
});

async function world(memoryBytes = 1 << 20, requestsMax = 4) {
  const store = new CountingStore();
  const files: StoredFile[] = [];
  for (const object of ['one', 'two']) {
    const bytes = new Uint8Array(START + BLOCK * BLOCKS);
    for (let i = 0; i < BLOCKS; i++) {
      const block = bytes.subarray(START + i * BLOCK, START + (i + 1) * BLOCK);
      block.fill(i);
      block[0] = object.length;
      block[1] = object.charCodeAt(0);
      sealBlock(block, BLOCK - TRAILER_BYTES, 0);
    }
    await store.put(object, bytes);
    files.push({ fileNo: files.length + 1, object, offset: START, length: BLOCK * BLOCKS });
  }
  const options = { gapBytesMax: 2 * BLOCK, requestBytesMax: 10 * BLOCK, requestsMax };
  const source = new CachingBlockSource({ store, memoryBytes, options });
  const reads = (...blocks: number[]): BlockRead[] =>
    blocks.map((index) => ({ file: files[0]!, block: blockAt(index) }));
  return { store, source, one: files[0]!, two: files[1]!, reads };
}

function assertBlock(bytes: Uint8Array | undefined, file: StoredFile, index: number): void {
  assert.equal(bytes!.length, BLOCK - TRAILER_BYTES);
  assert.equal(bytes![1], file.object.charCodeAt(0));
  assert.ok(bytes!.subarray(2).every((byte) => byte === index));
}

const FILL = { fill: true };

test('blocks with small gaps share a request up to its limit; others do not', async () => {
  const { store, source, one, reads } = await world();
  const found = await source.read(reads(9, 3, 4, 6, 12, 3), FILL);
  for (const [i, index] of [9, 3, 4, 6, 12, 3].entries()) assertBlock(found[i], one, index);
  assert.deepEqual(store.ranges, [{ offset: START + 3 * BLOCK, length: 10 * BLOCK }]);
  assert.equal(source.metrics.misses, 5);
  assert.equal(source.metrics.bytesFetched, 10 * BLOCK);
  assert.equal(source.metrics.bytesWanted, 5 * BLOCK);
  await source.read(reads(20, 23, 27), FILL);
  assert.equal(store.ranges.length, 3);
  await source.read(reads(...Array.from({ length: 25 }, (_, i) => 100 + i)), FILL);
  assert.equal(store.ranges.length, 6);
});

test('a block is fetched once, however many wait for it', async () => {
  const { store, source, one, reads } = await world();
  store.held = true;
  const first = source.read(reads(5, 6), { fill: false });
  const second = source.read(reads(6, 7), FILL);
  const third = source.read(reads(5), FILL);
  store.release();
  assertBlock((await first)[1], one, 6);
  assertBlock((await second)[0], one, 6);
  assertBlock((await third)[0], one, 5);
  assert.equal(store.ranges.length, 2);
  assert.equal(source.metrics.joined, 2);
  // Somebody wanted it kept.
  assertBlock(source.resident(one, blockAt(6)), one, 6);
});

test('requests go in parallel, so many at a time', async () => {
  const { store, source, reads } = await world(1 << 20, 4);
  await source.read(reads(...Array.from({ length: 15 }, (_, i) => i * 10)), FILL);
  assert.equal(store.ranges.length, 15);
  assert.equal(store.runningMax, 4);
});

test('a reader that leaves does not disturb another; the last one takes the request along', async () => {
  const { store, source, one, reads } = await world();
  store.held = true;
  const leaving = new AbortController();
  const first = source.read(reads(5), { fill: true, signal: leaving.signal });
  const second = source.read(reads(5), FILL);
  leaving.abort(new MillraceError('cancelled', 'LEFT', 'left'));
  await assert.rejects(first, { code: 'LEFT' });
  store.release();
  assertBlock((await second)[0], one, 5);

  store.held = true;
  const alone = new AbortController();
  const third = source.read(reads(50), { fill: true, signal: alone.signal });
  assert.equal(store.running, 1);
  alone.abort(new MillraceError('cancelled', 'LEFT', 'left'));
  await assert.rejects(third, { code: 'LEFT' });
  await Promise.resolve();
  assert.equal(store.running, 0);
  store.release();
  assertBlock((await source.read(reads(50), FILL))[0], one, 50);
});

test('a reader that leaves while its request waits for a turn is not in the way', async () => {
  const { store, source, reads } = await world(1 << 20, 1);
  store.held = true;
  const first = source.read(reads(1), FILL);
  const leaving = new AbortController();
  const second = source.read(reads(50), { fill: true, signal: leaving.signal });
  const third = source.read(reads(100), FILL);
  leaving.abort(new MillraceError('cancelled', 'LEFT', 'left'));
  await assert.rejects(second, { code: 'LEFT' });
  store.release();
  await Promise.all([first, third]);
  assert.equal(store.ranges.length, 2);
});

test('what scans read is not kept', async () => {
  const { store, source, one, reads } = await world();
  await source.read(reads(5), { fill: false });
  assert.equal(source.resident(one, blockAt(5)), undefined);
  assert.equal(source.bytes, 0);
  assert.equal(store.ranges.length, 1);
});

test('a block that comes spoilt is read once more, then named', async () => {
  const { store, source, one, reads } = await world();
  store.spoilt = 1;
  assertBlock((await source.read(reads(8), FILL))[0], one, 8);
  assert.equal(store.ranges.length, 2);
  store.spoilt = 2;
  await assert.rejects(source.read(reads(9), FILL), {
    kind: 'data',
    code: 'BLOCK_CORRUPT',
    details: { object: 'one', offset: START + 9 * BLOCK },
  });
  assert.equal(source.metrics.corrupt, 2);
  assertBlock((await source.read(reads(9), FILL))[0], one, 9);
});

test('an object that is missing is named, and asked for again the next time', async () => {
  const { store, source, two } = await world();
  const bytes = await store.get('two');
  await store.delete('two');
  await assert.rejects(source.read([{ file: two, block: blockAt(2) }], FILL), {
    kind: 'data',
    code: 'TABLE_MISSING',
    message: /two/,
  });
  await store.put('two', bytes);
  assertBlock((await source.read([{ file: two, block: blockAt(2) }], FILL))[0], two, 2);
});

test('blocks of a new file that are named as hot are in memory at once; a forgotten file leaves it', async () => {
  const { store, source, two } = await world();
  const bytes = (await store.get('two')).subarray(START);
  source.admitBlocks(two, bytes, { memory: [blockAt(4)], disk: [] });
  assertBlock(source.resident(two, blockAt(4)), two, 4);
  assert.equal(source.resident(two, blockAt(5)), undefined);
  assert.deepEqual(source.hotBlocks(two, 10), [4]);
  source.forget(two);
  assert.equal(source.resident(two, blockAt(4)), undefined);
  assert.equal(source.bytes, 0);
});

test('never gives a wrong byte, under random reads that overlap, leave and fail', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const { store, source, one, two } = await world(30_000, 3);
    const running: Promise<void>[] = [];
    for (let i = 0; i < 200; i++) {
      const file = random.chance(0.5) ? one : two;
      const indexes = Array.from({ length: 1 + random.int(8) }, () => random.int(BLOCKS));
      const leaving = new AbortController();
      const read = source.read(
        indexes.map((index) => ({ file, block: blockAt(index) })),
        { fill: random.chance(0.7), signal: leaving.signal },
      );
      running.push(
        read.then(
          (found) => found.forEach((bytes, at) => assertBlock(bytes, file, indexes[at]!)),
          (error: unknown) => assert.match((error as MillraceError).code, /LEFT|BLOCK_CORRUPT/),
        ),
      );
      if (random.chance(0.1)) leaving.abort(new MillraceError('cancelled', 'LEFT', 'left'));
      if (random.chance(0.05)) store.spoilt = 1;
      if (random.chance(0.1)) store.held = true;
      if (random.chance(0.2)) store.release();
      if (random.chance(0.1)) source.forget(file);
      if (random.chance(0.3)) await Promise.resolve();
      assert.ok(source.bytes <= 30_000);
    }
    store.release();
    await Promise.all(running);
    assert.ok(store.runningMax <= 3);
    await source.close();
  }
});

test('adjacent blocks that only pass through come in one request and are not taken for corrupt', async () => {
  const { source, two } = await world();
  const reads = [1, 2, 3].map((index) => ({ file: two, block: blockAt(index) }));
  const contents = await source.read(reads, { fill: false });
  for (const [i, bytes] of contents.entries()) assertBlock(bytes, two, i + 1);
  assert.equal(source.metrics.requests, 1);
  assert.equal(source.metrics.corrupt, 0);
  assert.equal(source.bytes, 0);
});

test('thousands of reads under one signal listen to it once, and all leave with it', async () => {
  const { source, one } = await world();
  const abort = new AbortController();
  const { signal } = abort;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<AbortSignal['addEventListener']>) => {
    listeners++;
    add(...args);
  };
  const reads = Array.from({ length: 1000 }, (_, i) =>
    source.read([{ file: one, block: blockAt(i % 4) }], { fill: true, signal }),
  );
  abort.abort(new RangeError('left'));
  for (const { status } of await Promise.allSettled(reads)) assert.equal(status, 'rejected');
  assert.equal(listeners, 1);
});
