import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiskFile, LocalDisk } from '../base/local-disk.ts';
import { MillraceError } from '../base/errors.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { SeededRandom } from '../testing/seeded-random.ts';
import type { BlockAddress, StoredFile } from './block-source.ts';
import { sealBlock, TRAILER_BYTES } from './block-trailer.ts';
import { DiskCache } from './disk-cache.ts';
import { MemoryBlockSource } from './memory-block-source.ts';

/** A disk in memory that can be broken. */
class FakeDisk implements LocalDisk {
  full = false;
  gone = false;
  corrupt = false;
  files = 0;
  written = 0;

  create(): DiskFile {
    this.files++;
    let bytes = new Uint8Array(0);
    return {
      write: async (data, position) => {
        await Promise.resolve();
        if (this.full) throw new MillraceError('unavailable', 'DISK_FULL', 'no space left');
        this.written += data.length;
        if (bytes.length < position + data.length) {
          const grown = new Uint8Array(position + data.length);
          grown.set(bytes);
          bytes = grown;
        }
        bytes.set(data, position);
      },
      read: (into, position) => {
        if (this.gone || position + into.length > bytes.length) return false;
        into.set(bytes.subarray(position, position + into.length));
        if (this.corrupt) into[into.length >> 1]! ^= 1;
        return true;
      },
      drop: () => {
        this.files--;
        bytes = new Uint8Array(0);
      },
    };
  }

  close(): void {}
}

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

async function world(budgetBytes: number) {
  const store = new MemoryStore();
  const disk = new FakeDisk();
  const failures: unknown[] = [];
  const cache = new DiskCache({ disk, budgetBytes, failed: (error) => failures.push(error) });
  const files = await Promise.all(
    Array.from({ length: 10 }, (_, i) => makeFile(store, `file-${i}`)),
  );
  return { store, disk, failures, cache, files, source: new MemoryBlockSource(store, 1000, cache) };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('never serves a wrong byte, whatever is cached, broken or evicted', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const { disk, files, source } = await world(8000);
    for (let i = 0; i < 400; i++) {
      const file = files[Math.floor(random.next() * files.length)]!;
      const index = Math.floor(random.next() * BLOCKS);
      const die = random.next();
      if (die < 0.05) source.admit(file, file.bytes, []);
      else if (die < 0.5) {
        const [bytes] = await source.read([{ file, block: blockAt(index) }], {
          fill: random.next() < 0.7,
        });
        assert.deepEqual(Buffer.from(bytes!), Buffer.from(contentsOf(file, index)));
      } else {
        const bytes = source.resident(file, blockAt(index));
        if (bytes !== undefined)
          assert.deepEqual(Buffer.from(bytes), Buffer.from(contentsOf(file, index)));
      }
      if (random.next() < 0.02) disk.corrupt = !disk.corrupt;
      if (random.next() < 0.01) disk.gone = !disk.gone;
      if (random.next() < 0.001) disk.full = true;
      if (random.next() < 0.3) await settle();
    }
    await source.close();
    assert.equal(disk.files, 0);
  }
});

test('a new file is served from disk without a request', async () => {
  const { files, source } = await world(1 << 20);
  source.admit(files[0]!, files[0]!.bytes, []);
  await settle();
  for (let i = 0; i < BLOCKS; i++)
    assert.deepEqual(
      Buffer.from(source.resident(files[0]!, blockAt(i))!),
      Buffer.from(contentsOf(files[0]!, i)),
    );
  assert.equal(source.requests, 0);
});

test('a corrupt block on disk is fetched again from the store', async () => {
  const { disk, files, source } = await world(1 << 20);
  source.admit(files[0]!, files[0]!.bytes, []);
  await settle();
  disk.corrupt = true;
  assert.equal(source.resident(files[0]!, blockAt(3)), undefined);
  disk.corrupt = false;
  const [bytes] = await source.read([{ file: files[0]!, block: blockAt(3) }], { fill: true });
  assert.deepEqual(Buffer.from(bytes!), Buffer.from(contentsOf(files[0]!, 3)));
  assert.equal(source.requests, 1);
});

test('a full disk turns the cache off, once, and reads go on', async () => {
  const { disk, failures, files, source } = await world(1 << 20);
  disk.full = true;
  for (const file of files) source.admit(file, file.bytes, []);
  await settle();
  await settle();
  assert.equal(failures.length, 1);
  const [bytes] = await source.read([{ file: files[4]!, block: blockAt(2) }], { fill: true });
  assert.deepEqual(Buffer.from(bytes!), Buffer.from(contentsOf(files[4]!, 2)));
});

test('a corrupt object is named, with its place', async () => {
  const { store, files, source } = await world(1 << 20);
  const broken = files[0]!.bytes.slice();
  broken[250]! ^= 1;
  await store.put('file-0', broken);
  await assert.rejects(source.read([{ file: files[0]!, block: blockAt(2) }], { fill: true }), {
    kind: 'data',
    code: 'BLOCK_CORRUPT',
    message: /200 of file-0/,
  });
  await store.delete('file-1');
  await assert.rejects(source.read([{ file: files[1]!, block: blockAt(2) }], { fill: true }), {
    kind: 'data',
    code: 'TABLE_MISSING',
    message: /file-1/,
  });
});
