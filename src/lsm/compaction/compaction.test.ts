import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { copyOf } from '../../base/bytes.ts';
import type { MessageLink } from '../../base/world.ts';
import { MemoryStore } from '../../storage/memory-store.ts';
import { SeededRandom } from '../../testing/seeded-random.ts';
import type { Lookup } from '../lookup.ts';
import { LsmTree } from '../lsm-tree.ts';
import { CachingBlockSource } from '../cache/caching-block-source.ts';
import { type TableMeta, tableMetaFromJson } from '../table-meta.ts';
import { TABLE_DEFAULTS } from '../table-writer.ts';
import { applyEdit, type TreeVersion } from '../tree-version.ts';
import { checkResult, checkTask, type CompactionTask, taskOf } from './compaction-task.ts';
import { LinkedCompaction, serveCompaction } from './linked-compaction.ts';
import { type BoardWorld, Compactor, RemoteCompaction } from './job-board.ts';
import {
  COMPACTION_DEFAULTS,
  type CompactionJob,
  pickCompaction,
  stallOf,
} from './pick-compaction.ts';

const KEY = (n: number): Uint8Array => Uint8Array.of(n >>> 8, n);

describe('picking compactions', () => {
  const OPTIONS = { ...COMPACTION_DEFAULTS, level1Bytes: 10_000, levelFactor: 4, fileBytes: 2000 };
  let ids = 0;

  const meta = (from: number, to: number, length: number, maxExpiryMs = Infinity): TableMeta => ({
    id: `t${ids++}`,
    object: 'o',
    offset: 0,
    length,
    smallest: KEY(from),
    largest: KEY(to),
    entries: 1,
    deletes: 0,
    rangeDeletes: 0,
    merges: 0,
    minEpoch: 1,
    maxEpoch: 1,
    maxExpiryMs,
    metaOffset: 0,
    clipped: false,
  });

  /** What a merge would leave, by sizes and bounds alone. */
  function outputs({ inputs }: CompactionJob): readonly TableMeta[] {
    const tables = inputs.flatMap((run) => run.tables);
    const bytes = tables.reduce((sum, { length }) => sum + length, 0);
    const number = ({ smallest }: TableMeta): number => (smallest[0]! << 8) | smallest[1]!;
    const low = Math.min(...tables.map(number));
    const high = Math.max(...tables.map(({ largest }) => (largest[0]! << 8) | largest[1]!));
    const files = Math.max(1, Math.min(high - low + 1, Math.ceil(bytes / OPTIONS.fileBytes)));
    const step = (high - low + 1) / files;
    return Array.from({ length: files }, (_, i) =>
      meta(low + Math.floor(i * step), low + Math.floor((i + 1) * step) - 1, bytes / files),
    );
  }

  test('keeps runs and levels within their limits, and ends', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new SeededRandom(seed);
      let version: TreeVersion = { runs: [] };
      for (let flush = 0; flush < 60; flush++) {
        const from = Math.floor(random.next() * 60_000);
        const to = Math.min(65_535, from + Math.floor(random.next() * 65_535));
        const added = [meta(from, to, 500 + Math.floor(random.next() * 1000))];
        version = applyEdit(version, { removed: new Set(), added, level: 0 });
        for (let jobs = 0; ; jobs++) {
          assert.ok(jobs < 200, `seed ${seed}: compaction does not end`);
          const job = pickCompaction(version, OPTIONS, 0);
          if (job === undefined) break;
          const tables = job.inputs.flatMap((run) => run.tables);
          const removed = new Set(tables.map(({ id }) => id));
          const next = job.kind === 'move' ? tables : job.kind === 'drop' ? [] : outputs(job);
          version = applyEdit(version, { removed, added: next, level: job.level });
        }
        const level0 = version.runs.filter(({ level }) => level === 0);
        assert.ok(level0.length < OPTIONS.level0RunsMax);
        assert.equal(stallOf(version, OPTIONS), 'none');
        for (const { level, tables } of version.runs) {
          const bytes = tables.reduce((sum, { length }) => sum + length, 0);
          const limit = OPTIONS.level1Bytes * OPTIONS.levelFactor ** (level - 1);
          if (level > 0) assert.ok(bytes <= limit, `seed ${seed}: level ${level} has ${bytes}`);
        }
      }
    }
  });

  test('drops a file whose entries have all expired, unless it hides something older', () => {
    const expired = meta(0, 10, 100, 50);
    const older = meta(5, 6, 100);
    const alone: TreeVersion = { runs: [{ level: 1, tables: [expired] }] };
    assert.equal(pickCompaction(alone, OPTIONS, 49), undefined);
    assert.equal(pickCompaction(alone, OPTIONS, 50)?.kind, 'drop');
    const hiding: TreeVersion = { runs: [...alone.runs, { level: 2, tables: [older] }] };
    assert.equal(pickCompaction(hiding, OPTIONS, 50), undefined);
  });

  test('moves a table that overlaps nothing below by its metadata alone', () => {
    const tables = [meta(0, 10, 6000), meta(20, 30, 6000)];
    const job = pickCompaction({ runs: [{ level: 1, tables }] }, OPTIONS, 0);
    assert.equal(job?.kind, 'move');
    assert.equal(job.level, 2);
  });

  test('leaves tables alone that a running job has', () => {
    const tables = [meta(0, 10, 12_000)];
    const version: TreeVersion = { runs: [{ level: 1, tables }] };
    assert.equal(pickCompaction(version, OPTIONS, 0, new Set([tables[0]!.id])), undefined);
  });
});

/** Time that passes when everything waits for it. */
class WaitingTime implements BoardWorld {
  #now = 0;
  #timers: { atMs: number; run: () => void }[] = [];
  readonly clock = { wallMs: () => this.#now, monotonicMs: () => this.#now };
  readonly timers = {
    after: (delayMs: number, run: () => void) => {
      const timer = { atMs: this.#now + delayMs, run };
      this.#timers.push(timer);
      return {
        cancel: () => {
          this.#timers = this.#timers.filter((other) => other !== timer);
        },
      };
    },
    soon: (run: () => void) => {
      setImmediate(run);
    },
  };

  async until<T>(promise: Promise<T>): Promise<T> {
    const watched = { settled: false };
    promise
      .catch(() => {})
      .finally(() => {
        watched.settled = true;
      })
      .catch(() => {});
    while (!watched.settled) {
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      if (watched.settled) break;
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) continue;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.atMs);
      next.run();
    }
    return promise;
  }
}

const pauseOf = (world: BoardWorld, ms: number): Promise<void> =>
  new Promise((resolve) => world.timers.after(ms, resolve));

const linkOf = (port: MessagePort): MessageLink => ({
  post: (message, transfer = []) => port.postMessage(message, [...transfer]),
  onMessage: (receive) => port.on('message', receive),
  onClose: (closed) => port.on('close', closed),
  close: () => port.close(),
});

describe('remote compaction', () => {
  const prefixLengths = { none: () => 0 };

  async function grown(store: MemoryStore): Promise<{ tree: LsmTree; task: CompactionTask }> {
    let files = 0;
    const tree = new LsmTree({
      store,
      blocks: new CachingBlockSource({ store, memoryBytes: 1 << 20 }),
      files: {
        async write(bytes) {
          const id = `f${files++}`;
          await store.put(id, bytes);
          return { id, object: id, offset: 0 };
        },
      },
      yieldToLoop: () => Promise.resolve(),
    });
    for (let run = 0; run < 4; run++) {
      for (let i = 0; i < 500; i++) {
        const key = KEY((i * 7919 + run) % 2000);
        if ((i + run) % 5 === 0) tree.delete(key);
        else tree.put(key, Buffer.from(`${run}/${i}`));
      }
      tree.seal();
      await tree.flush();
    }
    const job = pickCompaction(tree.version, COMPACTION_DEFAULTS, 0)!;
    const { blockBytes, compression } = TABLE_DEFAULTS;
    const task = taskOf(job, {
      blockBytes,
      compression,
      prefixes: 'none',
      fileBytes: 4000,
      nowMs: 0,
      output: 'out/attempt-x0',
    });
    return { tree, task };
  }

  async function contents(tree: LsmTree): Promise<readonly string[]> {
    const scan = await tree.scanRange(new Uint8Array(0), undefined);
    const all: string[] = [];
    for (;;) {
      const batch = await scan.next(100);
      if (batch.length === 0) return all;
      for (const { key, lookup } of batch)
        all.push(`${Buffer.from(key).toString('hex')}=${textOf(lookup)}`);
    }
  }

  const textOf = (lookup: Lookup): string => Buffer.from(lookup.base!).toString();

  const compactor = (store: MemoryStore, world: WaitingTime, name: string): Compactor =>
    new Compactor({
      store,
      world,
      name,
      prefixLengths,
      yieldToLoop: () => new Promise((resolve) => world.timers.after(100, resolve)),
      failed: (folder, error) => assert.fail(`${folder}: ${String(error)}`),
    });

  test('a thread hands over the bytes of what it wrote, once, and they open as the tables it names', async () => {
    const store = new MemoryStore();
    const { tree, task } = await grown(store);
    const before = await contents(tree);
    const { port1, port2 } = new MessageChannel();
    const yieldToLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    serveCompaction(linkOf(port2), { store, prefixLengths, yieldToLoop });
    const compaction = new LinkedCompaction(linkOf(port1), async () => port1.close());
    const written = new Map<string, Uint8Array>();
    const removed = new Set(tree.version.runs.flatMap((run) => run.tables.map(({ id }) => id)));
    const heat = await tree.heatOf(removed);
    const { tables } = await compaction.run(
      task,
      new AbortController().signal,
      async (meta, bytes) => {
        assert.ok(!written.has(meta.id));
        written.set(meta.id, copyOf(bytes));
        assert.equal(await tree.prepare(meta, bytes, heat), false);
        return false;
      },
    );
    assert.deepEqual(
      tables.map(({ id }) => id),
      [...written.keys()],
    );
    for (const { id, object } of tables)
      assert.deepEqual(Buffer.from(await store.get(object)), Buffer.from(written.get(id)!));
    tree.adopt({ removed, added: tables.map(tableMetaFromJson), level: task.level });
    assert.deepEqual(await contents(tree), before);
    await compaction.close();
  });

  test('what compactors make reads as before, also when they are killed at any moment', async () => {
    for (let seed = 1; seed <= 15; seed++) {
      const random = new SeededRandom(seed);
      const store = new MemoryStore();
      const world = new WaitingTime();
      const { tree, task } = await grown(store);
      const before = await contents(tree);
      const owner = new RemoteCompaction({ store, world, name: 'owner', timeoutMs: 600_000 });
      const running = owner.run(task, new AbortController().signal);
      const lives = Array.from({ length: 3 }, () => new AbortController());
      // The first two die; what they wrote stays.
      for (const [i, life] of lives.entries()) {
        void compactor(store, world, `c${i}`).serve(life.signal);
        if (i < 2) world.timers.after(random.next() * 3000, () => life.abort());
      }
      const { tables } = await world.until(running);
      for (const life of lives) life.abort();
      const added = tables.map(tableMetaFromJson);
      assert.ok(added.every(({ object }) => object.startsWith('out/attempt-x0.c')));
      const removed = new Set(tree.version.runs.flatMap((run) => run.tables.map(({ id }) => id)));
      tree.adopt({ removed, added, level: task.level });
      assert.deepEqual(await contents(tree), before);
      const left: string[] = [];
      for await (const { key } of store.list('compaction/')) left.push(key);
      assert.deepEqual(
        left.filter((key) => key.endsWith('/task')),
        [],
      );
    }
  });

  test('what owners that died have left is deleted: results, rests, and tasks that cannot be done', async () => {
    const store = new MemoryStore();
    const world = new WaitingTime();
    const { task } = await grown(store);
    const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
    await store.put('compaction/dead-0/task', json(task));
    await store.put('compaction/rest-0/beat-1', json(3));
    await store.put('compaction/bad-0/task', json({ version: 99 }));
    const life = new AbortController();
    const failures: string[] = [];
    const done: string[] = [];
    void new Compactor({
      ...{ store, world, prefixLengths },
      name: 'c',
      yieldToLoop: () => new Promise((resolve) => world.timers.after(100, resolve)),
      done: (folder) => done.push(folder),
      failed: (folder) => failures.push(folder),
    }).serve(life.signal);
    const left = async (): Promise<readonly string[]> => {
      const keys: string[] = [];
      for await (const { key } of store.list('compaction/')) keys.push(key);
      return keys;
    };
    await world.until(pauseOf(world, 30_000));
    assert.deepEqual(done, ['compaction/dead-0']);
    assert.ok((await left()).includes('compaction/dead-0/result'));
    await world.until(pauseOf(world, 200_000));
    life.abort();
    assert.deepEqual(await left(), []);
    assert.deepEqual(
      failures,
      Array.from({ length: 8 }, () => 'compaction/bad-0'),
    );
  });

  test('a task that nobody does is withdrawn', async () => {
    const store = new MemoryStore();
    const world = new WaitingTime();
    const { task } = await grown(store);
    const owner = new RemoteCompaction({ store, world, name: 'owner', timeoutMs: 5000 });
    await assert.rejects(world.until(owner.run(task, new AbortController().signal)), {
      kind: 'unavailable',
      code: 'COMPACTION_NOT_DONE',
    });
  });

  test('a result with foreign files or tables out of order is not adopted', async () => {
    const { task } = await grown(new MemoryStore());
    const { tables } = task.inputs[0]!;
    const broken = { code: 'COMPACTION_RESULT_BROKEN', message: /out\/attempt-x0/ };
    assert.throws(() => checkResult({ tables }, task), broken);
    assert.throws(() => checkResult({ nothing: true }, task), broken);
    assert.throws(() => checkResult(null, task), broken);
    const own = tables.map((table) => ({ ...table, object: `${task.output}-0` }));
    assert.throws(() => checkResult({ tables: [...own, ...own] }, task), broken);
    assert.deepEqual(checkResult({ tables: own }, task), { tables: own });
  });

  test('a task of another release is refused by name', () => {
    assert.throws(() => checkTask({ version: 99 }, 'compaction/x/task'), {
      code: 'COMPACTION_TASK_VERSION',
      message: /compaction\/x\/task/,
    });
  });
});
