import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../base/errors.ts';
import { batchCodec } from '../types/batch-codec.ts';
import { t } from '../types/t.ts';
import {
  decodeWaiting,
  encodeWaiting,
  type InputCodecs,
  type SavedItem,
} from './waiting-records.ts';

const text = batchCodec<unknown>(t.string() as never); // an erased codec of texts
const number = batchCodec<unknown>(t.int32() as never); // of integers
const codecOf: InputCodecs = (input) => (input === 1 ? text : number);

const ITEMS: readonly SavedItem[] = [
  {
    kind: 'batch',
    input: 1,
    batch: { values: ['a', 'b', 'c'], timestamps: Float64Array.of(1, 2, 3) },
    keyGroups: [0, 7, 15],
  },
  { kind: 'watermark', watermark: 12 },
  { kind: 'batch', input: 2, batch: { values: [5], timestamps: null }, keyGroups: [8] },
];

describe('waiting records', () => {
  test('come back as they were, with watermarks in their places', () => {
    const bytes = encodeWaiting(ITEMS, codecOf);
    assert.deepEqual(decodeWaiting(bytes, codecOf, { start: 0, end: 15 }), ITEMS);
  });

  test('are cut to the key groups of who restores them', () => {
    const bytes = encodeWaiting(ITEMS, codecOf);
    assert.deepEqual(decodeWaiting(bytes, codecOf, { start: 5, end: 7 }), [
      {
        kind: 'batch',
        input: 1,
        batch: { values: ['b'], timestamps: Float64Array.of(2) },
        keyGroups: [7],
      },
      { kind: 'watermark', watermark: 12 },
    ]);
  });

  test('of another version or cut off are refused', () => {
    const bytes = encodeWaiting(ITEMS, codecOf);
    const refused = (error: unknown): boolean => isMillraceError(error) && error.kind === 'data';
    const other = bytes.slice();
    other[0] = 2;
    const range = { start: 0, end: 15 };
    assert.throws(() => decodeWaiting(other, codecOf, range), refused);
    for (let length = 0; length < bytes.length; length++) {
      try {
        decodeWaiting(bytes.subarray(0, length), codecOf, range);
      } catch (error) {
        assert.ok(refused(error), String(error));
      }
    }
  });
});
