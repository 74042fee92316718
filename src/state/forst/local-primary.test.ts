import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../storage/memory-store.ts';
import { MemoryDisk } from '../../testing/memory-disk.ts';
import { LocalPrimary } from './local-primary.ts';

const A = 'job/shared/a-0';
const B = 'job/shared/b-0';
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

function setUp(disk = new MemoryDisk()) {
  const remote = new MemoryStore();
  const refused: unknown[] = [];
  const log = (_message: string, error: unknown): void => void refused.push(error);
  return { disk, remote, refused, log, primary: new LocalPrimary({ disk, remote, log }) };
}

/** Lets what runs in the background end. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a file costs the object store nothing until a checkpoint names it, then one put', async () => {
  const { remote, primary } = setUp();
  await primary.putIfAbsent(A, bytes('hello'));
  await primary.putIfAbsent(B, bytes('world'));
  assert.deepEqual(await primary.get(A, { offset: 1, length: 3 }), bytes('ell'));
  assert.equal(await remote.head(A), undefined);
  await Promise.all([primary.upload([A, A]), primary.upload([A])]);
  assert.deepEqual(new Uint8Array(await remote.get(A)), bytes('hello'));
  assert.equal(await remote.head(B), undefined);
  assert.deepEqual(primary.usage, { bytes: 10, bytesNotStored: 5 });
  assert.deepEqual(await primary.putIfAbsent(A, bytes('other')), { outcome: 'conflict' });
});

test('with a changelog a file is uploaded as it is written; where that fails, by the checkpoint', async () => {
  const { disk, remote, log } = setUp();
  let down = true;
  const stub = Object.create(remote) as MemoryStore; // all of it but this
  stub.putIfAbsent = (...put) =>
    down ? Promise.reject(new Error('down')) : remote.putIfAbsent(...put);
  const primary = new LocalPrimary({ disk, remote: stub, log, uploadsAtOnce: true });
  assert.equal((await primary.putIfAbsent(A, bytes('first'))).outcome, 'stored');
  await assert.rejects(primary.upload([A]), /down/);
  down = false;
  await primary.putIfAbsent(B, bytes('second'));
  assert.deepEqual(new Uint8Array(await remote.get(B)), bytes('second'));
  assert.deepEqual(primary.usage, { bytes: 11, bytesNotStored: 5 });
  await primary.upload([A, B]);
  assert.deepEqual(new Uint8Array(await remote.get(A)), bytes('first'));
});

test('an upload whose answer was lost is done when it is tried again; other bytes under the name are refused', async () => {
  const { remote, primary } = setUp();
  await primary.putIfAbsent(A, bytes('mine'));
  await remote.put(A, bytes('mine'));
  await primary.upload([A]);
  await primary.putIfAbsent(B, bytes('mine'));
  await remote.put(B, bytes('theirs'));
  await assert.rejects(primary.upload([B]), { code: 'FILE_EXISTS' });
  assert.deepEqual(new Uint8Array(await remote.get(B)), bytes('theirs'));
});

test('a restored file is read by ranges where it is, and from local disk once it has come', async () => {
  const { remote, primary } = setUp();
  await remote.put(A, bytes('restored'));
  assert.deepEqual(new Uint8Array(await primary.get(A, { offset: 2, length: 2 })), bytes('st'));
  await settled();
  await remote.delete(A);
  assert.deepEqual(await primary.get(A), bytes('restored'));
  assert.deepEqual(primary.usage, { bytes: 8, bytesNotStored: 0 });
});

test('what nothing names any more goes a few sweeps later; what was never named stays', async () => {
  const { disk, primary } = setUp();
  await primary.putIfAbsent(A, bytes('old'));
  await primary.putIfAbsent(B, bytes('an output not adopted yet'));
  primary.sweep(new Set([A]));
  for (let i = 0; i < 3; i++) primary.sweep(new Set());
  assert.deepEqual(await primary.get(A), bytes('old'));
  primary.sweep(new Set());
  assert.equal(disk.bytes, 25);
  await assert.rejects(primary.get(A), { code: 'OBJECT_NOT_FOUND' });
});

test('a disk that refuses a file is done without', async () => {
  const { disk, remote, primary, refused } = setUp();
  disk.full = true;
  await primary.putIfAbsent(A, bytes('hello'));
  assert.equal(refused.length, 1);
  assert.deepEqual(new Uint8Array(await remote.get(A)), bytes('hello'));
  await primary.upload([A]);
  assert.deepEqual(new Uint8Array(await primary.get(A)), bytes('hello'));
});

test('a file that local disk has changed or lost is never uploaded; one that is stored is read there', async () => {
  const { disk, remote, primary } = setUp();
  await primary.putIfAbsent(A, bytes('stored'));
  await primary.upload([A]);
  await primary.putIfAbsent(B, bytes('not yet'));
  disk.corrupt = true;
  await assert.rejects(primary.upload([B]), { kind: 'unavailable', code: 'LOCAL_FILE_LOST' });
  disk.corrupt = false;
  disk.vanished = true;
  await assert.rejects(primary.upload([B]), { code: 'LOCAL_FILE_LOST' });
  await assert.rejects(primary.get(B), { code: 'LOCAL_FILE_LOST' });
  assert.equal(await remote.head(B), undefined);
  assert.deepEqual(new Uint8Array(await primary.get(A)), bytes('stored'));
});

test('a worker begins with an empty folder and leaves one', async () => {
  const { disk, primary } = setUp();
  await primary.putIfAbsent(A, bytes('left by a kill'));
  const next = disk.reopen();
  assert.equal(next.bytes, 14);
  const second = setUp(next);
  assert.equal(next.bytes, 0);
  await second.primary.putIfAbsent(A, bytes('new'));
  await second.primary.close();
  assert.equal(next.bytes, 0);
  assert.equal(next.openFiles, 0);
});
