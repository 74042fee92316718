/** What every object store must do; run against each implementation. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ObjectStore } from '../storage/object-store.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (stored: Uint8Array): string => new TextDecoder().decode(stored);
const RACERS = 20;

/** Registers the suite; `open` gives an empty store. */
export function objectStoreContract(name: string, open: () => Promise<ObjectStore>): void {
  describe(`object store contract: ${name}`, () => {
    test('gives back what was put, whole and in ranges', async () => {
      const store = await open();
      await store.put('a/b', bytes('hello world'));
      assert.equal(text(await store.get('a/b')), 'hello world');
      assert.equal(text(await store.get('a/b', { offset: 6, length: 5 })), 'world');
      await assert.rejects(store.get('a/b', { offset: 6, length: 6 }), { code: 'BAD_RANGE' });
    });

    test('keeps its own copy: the caller may use its buffer again', async () => {
      const store = await open();
      const buffer = Buffer.from('before');
      const range = buffer.subarray(0, 3);
      await store.put('k', range);
      await store.putIfAbsent('l', range);
      buffer.fill('x');
      assert.equal(text(await store.get('k')), 'bef');
      assert.equal(text(await store.get('l')), 'bef');
    });

    test('a missing object is named', async () => {
      const store = await open();
      await assert.rejects(store.get('no/where'), {
        kind: 'data',
        code: 'OBJECT_NOT_FOUND',
        message: /no\/where/,
      });
      assert.equal(await store.head('no/where'), undefined);
      await store.delete('no/where');
    });

    test('a put replaces the object and its version', async () => {
      const store = await open();
      const first = await store.put('k', bytes('one'));
      const second = await store.put('k', bytes('two!'));
      assert.notEqual(first, second);
      assert.deepEqual(await store.head('k'), { key: 'k', size: 4, etag: second });
    });

    test('exactly one of racing creators wins', async () => {
      const store = await open();
      const puts = await Promise.all(
        Array.from({ length: RACERS }, (_, i) => store.putIfAbsent('race', bytes(String(i)))),
      );
      const winners = puts.flatMap((put, i) => (put.outcome === 'stored' ? [i] : []));
      assert.equal(winners.length, 1);
      assert.equal(text(await store.get('race')), String(winners[0]));
    });

    test('exactly one of racing compare-and-sets wins, round after round', async () => {
      const store = await open();
      let etag = await store.put('head', bytes('start'));
      for (let round = 0; round < 5; round++) {
        const puts = await Promise.all(
          Array.from({ length: RACERS }, (_, i) =>
            store.putIfMatch('head', bytes(`${round}:${i}`), etag),
          ),
        );
        const winners = puts.flatMap((put, i) =>
          put.outcome === 'stored' ? [{ i, etag: put.etag }] : [],
        );
        assert.equal(winners.length, 1);
        assert.equal(text(await store.get('head')), `${round}:${winners[0]!.i}`);
        etag = winners[0]!.etag;
      }
    });

    test('a stale compare-and-set changes nothing, however old it is', async () => {
      const store = await open();
      const etags = [await store.put('head', bytes('0'))];
      for (let i = 1; i < 6; i++) {
        const put = await store.putIfMatch('head', bytes(String(i)), etags.at(-1)!);
        assert.ok(put.outcome === 'stored');
        etags.push(put.etag);
      }
      for (const stale of etags.slice(0, -1)) {
        assert.deepEqual(await store.putIfMatch('head', bytes('zombie'), stale), {
          outcome: 'conflict',
        });
      }
      assert.deepEqual(await store.putIfAbsent('head', bytes('zombie')), { outcome: 'conflict' });
      assert.equal(text(await store.get('head')), '5');
    });

    test('lists by prefix in key order', async () => {
      const store = await open();
      for (const key of ['b/2', 'a/1', 'b/1', 'b/10', 'c']) await store.put(key, bytes(key));
      const keys: string[] = [];
      for await (const meta of store.list('b/')) keys.push(meta.key);
      assert.deepEqual(keys, ['b/1', 'b/10', 'b/2']);
    });

    test('deletes', async () => {
      const store = await open();
      await store.put('gone', bytes('x'));
      await store.delete('gone');
      assert.equal(await store.head('gone'), undefined);
    });

    for (const key of [
      '',
      '/',
      '../up',
      'a/../b',
      'a//b',
      '/abs',
      'a/',
      'sp ace',
      'nul\0',
      `x${'/y'.repeat(600)}`,
    ]) {
      test(`refuses the key ${JSON.stringify(key.slice(0, 20))}`, async () => {
        const store = await open();
        await assert.rejects(store.get(key), { kind: 'invalid', code: 'BAD_OBJECT_KEY' });
        await assert.rejects(store.put(key, bytes('x')), {
          kind: 'invalid',
          code: 'BAD_OBJECT_KEY',
        });
      });
    }
  });
}
