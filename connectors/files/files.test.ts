import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { JsonValue } from '../../src/base/json.ts';
import type { LineFormat } from '../../src/connector/format.ts';
import type {
  EnumeratorContext,
  MalformedRecord,
  Source,
  SourceReaderContext,
  SplitState,
} from '../../src/connector/source.ts';
import type { SinkWriterContext } from '../../src/connector/sink.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import { SimBucket } from '../../src/testing/sim-store.ts';
import { t } from '../../src/types/t.ts';
import { csv } from './csv.ts';
import { fileSink } from './file-sink.ts';
import { fileSource } from './file-source.ts';
import { FileSplitReader, type Position } from './file-split-reader.ts';
import { jsonLines } from '../../src/connector/json-lines.ts';
import { LineSplitter } from './line-splitter.ts';
import { textLines } from './text-lines.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const world = new Simulation({ seed: 1 }).startProcess('reader');

function contextOf(malformed: MalformedRecord[] = []): SourceReaderContext {
  return {
    subtaskIndex: 0,
    parallelism: 1,
    clock: world.clock,
    timers: world.timers,
    logger: world.logger,
    onMalformed: (record) => malformed.push(record),
  };
}

interface Reading<T> {
  readonly content: Uint8Array;
  readonly format: LineFormat<T>;
  readonly start?: Position;
  readonly chunkBytes?: number;
  readonly lineBytesMax?: number;
  readonly malformed?: MalformedRecord[];
  /** Records per poll. */
  readonly max?: number;
}

/** Reads to the end; the records, and the position after each batch. */
async function read<T>(
  reading: Reading<T>,
): Promise<{ values: T[]; positions: { position: Position; after: number }[] }> {
  const store = new MemoryStore();
  await store.put('f', reading.content);
  const reader = await FileSplitReader.open(
    {
      store,
      file: { key: 'f', size: reading.content.length },
      format: reading.format,
      lineBytesMax: reading.lineBytesMax ?? 1000,
      chunkBytes: reading.chunkBytes ?? 7,
      context: contextOf(reading.malformed),
      limiter: undefined,
    },
    reading.start,
  );
  const values: T[] = [];
  const positions: { position: Position; after: number }[] = [];
  for (;;) {
    const batch = await reader.poll(reading.max ?? 3);
    if (batch === null) return { values, positions };
    values.push(...batch.values);
    positions.push({ position: reader.position() as unknown as Position, after: values.length }); // a reader's own
  }
}

const lineText = fc
  .string({ unit: fc.constantFrom('a', 'é', '漢', '🎈', ' ', '"', ',', '\t'), maxLength: 12 })
  .filter((text) => !text.startsWith('\uFEFF'));

describe('lines', () => {
  test('come whole out of chunks of any size, with the offset after each', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(lineText, fc.constantFrom('\n', '\r\n')), { maxLength: 20 }),
        lineText,
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 10 }),
        (lines, last, sizes) => {
          const content = bytes(lines.map(([text, end]) => text + end).join('') + last);
          const splitter = new LineSplitter(0, 100);
          const got = [];
          for (let at = 0, i = 0; at < content.length; i++) {
            const size = sizes[i % sizes.length]!;
            got.push(...splitter.push(content.subarray(at, at + size)));
            at += size;
          }
          const end = splitter.end();
          if (end !== undefined) got.push(end);
          const expected = [...lines.map(([text]) => text), ...(last === '' ? [] : [last])];
          assert.deepEqual(
            got.map(({ text }) => text),
            expected,
          );
          let offset = 0;
          for (const [i, { nextOffset }] of got.entries()) {
            const [text, ending] = lines[i] ?? [last, ''];
            offset += bytes(text + ending).length;
            assert.equal(nextOffset, offset);
          }
        },
      ),
    );
  });

  test('that are too long are cut, named, and the next one is read', async () => {
    for (const chunkBytes of [1, 3, 10, 100]) {
      const malformed: MalformedRecord[] = [];
      const { values } = await read({
        content: bytes('ok\nxxxxxxxxxxxxxxxxxxxxx\nexactly10!\r\nfine\n'),
        format: textLines(),
        lineBytesMax: 10,
        chunkBytes,
        malformed,
      });
      assert.deepEqual(values, ['ok', 'exactly10!', 'fine']);
      assert.equal(malformed.length, 1);
      assert.deepEqual(malformed[0]!.position, { file: 'f', line: 2, offset: 3 });
      assert.equal(malformed[0]!.raw, 'xxxxxxxxxx');
    }
  });

  test('of bytes that are no UTF-8 are malformed, and a real replacement character is not', async () => {
    const malformed: MalformedRecord[] = [];
    const content = Buffer.concat([bytes('a\n'), Uint8Array.of(0xff, 0x0a), bytes('\uFFFD\n')]);
    const { values } = await read({ content, format: textLines(), malformed });
    assert.deepEqual(values, ['a', '\uFFFD']);
    assert.match(malformed[0]!.reason, /UTF-8/);
  });

  test('lose a byte order mark at the beginning of the file only', async () => {
    const { values } = await read({ content: bytes('\uFEFFa\n\uFEFFb\n'), format: textLines() });
    assert.deepEqual(values, ['a', '\uFEFFb']);
  });
});

describe('positions', () => {
  test('reading on from any of them yields exactly the remaining lines', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(lineText, fc.constantFrom('\n', '\r\n')), { maxLength: 15 }),
        lineText,
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        async (lines, last, chunkBytes, max) => {
          const content = bytes(lines.map(([text, end]) => text + end).join('') + last);
          const whole = await read({ content, format: textLines(), chunkBytes, max });
          const expected = [...lines.map(([text]) => text), last].filter((text) => text !== '');
          assert.deepEqual(whole.values, expected);
          for (const { position, after } of whole.positions) {
            const rest = await read({ content, format: textLines(), start: position, chunkBytes });
            assert.deepEqual(rest.values, expected.slice(after));
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('hold for CSV with headers and records of several lines', async () => {
    const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '漢', ' '), maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ a: cell, b: cell }, { noNullPrototype: true }), { maxLength: 10 }),
        fc.integer({ min: 1, max: 30 }),
        async (rows, chunkBytes) => {
          const format = csv<{ a: string; b: string }>({
            schema: t.struct({ a: t.string(), b: t.string() }),
          });
          const lines = [format.encodeHeader!(), ...rows.map((row) => format.encode(row))];
          const content = bytes(`${lines.join('\n')}\n`);
          const whole = await read({ content, format, chunkBytes });
          assert.deepEqual(whole.values, rows);
          for (const { position, after } of whole.positions) {
            const rest = await read({ content, format, start: position, chunkBytes });
            assert.deepEqual(rest.values, rows.slice(after));
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('CSV', () => {
  const ORDER = t.struct({ id: t.int32(), note: t.optional(t.string()), paid: t.boolean() });

  test('takes columns by name in any order and converts them', async () => {
    const content = bytes('paid,extra,id,note\ntrue,x,7,"a, ""b"""\nfalse,,8,\n');
    const { values } = await read({ content, format: csv({ schema: ORDER }) });
    assert.deepEqual(values, [
      { id: 7, note: 'a, "b"', paid: true },
      { id: 8, note: undefined, paid: false },
    ]);
  });

  test('names what is wrong with a record, with its file and line', async () => {
    const malformed: MalformedRecord[] = [];
    const content = bytes('id,paid\nx,true\n1\n2,true\n"3,true\n');
    const { values } = await read({ content, format: csv({ schema: ORDER }), malformed });
    assert.deepEqual(
      values.map(({ id }) => id),
      [2],
    );
    assert.deepEqual(
      malformed.map(({ position, reason }) => [(position as { line: number }).line, reason]),
      [
        [2, 'id: expected int32, got string'],
        [3, '1 fields where 2 are expected'],
        [5, 'a quoted field does not end'],
      ],
    );
  });

  test('refuses a header without a column that is needed', async () => {
    const reading = { content: bytes('id\n1\n'), format: csv({ schema: ORDER }) };
    await assert.rejects(read(reading), { code: 'BAD_CSV_HEADER', message: /paid/ });
  });

  test('without header or schema yields lists', async () => {
    const { values } = await read({
      content: bytes('1;2\n3;4'),
      format: csv({ header: false, separator: ';' }),
    });
    assert.deepEqual(values, [
      ['1', '2'],
      ['3', '4'],
    ]);
  });
});

describe('JSON lines', () => {
  test('keep __proto__ as data and say what does not fit', async () => {
    const malformed: MalformedRecord[] = [];
    const schema = t.struct({ n: t.int32() });
    const content = bytes('{"n":1,"__proto__":{"x":1}}\n{"n":"1"}\n{\n');
    const { values } = await read({ content, format: jsonLines(schema), malformed });
    assert.deepEqual(values, [{ n: 1 }]);
    assert.equal(malformed.length, 2);
    assert.equal(Object.hasOwn(Object.prototype, 'x'), false);
  });

  test('write maps and bigints, and refuse what JSON cannot hold', () => {
    const format = jsonLines(t.struct({ m: t.map(t.string(), t.int32()), b: t.bigint() }));
    assert.equal(format.encode({ m: new Map([['a', 1]]), b: 5n }), '{"m":{"a":1},"b":5}');
    assert.throws(() => format.encode({ m: new Map(), b: 2n ** 60n }), { code: 'VALUE_NOT_JSON' });
  });
});

interface Assigned {
  readonly context: EnumeratorContext;
  readonly splits: SplitState[][];
  ended: boolean;
  failure: Error | undefined;
}

function enumeratorContext(sim: Simulation, parallelism: number): Assigned {
  const { clock, timers, logger } = sim.startProcess('enumerator');
  const assigned: Assigned = {
    splits: Array.from({ length: parallelism }, () => []),
    ended: false,
    failure: undefined,
    context: {
      parallelism,
      clock,
      timers,
      logger,
      assign: (subtask, splits) => void assigned.splits[subtask]!.push(...splits),
      noMoreSplits: () => (assigned.ended = true),
      fail: (error) => (assigned.failure = error),
    },
  };
  return assigned;
}

describe('discovery', () => {
  test('deals files out by size, once; hidden ones are passed over', async () => {
    const store = new MemoryStore();
    for (const [key, size] of Object.entries({ a: 10, b: 9, c: 2, 'd/e': 1, '.staging/x/0': 50 }))
      await store.put(key, new Uint8Array(size));
    const source = fileSource({ store, format: textLines() });
    const assigned = enumeratorContext(new Simulation({ seed: 1 }), 2);
    const enumerator = source.createEnumerator(assigned.context, undefined);
    assert.deepEqual(enumerator.snapshot(), { discovered: false, seen: [] });
    await enumerator.start();
    assert.deepEqual(
      assigned.splits.map((splits) => splits.map(({ split }) => split.id)),
      [
        ['a', 'd/e'],
        ['b', 'c'],
      ],
    );
    assert.equal(assigned.ended, true);
    const again = enumeratorContext(new Simulation({ seed: 1 }), 2);
    await source.createEnumerator(again.context, enumerator.snapshot()).start();
    assert.deepEqual(again.splits, [[], []]);
    assert.equal(again.ended, true);
  });

  test('finds what comes later, each file once, also after a restart', async () => {
    const sim = new Simulation({ seed: 2 });
    const bucket = new SimBucket(sim.scheduler);
    const store = bucket.of(sim.startProcess('user').node);
    const source = fileSource({ store, format: textLines(), discoveryInterval: 1000 });
    bucket.replace('a', bytes('1\n'));
    const first = enumeratorContext(sim, 1);
    const enumerator = source.createEnumerator(first.context, undefined);
    await sim.settle(enumerator.start());
    bucket.replace('b', bytes('2\n'));
    await sim.run({ maxVirtualMs: 5000 });
    const ids = (assigned: Assigned): string[] =>
      assigned.splits.flat().map(({ split }) => split.id);
    assert.deepEqual(ids(first), ['a', 'b']);
    assert.equal(first.ended, false);
    await enumerator.close();
    bucket.replace('c', bytes('3\n'));
    const second = enumeratorContext(sim, 1);
    const restored = source.createEnumerator(second.context, enumerator.snapshot());
    await sim.settle(restored.start());
    assert.deepEqual(ids(second), ['c']);
    await restored.close();
  });

  test('an empty folder and a missing file are named', async () => {
    const start = (source: Source<string>): Promise<void> =>
      source
        .createEnumerator(enumeratorContext(new Simulation({ seed: 1 }), 1).context, undefined)
        .start();
    const store = new MemoryStore();
    const format = textLines();
    await assert.rejects(start(fileSource({ store, format })), { code: 'NO_INPUT_FILES' });
    await assert.rejects(start(fileSource({ store, format, files: ['x.csv'] })), {
      code: 'INPUT_FILE_MISSING',
      message: /x\.csv/,
    });
    assert.throws(() => fileSource({ format }), { code: 'BAD_FILE_SOURCE' });
  });

  test('the rate limit is kept on the virtual clock, and a waiting poll ends when the split closes', async () => {
    const sim = new Simulation({ seed: 3 });
    const bucket = new SimBucket(sim.scheduler);
    const user = sim.startProcess('user');
    bucket.replace('f', bytes('x\n'.repeat(1000)));
    const source = fileSource({ store: bucket.of(user.node), format: textLines(), rateLimit: 100 });
    const reader = source.createReader({ ...contextOf(), clock: user.clock, timers: user.timers });
    const split = await sim.settle(
      reader.openSplit({ split: { id: 'f', data: { key: 'f', size: 2000 } }, position: undefined }),
    );
    let records = 0;
    const startedMs = sim.nowMs;
    while (records < 300)
      records += (await sim.settle(Promise.resolve(split.poll(1024))))!.values.length;
    const seconds = (sim.nowMs - startedMs) / 1000;
    assert.ok(seconds > 2.8 && seconds < 3.2, String(seconds));
    const waiting = Promise.resolve(split.poll(1024));
    await split.close();
    await sim.settle(waiting, { maxVirtualMs: 1 });
  });
});

let attempts = 0;

interface Opened {
  write(...values: readonly { readonly day: string; readonly n: number }[]): Promise<void>;
  /** Up to the acknowledgement of a checkpoint. */
  prepare(checkpointId: number): Promise<readonly JsonValue[]>;
  commit(committables: readonly JsonValue[]): Promise<void>;
}

async function openSink(store: ObjectStore, partBytes?: number): Promise<Opened> {
  const sink = fileSink<{ day: string; n: number }>({
    store,
    format: jsonLines(t.struct({ day: t.string(), n: t.int32() })),
    bucketOf: ({ day }) => (day === '' ? '' : `day=${day}`),
    extension: '.jsonl',
    ...(partBytes === undefined ? {} : { partBytes }),
  });
  const context: SinkWriterContext = {
    jobId: 'job',
    operatorId: 'sink',
    subtaskIndex: 0,
    parallelism: 1,
    attemptId: `attempt${attempts++}`,
    restored: [],
    clock: world.clock,
    timers: world.timers,
    logger: world.logger,
    print: () => {},
  };
  const committer = await sink.createCommitter!(context);
  const writer = await sink.createWriter(context);
  return {
    write: async (...values) => writer.write({ values, timestamps: null }),
    prepare: async (checkpointId) => {
      await writer.flush(false);
      return writer.prepareCommit!(checkpointId);
    },
    commit: (committables) => committer.commit(committables),
  };
}

async function visible(store: ObjectStore): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { key } of store.list(''))
    if (!key.startsWith('.')) files[key] = Buffer.from(await store.get(key)).toString();
  return files;
}

async function staged(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('.staging')) keys.push(key);
  return keys;
}

describe('the file sink', () => {
  test('shows nothing before the checkpoint is complete, then all of it, in its buckets, once', async () => {
    const store = new MemoryStore();
    const sink = await openSink(store);
    await sink.write({ day: '1', n: 1 }, { day: '2', n: 2 }, { day: '1', n: 3 });
    const committables = await sink.prepare(5);
    assert.deepEqual(await visible(store), {});
    await sink.commit(committables);
    await sink.commit(committables);
    const files = await visible(store);
    assert.deepEqual(Object.values(files), [
      '{"day":"1","n":1}\n{"day":"1","n":3}\n',
      '{"day":"2","n":2}\n',
    ]);
    assert.match(Object.keys(files)[0]!, /^day=1\/part-0-5-0-attempt\d+\.jsonl$/);
    assert.deepEqual(await staged(store), []);
  });

  test('rolls parts by size', async () => {
    const store = new MemoryStore();
    const sink = await openSink(store, 40);
    for (let n = 0; n < 10; n++) await sink.write({ day: '', n });
    await sink.commit(await sink.prepare(1));
    const files = await visible(store);
    assert.equal(Object.keys(files).length, 4);
    assert.equal(Object.values(files).join('').split('\n').length, 11);
  });

  test('what a failed attempt staged goes away once a later checkpoint is complete, not before', async () => {
    const store = new MemoryStore();
    const first = await openSink(store);
    await first.write({ day: '', n: 1 });
    const pending = await first.prepare(1);
    await first.write({ day: '', n: 2 });
    await first.prepare(2);
    // Checkpoint 1 is complete, 2 never will be; the next attempt commits 1 when it restores.
    const second = await openSink(store);
    await second.commit(pending);
    assert.equal((await staged(store)).length, 1);
    await second.write({ day: '', n: 3 });
    await second.commit(await second.prepare(3));
    assert.deepEqual(await staged(store), []);
    assert.equal(
      Object.values(await visible(store)).join(''),
      '{"day":"","n":1}\n{"day":"","n":3}\n',
    );
  });

  test('a zombie cannot remove what its successor has staged', async () => {
    const store = new MemoryStore();
    const zombie = await openSink(store);
    await zombie.write({ day: '', n: 1 });
    const late = await zombie.prepare(1);
    const successor = await openSink(store);
    await successor.write({ day: '', n: 2 });
    const committables = await successor.prepare(2);
    await zombie.commit(late);
    await successor.commit(committables);
    assert.equal(Object.keys(await visible(store)).length, 2);
  });

  test('a part that vanished before its commit is an error, loudly', async () => {
    const store = new MemoryStore();
    const sink = await openSink(store);
    await sink.write({ day: '', n: 1 });
    const committables = await sink.prepare(1);
    for (const key of await staged(store)) await store.delete(key);
    await assert.rejects(sink.commit(committables), { kind: 'data', code: 'STAGED_PART_MISSING' });
  });

  test('buckets cannot leave the folder or hide', async () => {
    const sink = await openSink(new MemoryStore());
    await assert.rejects(sink.write({ day: '/../../x', n: 1 }), { kind: 'invalid' });
    assert.throws(() => textLines().encode('a\nb'), { code: 'TEXT_HAS_LINE_BREAK' });
  });
});
