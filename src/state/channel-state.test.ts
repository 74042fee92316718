import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { batchCodec } from '../types/batch-codec.ts';
import { BATCH_SIZE_MAX } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import { decodeChannels, encodeChannels, readItem, writeItem } from './channel-state.ts';
import { ChannelStateFiles, rangeOf } from './channel-state-files.ts';
import { StoreSnapshotReader } from './checkpoint-storage.ts';

const CODEC = batchCodec(t.int32());

describe('in-flight data as bytes', () => {
  test('items come back in order; a batch that is too large for one item is several', () => {
    const values = Array.from({ length: BATCH_SIZE_MAX + 5 }, (_, i) => i);
    const timestamps = Float64Array.from(values);
    const writer = new ByteWriter();
    writeItem({ kind: 'watermark', watermark: -3.5 }, CODEC, writer);
    writeItem({ kind: 'batch', batch: { values, timestamps } }, CODEC, writer, 3);
    writeItem({ kind: 'status', idle: true }, CODEC, writer);
    const reader = new ByteReader(writer.take());
    const items = [];
    while (reader.remaining > 0) items.push(readItem(reader, CODEC));
    assert.deepEqual(items.at(0), { kind: 'watermark', watermark: -3.5 });
    assert.deepEqual(items.at(-1), { kind: 'status', idle: true });
    const batches = items.flatMap((item) => (item.kind === 'batch' ? [item.batch] : []));
    assert.equal(batches.length, 2);
    assert.deepEqual(
      batches.flatMap((batch) => [...batch.values]),
      values.slice(3),
    );
    assert.deepEqual(
      batches.flatMap((batch) => [...batch.timestamps!]),
      values.slice(3),
    );
  });

  test('version 1 is what it was', () => {
    const channel = {
      edgeId: 'a:b:1:0',
      source: 2,
      schema: 7,
      time: { watermark: 5, idle: true },
      items: Uint8Array.of(1, 1),
    };
    const bytes = encodeChannels([channel]);
    assert.equal(
      Buffer.from(bytes).toString('hex'),
      '0107613a623a313a300207000000000000000000144001020101',
    );
    assert.deepEqual(decodeChannels(bytes), [channel]);
  });

  test('of another version, or with an unknown item, is refused', () => {
    assert.throws(() => decodeChannels(Uint8Array.of(2)), {
      kind: 'data',
      code: 'CHANNEL_STATE_CORRUPT',
    });
    const unknown = new ByteReader(Uint8Array.of(9));
    assert.throws(() => readItem(unknown, CODEC), { kind: 'data', code: 'CHANNEL_STATE_CORRUPT' });
  });
});

describe('files of in-flight data', () => {
  /** Timers that run when they are told to. */
  function filesOf(store: Pick<ObjectStore, 'put'>) {
    const due = new Set<() => void>();
    const timers = {
      after: (_ms: number, callback: () => void) => {
        due.add(callback);
        return { cancel: () => void due.delete(callback) };
      },
    };
    const files = new ChannelStateFiles({
      store,
      timers,
      jobId: 'job',
      incarnation: 'worker',
      inlineBytesMax: 4,
      subtasksPerFileMax: 3,
    });
    const pass = (): void => {
      for (const callback of due) if (due.delete(callback)) callback();
    };
    return { files, pass };
  }

  test('subtasks of one checkpoint share an object, up to the limit', async () => {
    const store = new MemoryStore();
    const { files, pass } = filesOf(store);
    const bytes = [5, 6, 7, 8].map((length) => new Uint8Array(length).fill(length));
    const writing = bytes.map((one, i) => files.write(1, `attempt${i}`, one));
    const other = files.write(2, 'attempt9', bytes[0]!);
    const small = await files.write(1, 'attempt9', Uint8Array.of(1));
    assert.equal(small.kind, 'inline');
    pass();
    const handles = await Promise.all([...writing, other]);
    const keys = handles.map((handle) => (handle.kind === 'object' ? handle.key : ''));
    assert.deepEqual(keys, [
      ...Array.from({ length: 3 }, () => 'job/chk-1/attempt0-channels-worker-0'),
      'job/chk-1/attempt3-channels-worker-1',
      'job/chk-2/attempt9-channels-worker-2',
    ]);
    const reader = new StoreSnapshotReader(store);
    for (const [i, one] of bytes.entries())
      assert.deepEqual([...(await reader.read(handles[i]!))], [...one]);
    const part = { offset: 2, length: 3, crc32: crc32(Uint8Array.of(7, 7, 7)) };
    assert.deepEqual([...(await reader.read(rangeOf(handles[2]!, part)))], [7, 7, 7]);
  });

  test('a put that fails fails all that share it', async () => {
    const { files, pass } = filesOf({ put: () => Promise.reject(new RangeError('full')) });
    const writing = [1, 2].map((i) => files.write(1, `attempt${i}`, new Uint8Array(9)));
    const settled = Promise.allSettled(writing);
    pass();
    assert.deepEqual(
      (await settled).map(({ status }) => status),
      ['rejected', 'rejected'],
    );
  });
});
