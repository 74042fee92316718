/** What every object store must do; run against each implementation. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../base/errors.ts';
import type { ObjectMeta, ObjectStore } from '../storage/object-store.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (stored: Uint8Array): string => new TextDecoder().decode(stored);
const RACERS = 20;

async function keysOf(store: ObjectStore, prefix: string, signal?: AbortSignal): Promise<string[]> {
  const keys: string[] = [];
  for await (const meta of store.list(prefix, signal)) keys.push(meta.key);
  return keys;
}

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
      assert.deepEqual(await keysOf(store, 'b/'), ['b/1', 'b/10', 'b/2']);
      const metas: ObjectMeta[] = [];
      for await (const meta of store.list('c')) metas.push(meta);
      assert.deepEqual(metas, [await store.head('c')]);
    });

    test('lists nothing under a prefix that nothing has, and stops when told to', async () => {
      const store = await open();
      for (const key of ['a/1', 'a/2']) await store.put(key, bytes(key));
      assert.deepEqual(await keysOf(store, 'b'), []);
      assert.deepEqual(await keysOf(store, 'a'), ['a/1', 'a/2']);
      assert.deepEqual(await keysOf(store, ''), ['a/1', 'a/2']);
      for await (const meta of store.list('a/')) {
        assert.equal(meta.key, 'a/1');
        break;
      }
    });

    test('deletes, and nothing but the object of that very key', async () => {
      const store = await open();
      for (const key of ['gone', 'gone.too', 'folder/kept']) await store.put(key, bytes('x'));
      await store.delete('gone');
      await store.delete('folder');
      await store.delete('folder/missing');
      assert.equal(await store.head('gone'), undefined);
      assert.deepEqual(await keysOf(store, ''), ['folder/kept', 'gone.too']);
    });

    test('a compare-and-set of what is not there is a conflict', async () => {
      const store = await open();
      assert.deepEqual(await store.putIfMatch('none', bytes('x'), 'v1'), { outcome: 'conflict' });
      const etag = await store.put('k', bytes('x'));
      await store.delete('k');
      assert.deepEqual(await store.putIfMatch('k', bytes('y'), etag), { outcome: 'conflict' });
      assert.equal(await store.head('k'), undefined);
    });

    test('an object that was deleted and created again has another version', async () => {
      const store = await open();
      const first = await store.put('k', bytes('1'));
      const second = await store.putIfMatch('k', bytes('2'), first);
      assert.ok(second.outcome === 'stored');
      await store.delete('k');
      await assert.rejects(store.get('k'), { code: 'OBJECT_NOT_FOUND' });
      const third = await store.putIfAbsent('k', bytes('3'));
      assert.ok(third.outcome === 'stored');
      for (const stale of [first, second.etag])
        assert.deepEqual(await store.putIfMatch('k', bytes('zombie'), stale), {
          outcome: 'conflict',
        });
      assert.equal(text(await store.get('k')), '3');
      assert.equal((await store.putIfMatch('k', bytes('4'), third.etag)).outcome, 'stored');
    });

    test('of racing creators of a deleted object exactly one wins', async () => {
      const store = await open();
      const etag = await store.put('k', bytes('old'));
      await store.putIfMatch('k', bytes('newer'), etag);
      await store.delete('k');
      const puts = await Promise.all(
        Array.from({ length: RACERS }, (_, i) => store.putIfAbsent('k', bytes(String(i)))),
      );
      assert.equal(puts.filter(({ outcome }) => outcome === 'stored').length, 1);
    });

    test('a put that races compare-and-sets is lost to none of them', async () => {
      const store = await open();
      for (let round = 0; round < 8; round++) {
        const key = `round-${round}`;
        const etag = await store.put(key, bytes('0'));
        const [put, ...swaps] = await Promise.all([
          store.put(key, bytes('put')),
          ...Array.from({ length: 4 }, (_, i) => store.putIfMatch(key, bytes(`swap-${i}`), etag)),
        ]);
        const stored = swaps.flatMap((swap) => (swap.outcome === 'stored' ? [swap.etag] : []));
        // Either the put came first and all swaps lost, or it came after the one that won.
        assert.ok(stored.length <= 1);
        assert.equal((await store.head(key))!.etag, put);
        assert.equal(text(await store.get(key)), 'put');
      }
    });

    test('an aborted request does nothing and fails with the reason', async () => {
      const store = await open();
      const etag = await store.put('k', bytes('before'));
      const signal = AbortSignal.abort(new MillraceError('cancelled', 'CANCELED', 'enough'));
      const cancelled = { kind: 'cancelled', code: 'CANCELED' };
      await assert.rejects(store.get('k', undefined, signal), cancelled);
      await assert.rejects(store.head('k', signal), cancelled);
      await assert.rejects(store.put('k', bytes('after'), signal), cancelled);
      await assert.rejects(store.putIfAbsent('l', bytes('after'), signal), cancelled);
      await assert.rejects(store.putIfMatch('k', bytes('after'), etag, signal), cancelled);
      await assert.rejects(store.delete('k', signal), cancelled);
      await assert.rejects(keysOf(store, '', signal), cancelled);
      assert.equal(text(await store.get('k')), 'before');
      assert.equal(await store.head('l'), undefined);
    });

    test('holds objects of no bytes and of many', async () => {
      const store = await open();
      const large = new Uint8Array(3_000_000).map((_, i) => i % 251);
      await store.put('empty', new Uint8Array(0));
      await store.put('large', large);
      assert.equal((await store.get('empty')).length, 0);
      assert.equal((await store.get('empty', { offset: 0, length: 0 })).length, 0);
      assert.equal(Buffer.compare(await store.get('large'), large), 0);
      const part = await store.get('large', { offset: 1_000_000, length: 10 });
      assert.deepEqual([...part], [...large.subarray(1_000_000, 1_000_010)]);
    });

    for (const range of [
      { offset: -1, length: 1 },
      { offset: 0, length: -1 },
      { offset: 0, length: 4 },
      { offset: 4, length: 0 },
      { offset: 0.5, length: 1 },
      { offset: 0, length: Number.NaN },
    ]) {
      test(`refuses ${range.length} bytes from ${range.offset} of three`, async () => {
        const store = await open();
        await store.put('k', bytes('abc'));
        await assert.rejects(store.get('k', range), { kind: 'invalid', code: 'BAD_RANGE' });
      });
    }

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
