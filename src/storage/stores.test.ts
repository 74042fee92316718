import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { realWorld } from '../base/real-world.ts';
import { objectStoreContract } from '../testing/object-store-contract.ts';
import { LocalStore } from './local-store.ts';
import { MemoryStore } from './memory-store.ts';

const { ids } = realWorld();
const folders: string[] = [];
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

async function folder(): Promise<string> {
  const path = await mkdtemp(`${tmpdir()}/millrace-store-`);
  folders.push(path);
  return path;
}

objectStoreContract('memory', async () => new MemoryStore());
objectStoreContract('local folder', async () => new LocalStore(await folder(), ids));

describe('the local store', () => {
  test('leaves no temporary file behind and keeps one version', async () => {
    const path = await folder();
    const store = new LocalStore(path, ids);
    let etag = await store.put('head', Buffer.from('0'));
    for (let i = 0; i < 4; i++) {
      const put = await store.putIfMatch('head', Buffer.from(String(i)), etag);
      if (put.outcome === 'stored') etag = put.etag;
    }
    assert.deepEqual(await readdir(path), ['head@4']);
  });

  test('two stores on one folder see each other', async () => {
    const path = await folder();
    const [a, b] = [new LocalStore(path, ids), new LocalStore(path, ids)];
    const etag = await a.put('head', Buffer.from('0'));
    assert.equal((await b.putIfMatch('head', Buffer.from('1'), etag)).outcome, 'stored');
    assert.equal((await a.putIfMatch('head', Buffer.from('2'), etag)).outcome, 'conflict');
  });
});
