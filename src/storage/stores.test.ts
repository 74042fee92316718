import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
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

const open = async (): Promise<{ path: string; store: LocalStore }> => {
  const path = await folder();
  return { path, store: new LocalStore(path, ids) };
};

objectStoreContract('memory', async () => new MemoryStore());
objectStoreContract('local folder', async () => (await open()).store);

/** A process that adds one to a counter again and again, and says each value that it stored. */
const INCREMENTER = `
  const { LocalStore } = await import(${JSON.stringify(import.meta.resolve('./local-store.ts'))});
  let id = 0;
  const store = new LocalStore(process.argv[1], { next: () => process.pid + '-' + id++ });
  for (let stored = 0; stored < Number(process.argv[2]); ) {
    const meta = await store.head('counter');
    const next = Number(Buffer.from(await store.get('counter'))) + 1;
    const put = await store.putIfMatch('counter', Buffer.from(String(next)), meta.etag);
    if (put.outcome === 'stored') { console.log(next); stored++; }
  }
`;

describe('the local store', () => {
  test('leaves no temporary file behind and keeps few versions', async () => {
    const { path, store } = await open();
    let etag = await store.put('head', Buffer.from('0'));
    for (let i = 0; i < 20; i++) {
      const put = await store.putIfMatch('head', Buffer.from(String(i)), etag);
      if (put.outcome === 'stored') etag = put.etag;
    }
    assert.deepEqual((await readdir(path)).sort(), ['head', 'head@']);
    const versions = (await readdir(`${path}/head@`)).map(Number).sort((a, b) => a - b);
    assert.deepEqual(versions, [0, 13, 14, 15, 16, 17, 18, 19, 20]);
  });

  test('two stores on one folder see each other', async () => {
    const { path, store: a } = await open();
    const b = new LocalStore(path, ids);
    const etag = await a.put('head', Buffer.from('0'));
    assert.equal((await b.putIfMatch('head', Buffer.from('1'), etag)).outcome, 'stored');
    assert.equal((await a.putIfMatch('head', Buffer.from('2'), etag)).outcome, 'conflict');
  });

  test('processes that race for one object, one of them killed, lose no change', async () => {
    const { path, store } = await open();
    await store.put('counter', Buffer.from('0'));
    const said: number[] = [];
    let killed = false;
    const racers = Array.from({ length: 3 }, (_, i) => {
      const args = ['--input-type=module', '-e', INCREMENTER, path, i === 0 ? '1000' : '25'];
      const racer = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      createInterface(racer.stdout).on('line', (line) => {
        said.push(Number(line));
        if (i === 0 && said.length > 20 && !killed) killed = racer.kill('SIGKILL');
      });
      return new Promise((resolve) => racer.on('close', resolve));
    });
    await Promise.all(racers);
    const final = Number(Buffer.from(await store.get('counter')));
    assert.ok(killed);
    assert.equal(new Set(said).size, said.length, 'no value was stored twice');
    // The killed one may have stored a value and died before it could say so.
    assert.ok(final === said.length || final === said.length + 1, `${final} of ${said.length}`);
  });

  test('a writer that was overtaken so far that versions are gone does not claim to have won', async () => {
    const { path, store } = await open();
    let etag = await store.put('head', Buffer.from('0'));
    for (let i = 1; i <= 12; i++) {
      const put = await store.putIfMatch('head', Buffer.from(String(i)), etag);
      assert.ok(put.outcome === 'stored');
      etag = put.etag;
    }
    // A late writer that looked when version 1 was the highest: the others come back between its look and its link.
    const others = (await readdir(`${path}/head@`)).filter((name) => Number(name) > 1);
    const hidden = others.map((name) => [name, readFileSync(`${path}/head@/${name}`)] as const);
    for (const [name] of hidden) await rm(`${path}/head@/${name}`);
    await writeFile(`${path}/head@/1`, '1');
    const late = new LocalStore(path, {
      next: () => {
        for (const [name, bytes] of hidden) writeFileSync(`${path}/head@/${name}`, bytes);
        return ids.next();
      },
    });
    await assert.rejects(late.putIfMatch('head', Buffer.from('zombie'), 'v1'), {
      kind: 'unavailable',
      code: 'LOCAL_STORE_OVERTAKEN',
    });
    assert.equal(Buffer.from(await store.get('head')).toString(), '12');
  });

  test('what a crash leaves behind is no object', async () => {
    const { path, store } = await open();
    await store.put('a', Buffer.from('a'));
    await writeFile(`${path}/@tmp-0123`, 'half');
    await mkdir(`${path}/b@`);
    const keys: string[] = [];
    for await (const meta of store.list('')) keys.push(meta.key);
    assert.deepEqual(keys, ['a']);
    assert.equal((await store.putIfAbsent('b', Buffer.from('b'))).outcome, 'stored');
    assert.equal(Buffer.from(await store.get('b')).toString(), 'b');
  });

  test('an object and a folder of one name are refused, and neither is harmed', async () => {
    const { store } = await open();
    await store.put('a', Buffer.from('a'));
    await store.put('b/c', Buffer.from('c'));
    const taken = { kind: 'invalid', code: 'OBJECT_KEY_TAKEN' };
    await assert.rejects(store.put('a/x', Buffer.from('x')), taken);
    await assert.rejects(store.put('b', Buffer.from('x')), taken);
    await assert.rejects(store.get('a/x'), { code: 'OBJECT_NOT_FOUND' });
    await assert.rejects(store.get('b'), { code: 'OBJECT_NOT_FOUND' });
    assert.equal(Buffer.from(await store.get('a')).toString(), 'a');
    assert.equal(Buffer.from(await store.get('b/c')).toString(), 'c');
  });

  test('nothing leads out of the folder, symbolic links included', async () => {
    const { path, store } = await open();
    const outside = await folder();
    await writeFile(`${outside}/secret`, 'secret');
    await symlink(outside, `${path}/link`);
    await symlink(`${outside}/secret`, `${path}/file`);
    await mkdir(`${path}/b@`);
    await symlink(`${outside}/secret`, `${path}/b@/7`);
    const refused = { kind: 'invalid', code: 'SYMBOLIC_LINK_REFUSED' };
    await assert.rejects(store.get('link/secret'), refused);
    await assert.rejects(store.put('link/secret', Buffer.from('x')), refused);
    await assert.rejects(store.put('link/new/deep', Buffer.from('x')), refused);
    await assert.rejects(store.delete('link/secret'), refused);
    await assert.rejects(store.get('file'), refused);
    await assert.rejects(store.get('b'), { code: 'OBJECT_NOT_FOUND' });
    const keys: string[] = [];
    for await (const meta of store.list('')) keys.push(meta.key);
    assert.deepEqual(keys, []);
    assert.deepEqual(await readdir(outside), ['secret']);
    assert.equal(await readFile(`${outside}/secret`, 'utf8'), 'secret');
  });

  test('a folder that cannot be written is unavailable, with the reason', async () => {
    const path = await folder();
    await writeFile(`${path}/file`, '');
    const store = new LocalStore(`${path}/${'x'.repeat(300)}`, ids);
    await assert.rejects(store.put('k', Buffer.from('x')), {
      kind: 'unavailable',
      code: 'LOCAL_STORE_FAILED',
      details: { system: 'ENAMETOOLONG' },
    });
  });
});
