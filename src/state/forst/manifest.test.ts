import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableMetaJson } from '../../lsm/table-meta.ts';
import { INLINE_THRESHOLD_BYTES } from '../checkpoint-storage.ts';
import { decodeManifest, encodeManifest, type Manifest } from './manifest.ts';

const tableOf = (i: number): TableMetaJson => ({
  id: `a-${i}`,
  object: `job/shared/attempt-${i}`,
  offset: 0,
  length: 67_000_000 + ((i * 7919) % 100_000),
  smallest: Buffer.from(`key-${i}`).toString('base64'),
  largest: Buffer.from(`key-${i + 1}`).toString('base64'),
  entries: 780_000 + ((i * 104_729) % 10_000),
  ...{ deletes: 0, rangeDeletes: 0, merges: 0, minEpoch: 1, maxEpoch: i, maxExpiryMs: null },
  ...{ metaOffset: 66_000_000 + ((i * 31) % 100_000), clipped: false },
});

const manifestOf = (tables: number): Manifest => ({
  keySchema: 'string',
  maxParallelism: 32_768,
  states: [],
  data: [{ level: 1, tables: Array.from({ length: tables }, (_, i) => tableOf(i)) }],
  timers: [],
});

test('a manifest is what it was, short enough to be compressed or not', () => {
  for (const tables of [0, 1, 200, 2000]) {
    const manifest = manifestOf(tables);
    assert.deepEqual(decodeManifest(encodeManifest(manifest)), { version: 2, ...manifest });
  }
});

test('the manifest of ten gigabytes is part of the checkpoint record', () => {
  assert.ok(encodeManifest(manifestOf(160)).length < INLINE_THRESHOLD_BYTES);
});

test('a manifest that was written before there was compression is read', () => {
  const old = Buffer.from(JSON.stringify({ ...manifestOf(3), version: 1 }));
  assert.equal(decodeManifest(old).data[0]!.tables.length, 3);
});

test('what cannot be read is named', () => {
  const bytes = encodeManifest(manifestOf(3));
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [bytes.subarray(0, 40), 'FORST_MANIFEST_CORRUPT'],
    [Buffer.from('{'), 'FORST_MANIFEST_CORRUPT'],
    [Buffer.from('{"version":3}'), 'FORST_MANIFEST_VERSION'],
  ];
  for (const [broken, code] of cases) assert.throws(() => decodeManifest(broken), { code });
});
