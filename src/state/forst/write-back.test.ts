import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CellOwner, ForstCell } from './forst-cell.ts';
import { WriteBack } from './write-back.ts';

test('who watches is told of the keys that left while dirty, and of no others', () => {
  const writeBack = new WriteBack(() => 0);
  const owner: CellOwner = {
    writeCell: () => {},
    forgetCell: (cell) => writeBack.release(cell),
  };
  const leave = (keyId: string, dirty: boolean): void => {
    const address = {
      key: keyId,
      keyId,
      keyGroup: 0,
      namespace: undefined,
      namespaceId: undefined,
    };
    const cell = new ForstCell(owner, address, 'value');
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
