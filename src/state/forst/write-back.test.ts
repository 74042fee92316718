import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import { WriteBack } from './write-back.ts';
import { SeededRandom } from '../../testing/seeded-random.ts';

const cellOf = (owner: CellOwner, keyId: unknown): ForstCell => {
  const address = { key: keyId, keyId, keyGroup: 0, namespace: undefined, namespaceId: undefined };
  return new ForstCell(owner, address, 'value');
};

test('who watches is told of the keys that left while dirty, and of no others', () => {
  const writeBack = new WriteBack(() => 0);
  const owner: CellOwner = {
    writeCell: () => {},
    forgetCell: (cell) => writeBack.release(cell),
  };
  const leave = (keyId: string, dirty: boolean): void => {
    const cell = cellOf(owner, keyId);
    writeBack.admit(cell, 100);
    if (dirty) writeBack.touch(cell);
    writeBack.evict();
    // A second round, if it had a second chance.
    writeBack.evict();
    assert.equal(cell.gone, true);
  };
  leave('before', true);
  const before = writeBack.watch();
  leave('dirty', true);
  leave('clean', false);
  assert.equal(writeBack.evictedSince('dirty', before), true);
  assert.equal(writeBack.evictedSince('clean', before), false);
  assert.equal(writeBack.evictedSince('before', before), false);
  assert.equal(writeBack.evictedSince('other', before), false);
  const later = writeBack.watch();
  assert.equal(writeBack.evictedSince('dirty', later), false);
  writeBack.writeAll();
  assert.equal(writeBack.evictedSince('other', later), true);
  writeBack.unwatch();
  writeBack.unwatch();
});

test('what is kept in mind for those who watch is bounded: beyond it everything counts as evicted', () => {
  const writeBack = new WriteBack(() => 0);
  const owner: CellOwner = {
    writeCell: () => {},
    forgetCell: (cell) => writeBack.release(cell),
  };
  const before = writeBack.watch();
  for (let key = 0; key < 20_000; key++) {
    const address = { key, keyId: key, keyGroup: 0, namespace: undefined, namespaceId: undefined };
    const cell = new ForstCell(owner, address, 'value');
    writeBack.admit(cell, 100);
    writeBack.touch(cell);
    writeBack.evict();
    if (key === 16_000) assert.equal(writeBack.evictedSince('other', before), false);
  }
  for (const key of [0, 16_383, 19_999, 'other'])
    assert.equal(writeBack.evictedSince(key, before), true);
  assert.equal(writeBack.evictedSince('other', writeBack.watch()), false);
});

test('a cell that has left is listed no more, and what is dirty is written once, in its epoch', async () => {
  const random = new SeededRandom(18);
  const writeBack = new WriteBack(() => 100 * 1000);
  const written: { readonly cell: ForstCell; readonly closing: boolean }[] = [];
  const owner: CellOwner = {
    writeCell: (cell, closing) => written.push({ cell, closing }),
    forgetCell: (cell) => writeBack.release(cell),
  };
  const newCell = (keyId: number): ForstCell => {
    const cell = cellOf(owner, keyId);
    writeBack.admit(cell, 100);
    return cell;
  };
  let live: ForstCell[] = [];
  for (let epoch = 0; epoch < 3; epoch++) {
    const dirty = new Set<ForstCell>();
    for (let i = 0; i < 50_000; i++) {
      const old = live[random.int(Math.max(1, live.length))];
      const cell = old === undefined || random.int(4) > 0 ? newCell(i) : old;
      if (cell !== old) live.push(cell);
      writeBack.touch(cell);
      dirty.add(cell);
      if (i % 256 > 0) continue;
      if (i % 512 === 0) writeBack.writeAhead(500);
      writeBack.evict();
      for (const { cell, closing } of written.splice(0)) {
        assert.equal(closing, false);
        assert.ok(dirty.delete(cell));
      }
      live = live.filter(({ gone }) => !gone);
      // What lists a cell keeps it in memory.
      assert.ok(writeBack.listed <= 2 * live.length + 2 * 4096, `${writeBack.listed} are listed`);
    }
    writeBack.beginEpoch();
    await writeBack.endEpoch(async () => {});
    for (const { cell, closing } of written.splice(0)) {
      assert.equal(closing, true);
      assert.ok(dirty.delete(cell));
    }
    assert.equal(dirty.size, 0);
  }
});
