import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../base/errors.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import type { ConditionalPut, ObjectStore } from '../storage/object-store.ts';
import { RetryingStore } from '../storage/retrying-store.ts';
import { CHECKPOINT_RECORD_VERSION, type CheckpointRecord } from './checkpoint-record.ts';
import { CheckpointStore } from './checkpoint-store.ts';
import { decodeHead, encodeHead, headKeyOf } from './job-head.ts';
import { newAttemptId, ownerOf } from './object-owner.ts';
import { forkJob, pinCheckpoint, readHead, releasePin } from './pins.ts';

const JOB = 'job';

/** A checkpoint whose one handle names one exclusive object and these shared ones. */
function recordOf(
  checkpointId: number,
  files: readonly string[],
  overrides: Partial<CheckpointRecord> = {},
): CheckpointRecord {
  const jobId = overrides.jobId ?? JOB;
  const data = {
    kind: 'object',
    key: `${jobId}/chk-${checkpointId}/g1a0-0-data`,
    offset: 0,
    length: 1,
    crc32: 0,
  } as const;
  const refs = files.map((object) => ({ object, offset: 0, length: 1 }));
  const keyed = [{ backend: 'forst', keyGroups: { start: 0, end: 127 }, data, files: refs }];
  return {
    version: CHECKPOINT_RECORD_VERSION,
    jobId,
    jobName: jobId,
    checkpointId,
    generation: 1,
    triggeredAtMs: 0,
    completedAtMs: 0,
    fingerprint: '',
    vertices: [
      { id: 'v', operators: [], subtasks: [{ operators: { o: { keyed } }, sizeBytes: 0 }] },
    ],
    ...overrides,
  };
}

const file = (n: number, jobId = JOB): string => `${jobId}/shared/g1a0-${n}`;

async function write(store: MemoryStore, record: CheckpointRecord): Promise<void> {
  const { keyed } = record.vertices[0]!.subtasks[0]!.operators['o']!;
  for (const { data, files = [] } of keyed) {
    if (data.kind === 'object') await store.put(data.key, Buffer.from('x'));
    for (const { object } of files) await store.put(object, Buffer.from('x'));
  }
}

async function keysOf(store: MemoryStore): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  return keys;
}

/** Lets background work come to its end: everything in memory settles within microtasks. */
async function settled(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
}

class UndeletingStore extends MemoryStore {
  refuses = true;

  override async delete(key: string): Promise<void> {
    if (this.refuses) throw new MillraceError('unavailable', 'STORE_UNAVAILABLE', 'not now');
    await super.delete(key);
  }
}

let coordinators = 0;

const open = (
  store: ObjectStore,
  jobId: string,
  options: Omit<Parameters<typeof CheckpointStore.open>[2], 'ids'>,
): Promise<CheckpointStore> =>
  CheckpointStore.open(store, jobId, {
    ...options,
    ids: { next: () => `coordinator ${coordinators++}` },
  });

describe('checkpoint store', () => {
  test('what no retained checkpoint names is deleted, what one still names stays', async () => {
    const store = new MemoryStore();
    const checkpoints = await open(store, JOB, { retained: 1 });
    for (const record of [recordOf(1, [file(1), file(2)]), recordOf(2, [file(2), file(3)])]) {
      await write(store, record);
      await checkpoints.add(record);
      await settled();
    }
    assert.deepEqual(await keysOf(store), [
      'job/chk-2-g1/_metadata',
      'job/chk-2/g1a0-0-data',
      'job/head',
      file(2),
      file(3),
    ]);
  });

  test('a dropped checkpoint is left alone for the grace period', async () => {
    const store = new MemoryStore();
    let nowMs = 0;
    const clock = { monotonicMs: () => nowMs };
    const checkpoints = await open(store, JOB, {
      retained: 1,
      graceMs: 100,
      clock,
    });
    const add = async (id: number, ...files: readonly number[]): Promise<void> => {
      const record = recordOf(
        id,
        files.map((n) => file(n)),
      );
      await write(store, record);
      await checkpoints.add(record);
      await settled();
    };
    await add(1, 1);
    await add(2, 2);
    nowMs = 99;
    await add(3, 3);
    assert.ok((await keysOf(store)).includes(file(1)));
    nowMs = 100;
    await add(4, 4);
    const keys = await keysOf(store);
    assert.ok(!keys.includes(file(1)), 'its time is over');
    assert.ok(keys.includes(file(2)), 'dropped at 99');
  });

  test('a coordinator that dies after changing the head leaves its garbage to the next', async () => {
    const store = new UndeletingStore();
    const checkpoints = await open(store, JOB, { retained: 1 });
    for (const record of [recordOf(1, [file(1)]), recordOf(2, [file(2)])]) {
      await write(store, record);
      await checkpoints.add(record);
      await settled();
    }
    assert.ok((await keysOf(store)).includes(file(1)));
    store.refuses = false;
    const next = await open(store, JOB, { retained: 1, graceMs: 1e9 });
    next.sweep();
    await settled();
    assert.ok(!(await keysOf(store)).includes(file(1)));
    assert.ok((await keysOf(store)).includes(file(2)));
  });

  test('a sweep takes what dead attempts left behind, and nothing of living or unknown ones', async () => {
    const store = new MemoryStore();
    const first = await open(store, JOB, { retained: 1 });
    await write(store, recordOf(1, [file(1)]));
    await first.add(recordOf(1, [file(1)]));
    const second = await open(store, JOB, { retained: 1 });
    const orphans = [
      'job/shared/g1a0-7',
      'job/chk-9/g1a0-0-x',
      'job/chk-9-g1/_metadata',
      'job/shared/pack-g1a0-i-3',
    ];
    const living = [
      'job/shared/g2a0-1',
      'job/shared/pack-g2a0-i-1',
      'job/chk-9/g2a0-0-x',
      'job/unknown',
      'job/shared/other-1',
      'job2/shared/g1a0-7',
    ];
    for (const key of [...orphans, ...living]) await store.put(key, Buffer.from('x'));
    second.sweep();
    await settled();
    const keys = new Set(await keysOf(store));
    assert.deepEqual(
      orphans.filter((key) => keys.has(key)),
      [],
    );
    assert.deepEqual(
      living.filter((key) => !keys.has(key)),
      [],
    );
    assert.ok(keys.has(file(1)));
  });

  test('an unreadable record keeps everything', async () => {
    const store = new MemoryStore();
    const first = await open(store, JOB, { retained: 2 });
    for (const record of [recordOf(1, [file(1)]), recordOf(2, [file(2)])]) {
      await write(store, record);
      await first.add(record);
    }
    await store.put('job/chk-1-g1/_metadata', Buffer.from('{}'));
    await store.put('job/shared/g1a0-9', Buffer.from('x'));
    const logged: string[] = [];
    const second = await open(store, JOB, {
      retained: 2,
      log: (message) => logged.push(message),
    });
    second.sweep();
    await settled();
    assert.ok((await keysOf(store)).includes('job/shared/g1a0-9'));
    assert.equal(logged.length, 1);
  });

  test('a pinned checkpoint keeps its objects until the pin is released', async () => {
    const store = new MemoryStore();
    const checkpoints = await open(store, JOB, { retained: 1 });
    await write(store, recordOf(1, [file(1)]));
    await checkpoints.add(recordOf(1, [file(1)]));
    const key = 'job/chk-1-g1/_metadata';
    await pinCheckpoint(store, JOB, { id: 'p', checkpointId: 1, key, owner: 'me' });
    const add = async (id: number): Promise<void> => {
      await write(store, recordOf(id, []));
      await checkpoints.add(recordOf(id, []));
      await settled();
    };
    await add(2);
    assert.ok((await keysOf(store)).includes(file(1)));
    await assert.rejects(
      pinCheckpoint(store, JOB, { id: 'q', checkpointId: 1, key, owner: 'me' }),
      { code: 'CHECKPOINT_NOT_RETAINED' },
    );
    await releasePin(store, JOB, 'p');
    await add(3);
    assert.ok(!(await keysOf(store)).includes(file(1)));
    assert.ok(!(await keysOf(store)).includes(key));
  });

  test('a fork names what its origin wrote until its own checkpoints name nothing of it', async () => {
    const store = new MemoryStore();
    const origin = await open(store, JOB, { retained: 1 });
    await write(store, recordOf(1, [file(1)]));
    await origin.add(recordOf(1, [file(1)]));
    await forkJob(store, { jobId: JOB, into: 'fork', pinId: 'p' });
    await assert.rejects(forkJob(store, { jobId: JOB, into: 'fork', pinId: 'r' }), {
      code: 'JOB_EXISTS',
    });
    assert.equal((await readHead(store, JOB)).pins.length, 1);
    const fork = await open(store, 'fork', { retained: 1 });
    assert.equal((await fork.latest())?.jobId, JOB);
    await write(store, recordOf(2, []));
    await origin.add(recordOf(2, []));
    const addToFork = async (id: number, files: readonly string[]): Promise<void> => {
      const record = recordOf(id, files, { jobId: 'fork' });
      await write(store, record);
      await fork.add(record);
      await settled();
      await settled();
    };
    await addToFork(2, [file(1)]);
    assert.ok((await keysOf(store)).includes(file(1)));
    assert.equal((await readHead(store, JOB)).pins.length, 1);
    await addToFork(3, [file(1, 'fork')]);
    assert.equal((await readHead(store, JOB)).pins.length, 0);
    assert.equal((await readHead(store, 'fork')).origins.length, 0);
    assert.ok((await keysOf(store)).includes(file(1)), 'the origin deletes it, not the fork');
    await write(store, recordOf(3, []));
    await origin.add(recordOf(3, []));
    await settled();
    assert.ok(!(await keysOf(store)).includes(file(1)));
  });

  test('a coordinator that was replaced can add nothing', async () => {
    const store = new MemoryStore();
    const old = await open(store, JOB, { retained: 1 });
    await open(store, JOB, { retained: 1 });
    await assert.rejects(old.add(recordOf(1, [])), { kind: 'fenced', code: 'COORDINATOR_FENCED' });
  });

  test('a finished job keeps no garbage', async () => {
    const store = new MemoryStore();
    const checkpoints = await open(store, JOB, { retained: 1, graceMs: 1e9 });
    for (const record of [recordOf(1, [file(1)]), recordOf(2, [file(2)])]) {
      await write(store, record);
      await checkpoints.add(record);
    }
    await checkpoints.finish();
    await checkpoints.close();
    assert.ok(!(await keysOf(store)).includes(file(1)));
    assert.deepEqual((await readHead(store, JOB)).condemned, []);
  });
});

/** Meets the first conditional put with a failure: its effect, and then its answer, are lost or not. */
class RacingStore extends MemoryStore {
  /** Done in place of the put. */
  meanwhile: (() => Promise<unknown>) | undefined;

  override async putIfAbsent(key: string, bytes: Uint8Array): Promise<ConditionalPut> {
    const { meanwhile } = this;
    this.meanwhile = undefined;
    if (meanwhile === undefined) return super.putIfAbsent(key, bytes);
    await meanwhile();
    throw new MillraceError('unavailable', 'STORE_UNAVAILABLE', 'no answer');
  }
}

describe('a job whose head is missing', () => {
  test('does not begin anew while its objects are there', async () => {
    const store = new MemoryStore();
    await store.put(file(1), Buffer.from('x'));
    await assert.rejects(open(store, JOB, { retained: 1 }), {
      kind: 'data',
      code: 'JOB_HEAD_MISSING',
    });
    assert.deepEqual(await keysOf(store), [file(1)]);
  });
});

describe('two coordinators', () => {
  test('never take the same generation, even if one repeats its request after the other', async () => {
    const store = new RacingStore();
    let other: CheckpointStore | undefined;
    store.meanwhile = async () => {
      other = await open(store, JOB, { retained: 1 });
    };
    const world = {
      random: { next: () => 0 },
      timers: {
        after: (_: number, then: () => void) => (then(), { cancel: () => {} }),
        soon: () => {},
      },
    };
    const repeating = await open(new RetryingStore(store, world), JOB, { retained: 1 });
    assert.deepEqual([other!.head.generation, repeating.head.generation], [1, 2]);
    await assert.rejects(other!.add(recordOf(1, [])), { kind: 'fenced' });
  });
});

describe('job head', () => {
  test('heads of earlier versions are read, one of the future is refused', () => {
    const head = { version: 1, jobId: JOB, generation: 3, status: 'running', checkpoints: [] };
    const key = headKeyOf(JOB);
    const read = decodeHead(encodeHead(head as never), key);
    assert.deepEqual([read.generation, read.condemned, read.pins], [3, [], []]);
    const second = { ...head, version: 2, condemned: [], pins: [], origins: [] };
    assert.equal(decodeHead(encodeHead(second as never), key).generation, 3);
    assert.throws(() => decodeHead(encodeHead({ ...read, version: 99 }), key), {
      code: 'JOB_HEAD_VERSION',
    });
  });

  test('names of objects say which generation wrote them', () => {
    const attempt = newAttemptId(12, { next: () => 'abc' });
    assert.deepEqual(ownerOf(JOB, `job/chk-3/${attempt}-0-op`), {
      generation: 12,
      attemptId: attempt,
    });
    assert.deepEqual(ownerOf(JOB, `job/shared/${attempt}-c-5`), {
      generation: 12,
      attemptId: attempt,
    });
    assert.equal(ownerOf(JOB, `job/shared/pack-${attempt}-c-i-5`)?.attemptId, undefined);
    assert.equal(ownerOf(JOB, 'job/head'), undefined);
  });
});
