import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SinkWriterContext } from '../../src/connector/sink.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import { t } from '../../src/types/t.ts';
import { fileSink, jsonLines, textLines } from './index.ts';

describe('JSON lines', () => {
  test('are checked against the schema, by path', () => {
    const format = jsonLines(t.struct({ id: t.int64(), tags: t.array(t.string()) }));
    assert.deepEqual(format.decode('{"id": 1, "tags": ["a"], "more": true}'), {
      ok: true,
      value: { id: 1, tags: ['a'] },
    });
    assert.deepEqual(format.decode('{"id": 1, "tags": [2]}'), {
      ok: false,
      reason: 'tags[0]: expected string, got number',
    });
    assert.equal(format.decode('{').ok, false);
  });

  test('a Standard Schema validates too', () => {
    const standard = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) =>
          typeof value === 'number'
            ? { value }
            : { issues: [{ message: 'no number', path: ['x'] }] },
      },
    };
    const format = jsonLines<number>(standard);
    assert.deepEqual(format.decode('5'), { ok: true, value: 5 });
    assert.deepEqual(format.decode('"5"'), { ok: false, reason: 'x: no number' });
  });
});

describe('the file sink', () => {
  const context = (attemptId: string): SinkWriterContext =>
    ({ subtaskIndex: 0, attemptId }) as SinkWriterContext; // the sink uses no more of it
  const contents = async (store: MemoryStore): Promise<Readonly<Record<string, string>>> => {
    const found: Record<string, string> = {};
    for await (const { key } of store.list(''))
      found[key] = Buffer.from(await store.get(key)).toString();
    return found;
  };

  test('shows nothing before the commit, and committing twice changes nothing', async () => {
    const store = new MemoryStore();
    const sink = fileSink({ store, format: textLines() });
    const writer = await sink.createWriter(context('a1'));
    const committer = await sink.createCommitter!(context('a1'));
    await writer.write({ values: ['one', 'two'], timestamps: null });
    await writer.flush(false);
    const committables = await writer.prepareCommit!(7);
    assert.deepEqual(Object.keys(await contents(store)), ['.staging/a1/0']);
    await committer.commit(committables);
    await committer.commit(committables);
    assert.deepEqual(await contents(store), { 'part-0-7-0-a1': 'one\ntwo\n' });
  });

  test('a staged part that has vanished is an error, not a loss', async () => {
    const store = new MemoryStore();
    const committer = await fileSink({ store, format: textLines() }).createCommitter!(
      context('a1'),
    );
    await assert.rejects(committer.commit([{ staged: '.staging/a1/0', name: 'part-0-1-0-a1' }]), {
      code: 'STAGED_PART_MISSING',
    });
  });
});
