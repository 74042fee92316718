import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../storage/memory-store.ts';
import { MemoryDisk } from '../../testing/memory-disk.ts';
import { SeededRandom } from '../../testing/seeded-random.ts';
import type { BlockAddress, StoredFile } from '../block-source.ts';
import { sealBlock, TRAILER_BYTES } from '../block-trailer.ts';
import { CachingBlockSource } from './caching-block-source.ts';
import { DiskCache } from './disk-cache.ts';

const BLOCK = 100;
const BLOCKS = 20;
let fileNo = 1_000_000;

interface TestFile extends StoredFile {
  readonly bytes: Uint8Array;
}

const blockAt = (index: number): BlockAddress => ({
  index,
  offset: index * BLOCK,
  length: BLOCK,
});

async function makeFile(store: MemoryStore, name: string): Promise<TestFile> {
  const bytes = new Uint8Array(BLOCK * BLOCKS);
  for (let i = 0; i < BLOCKS; i++) {
    const block = bytes.subarray(i * BLOCK, (i + 1) * BLOCK);
    block.fill(i + name.length * 31);
    block.set(Buffer.from(name), 0);
    sealBlock(block, BLOCK - TRAILER_BYTES, 0);
  }
  await store.put(name, bytes);
  return { fileNo: fileNo++, object: name, offset: 0, length: bytes.length, bytes };
}

const contentsOf = (file: TestFile, index: number): Uint8Array =>
  file.bytes.slice(index * BLOCK, (index + 1) * BLOCK - TRAILER_BYTES);

function assertBlock(bytes: Uint8Array, file: TestFile, index: number): void {
  assert.deepEqual(Buffer.from(bytes), Buffer.from(contentsOf(file, index)));
}

function openCache(disk: MemoryDisk, budgetBytes: number) {
  const failures: unknown[] = [];
  const cache = new DiskCache({ disk, budgetBytes, failed: (error) => failures.push(error) });
  return { cache, failures };
}

async function world(budgetBytes: number, disk = new MemoryDisk()) {
  const store = new MemoryStore();
  const files = await Promise.all(
    Array.from({ length: 10 }, (_, i) => makeFile(store, `file-${i}`)),
  );
  const { cache, failures } = openCache(disk, budgetBytes);
  const source = new CachingBlockSource({ store, memoryBytes: 1000, disk: cache });
  return { store, disk, failures, cache, files, source };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('never serves a wrong byte nor exceeds its budget, whatever is cached, broken or evicted', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const { store, disk, cache, files, source } = await world(seed % 2 === 0 ? 40_000 : 12_000);
    for (let i = 0; i < 400; i++) {
      const file = random.pick(files);
      const index = random.int(BLOCKS);
      const die = random.next();
      if (die < 0.05) source.admitFile(file, file.bytes, false);
      else if (die < 0.06) source.forget(file);
      else if (die < 0.5) {
        const [bytes] = await source.read([{ file, block: blockAt(index) }], {
          fill: random.chance(0.7),
        });
        assertBlock(bytes!, file, index);
      } else {
        const bytes = source.resident(file, blockAt(index), random.chance(0.8));
        if (bytes !== undefined) assertBlock(bytes, file, index);
      }
      if (random.chance(0.02)) disk.corrupt = !disk.corrupt;
      if (random.chance(0.01)) disk.vanished = !disk.vanished;
      if (random.chance(0.001)) disk.full = true;
      if (random.chance(0.3)) await settle();
      assert.ok(cache.bytes <= (seed % 2 === 0 ? 40_000 : 12_000), `seed ${seed}: ${cache.bytes}`);
      assert.ok(disk.bytes <= (seed % 2 === 0 ? 40_000 : 12_000), `seed ${seed}: ${disk.bytes}`);
    }
    await source.close();
    assert.equal(disk.openFiles, 0);
    const next = openCache(disk.reopen(), 40_000).cache;
    for (const file of files)
      for (let i = 0; i < BLOCKS; i++) {
        const bytes = next.read(file, blockAt(i));
        if (bytes !== undefined) assertBlock(bytes, file, i);
      }
    await store.close();
  }
});

test('a new file is served from disk without a request', async () => {
  const { files, source } = await world(1 << 20);
  source.admitFile(files[0]!, files[0]!.bytes, false);
  await settle();
  for (let i = 0; i < BLOCKS; i++)
    assertBlock(source.resident(files[0]!, blockAt(i))!, files[0]!, i);
  assert.equal(source.metrics.requests, 0);
});

test('what was cached is found after a clean end, under another opening of the same file', async () => {
  const { disk, files, cache, source } = await world(1 << 20);
  source.admitFile(files[0]!, files[0]!.bytes, false);
  await source.read([{ file: files[1]!, block: blockAt(7) }], { fill: true });
  await source.close();
  const next = openCache(disk.reopen(), 1 << 20).cache;
  const again = { ...files[0]!, fileNo: fileNo++ };
  for (let i = 0; i < BLOCKS; i++) assertBlock(next.read(again, blockAt(i))!, files[0]!, i);
  assertBlock(next.read({ ...files[1]! }, blockAt(7))!, files[1]!, 7);
  assert.equal(next.read(files[1]!, blockAt(6)), undefined);
  assert.equal(next.read({ ...files[0]!, length: 5 }, blockAt(0)), undefined);
  assert.equal(cache.isOff, true);
});

test('what was cached is found after a kill, and a cache goes on filling beside it', async () => {
  const { disk, files, cache } = await world(1 << 20);
  for (const file of files.slice(0, 5)) cache.putFile(file, file.bytes);
  await settle();
  const second = disk.reopen();
  const next = openCache(second, 1 << 20).cache;
  for (const file of files.slice(5)) next.putFile(file, file.bytes);
  await settle();
  const third = openCache(second.reopen(), 1 << 20).cache;
  for (const file of files) assertBlock(third.read(file, blockAt(3))!, file, 3);
});

test('torn and spoilt segments of an earlier process are never served', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const { disk, files, cache } = await world(1 << 20);
    for (const file of files) {
      if (random.chance(0.5)) cache.putFile(file, file.bytes);
      else cache.putBlock(file, blockAt(3), file.bytes.subarray(300, 400));
    }
    await settle();
    const next = disk.reopen();
    if (seed % 2 === 0) next.tear((length) => random.int(length));
    else for (let i = 0; i < 20; i++) next.spoil((length) => random.int(length));
    const { cache: recovered, failures } = openCache(next, 1 << 20);
    for (const file of files)
      for (let i = 0; i < BLOCKS; i++) {
        const bytes = recovered.read(file, blockAt(i));
        if (bytes !== undefined) assertBlock(bytes, file, i);
      }
    assert.deepEqual(failures, []);
  }
});

test('a smaller budget after a restart keeps the newest', async () => {
  const { disk, files, cache } = await world(20_000);
  for (const file of files.slice(0, 8)) {
    cache.putFile(file, file.bytes);
    await settle();
  }
  const { cache: next } = openCache(disk.reopen(), 9000);
  assert.ok(next.bytes <= 9000 && next.bytes > 0);
  assertBlock(next.read(files[7]!, blockAt(0))!, files[7]!, 0);
  assert.equal(next.read(files[0]!, blockAt(0)), undefined);
});

test('blocks that are read stay when the rest of their segment goes', async () => {
  const { files, cache } = await world(20_000);
  const hot = files[0]!;
  cache.putFile(hot, hot.bytes);
  await settle();
  for (let round = 0; round < 60; round++) {
    const cold = files[1 + (round % 9)]!;
    cache.putBlock(
      { ...cold, object: `${cold.object}-${round}` },
      blockAt(0),
      cold.bytes.subarray(0, 100),
    );
    cache.putFile({ ...cold, object: `${cold.object}-${round}` }, cold.bytes);
    await settle();
    assertBlock(cache.read(hot, blockAt(4))!, hot, 4);
  }
  assert.equal(cache.read(hot, blockAt(5)), undefined);
});

test('a corrupt block on disk is fetched again from the store, and cached again', async () => {
  const { disk, files, source, cache } = await world(1 << 20);
  source.admitFile(files[0]!, files[0]!.bytes, false);
  await settle();
  disk.corrupt = true;
  assert.equal(source.resident(files[0]!, blockAt(3)), undefined);
  disk.corrupt = false;
  const [bytes] = await source.read([{ file: files[0]!, block: blockAt(3) }], { fill: true });
  assertBlock(bytes!, files[0]!, 3);
  assert.equal(source.metrics.requests, 1);
  await settle();
  assertBlock(cache.read(files[0]!, blockAt(3))!, files[0]!, 3);
  assert.equal(cache.corrupt, 1);
});

test('a full disk turns the cache off, once, and reads go on', async () => {
  const { disk, failures, files, cache, source } = await world(1 << 20);
  disk.full = true;
  for (const file of files) source.admitFile(file, file.bytes, false);
  await settle();
  await settle();
  assert.equal(failures.length, 1);
  assert.equal(cache.isOff, true);
  const [bytes] = await source.read([{ file: files[4]!, block: blockAt(2) }], { fill: true });
  assertBlock(bytes!, files[4]!, 2);
});

test('a disk that takes no new files turns the cache off, once', async () => {
  const { disk, failures, files, cache } = await world(1 << 20);
  disk.vanished = true;
  for (const file of files) cache.putFile(file, file.bytes);
  assert.equal(failures.length, 1);
  assert.equal(cache.read(files[0]!, blockAt(0)), undefined);
});

test('what waits to be written is bounded and the rest is left out', async () => {
  const { disk, files, cache } = await world(1 << 30);
  const large = new Uint8Array(20 << 20);
  disk.held = true;
  for (const file of files.slice(0, 5)) cache.putFile({ ...file, length: large.length }, large);
  assert.equal(cache.skipped, 4);
  disk.release();
  await cache.close();
  assert.equal(disk.openFiles, 0);
});

test('a file that was replaced gives its space back once nobody has it open', async () => {
  const { files, cache, disk } = await world(40_000);
  const [one, two] = [files[0]!, files[1]!];
  cache.putFile(one, one.bytes);
  cache.putFile(two, two.bytes);
  await settle();
  const again = { ...one, fileNo: fileNo++ };
  assertBlock(cache.read(one, blockAt(1))!, one, 1);
  assertBlock(cache.read(again, blockAt(1))!, one, 1);
  const before = cache.bytes;
  cache.forget(again, true);
  assertBlock(cache.read(one, blockAt(1))!, one, 1);
  cache.forget(two, false);
  assertBlock(cache.read(two, blockAt(1))!, two, 1);
  cache.forget(one, true);
  assert.equal(cache.read(one, blockAt(1)), undefined);
  assert.ok(before - cache.bytes >= one.bytes.length);
  assert.equal(disk.openFiles, 1);
});
