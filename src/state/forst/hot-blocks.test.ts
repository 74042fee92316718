import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachingBlockSource } from '../../lsm/cache/caching-block-source.ts';
import { LsmTree } from '../../lsm/lsm-tree.ts';
import { TABLE_DEFAULTS } from '../../lsm/table-writer.ts';
import { clipVersion } from '../../lsm/tree-version.ts';
import { MemoryStore } from '../../storage/memory-store.ts';
import { hotTables, warmTables, warmUp } from './hot-blocks.ts';

const KEYS = 3000;
const table = { ...TABLE_DEFAULTS, blockBytes: 256 };
const yieldToLoop = (): Promise<void> => Promise.resolve();
const keyOf = (i: number): Buffer => Buffer.from(`key-${String(i).padStart(5, '0')}`);
const NEVER = new AbortController().signal;

async function world() {
  const store = new MemoryStore();
  let fileNo = 0;
  const files = {
    async write(bytes: Uint8Array) {
      const id = `file-${fileNo++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
  const open = (version?: LsmTree['version']): { tree: LsmTree; blocks: CachingBlockSource } => {
    const blocks = new CachingBlockSource({ store, memoryBytes: 1 << 20 });
    const tree = new LsmTree({
      ...{ store, blocks, files, yieldToLoop, options: { table } },
      ...(version === undefined ? {} : { version, epoch: 100 }),
    });
    return { tree, blocks };
  };
  const { tree } = open();
  for (let run = 0; run < 3; run++) {
    for (let i = run; i < KEYS; i += 3) tree.put(keyOf(i), Buffer.alloc(20, run));
    tree.seal();
    await tree.flush();
  }
  return { open, tree, store };
}

test('what memory held when a list was made, it holds once a tree that was opened anew has warmed up', async () => {
  const { open, tree } = await world();
  const hot = [7, 8, 9, 1234, 2990].map(keyOf);
  await tree.lookupAll(hot);
  const list = await hotTables(tree, tree.version, yieldToLoop);
  assert.ok(list.length > 0);
  const again = open(tree.version);
  await warmUp(again.tree, warmTables(tree.version, list), NEVER);
  for (const key of hot) assert.equal(again.tree.lookupResident(key)?.base?.length, 20);
  assert.equal(again.tree.lookupResident(keyOf(2000)), undefined);
});

test('a tree that took over a part warms up that part alone', async () => {
  const { open, tree } = await world();
  await tree.lookupAll([keyOf(10), keyOf(2990)]);
  const list = await hotTables(tree, tree.version, yieldToLoop);
  const part = open(clipVersion(tree.version, keyOf(2000), keyOf(KEYS)));
  await warmUp(part.tree, warmTables(tree.version, list), NEVER);
  assert.equal(part.tree.lookupResident(keyOf(2990))?.base?.length, 20);
  const { blocks } = open(tree.version);
  assert.ok(part.blocks.metrics.misses > 0 && part.blocks.metrics.misses <= 3);
  await blocks.close();
});

test('a list that does not fit, a store that fails and a signal to stop cost nothing but warmth', async () => {
  const { open, tree, store } = await world();
  await tree.lookupAll([keyOf(10)]);
  const list = await hotTables(tree, tree.version, yieldToLoop);
  assert.deepEqual(warmTables(tree.version, undefined), []);
  assert.deepEqual(warmTables(tree.version, [{ table: 99, blocks: 'AQ==' }]), []);
  const stopped = new AbortController();
  stopped.abort();
  const cold = open(tree.version);
  await warmUp(cold.tree, warmTables(tree.version, list), stopped.signal);
  assert.equal(cold.blocks.metrics.misses, 0);
  const nonsense = [{ table: 0, blocks: Buffer.from([0xff, 0xff, 0x03]).toString('base64') }];
  await warmUp(cold.tree, warmTables(tree.version, nonsense), NEVER);
  const get = store.get.bind(store);
  store.get = () => Promise.reject(new RangeError('the store is out'));
  await warmUp(cold.tree, warmTables(tree.version, list), NEVER);
  store.get = get;
  const [lookup] = await cold.tree.lookupAll([keyOf(10)]);
  assert.equal(lookup?.base?.length, 20);
});

test('a list is bounded, whatever memory holds', async () => {
  const { tree } = await world();
  await tree.lookupAll(Array.from({ length: KEYS }, (_, i) => keyOf(i)));
  const list = await hotTables(tree, tree.version, yieldToLoop);
  const blocks = warmTables(tree.version, list).reduce((sum, one) => sum + one.blocks.length, 0);
  assert.ok(blocks > 100 && blocks <= 4096, `${blocks}`);
  assert.ok(JSON.stringify(list).length < 3 * blocks);
});
