/**
 * Random interleavings of coordinators, attempts, zombies and forks over one store that refuses requests, loses answers and yields between
 * any two, watched by the obvious reference: after every change of the store, all that heads and pins reach must be there. In the end, when
 * everything has settled, nothing else may be.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../base/errors.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import type { ConditionalPut, ETag } from '../storage/object-store.ts';
import { SeededRandom } from '../testing/seeded-random.ts';
import {
  CHECKPOINT_RECORD_VERSION,
  type CheckpointRecord,
  decodeRecord,
  objectsOf,
} from './checkpoint-record.ts';
import { CheckpointStore } from './checkpoint-store.ts';
import { decodeHead } from './job-head.ts';
import { newAttemptId } from './object-owner.ts';
import { forkJob, releasePin } from './pins.ts';

const SEEDS = 30;
const STEPS = 120;

let coordinators = 0;

/** Looks at everything after each change. */
class WatchedStore extends MemoryStore {
  readonly #random: SeededRandom;
  /** Every object there is. */
  readonly present = new Map<string, Uint8Array>();
  isCalm = false;
  deletes = 0;

  constructor(random: SeededRandom) {
    super();
    this.#random = random;
  }

  override async get(key: string): Promise<Uint8Array> {
    await this.#pause();
    return super.get(key);
  }

  override async put(key: string, bytes: Uint8Array): Promise<ETag> {
    return this.#change(key, bytes, () => super.put(key, bytes));
  }

  override async putIfAbsent(key: string, bytes: Uint8Array): Promise<ConditionalPut> {
    return this.#change(key, bytes, () => super.putIfAbsent(key, bytes));
  }

  override async putIfMatch(key: string, bytes: Uint8Array, etag: ETag): Promise<ConditionalPut> {
    return this.#change(key, bytes, () => super.putIfMatch(key, bytes, etag));
  }

  override async delete(key: string): Promise<void> {
    this.deletes++;
    await this.#change(key, undefined, () => super.delete(key));
  }

  async #change<T>(
    key: string,
    bytes: Uint8Array | undefined,
    effect: () => Promise<T>,
  ): Promise<T> {
    await this.#pause();
    const result = await effect();
    if ((result as { outcome?: unknown } | undefined)?.outcome !== 'conflict') {
      if (bytes === undefined) this.present.delete(key);
      else this.present.set(key, bytes.slice());
      this.check();
    }
    if (!this.isCalm && this.#random.chance(0.03)) throw refused('lost answer');
    return result;
  }

  async #pause(): Promise<void> {
    for (let turns = this.#random.int(4); turns > 0; turns--) await Promise.resolve();
    if (!this.isCalm && this.#random.chance(0.03)) throw refused('refused');
  }

  /** The heads, and all that is reachable from them. @throws when something of it is not there */
  check(): ReadonlySet<string> {
    const reachable = new Set<string>();
    for (const [key, bytes] of this.present) {
      if (!key.endsWith('/head')) continue;
      reachable.add(key);
      const { checkpoints, pins } = decodeHead(bytes, key);
      for (const { key: record } of [...checkpoints, ...pins]) {
        reachable.add(record);
        const stored = this.present.get(record);
        assert.ok(stored !== undefined, `${record} is named by ${key} and is gone`);
        for (const object of objectsOf(decodeRecord(stored, record))) {
          reachable.add(object);
          assert.ok(this.present.has(object), `${object} is named by ${record} and is gone`);
        }
      }
    }
    return reachable;
  }
}

const refused = (why: string): MillraceError =>
  new MillraceError('unavailable', 'STORE_UNAVAILABLE', why);

/** One attempt: files that it has, of its own and inherited. */
class Attempt {
  readonly id: string;
  readonly store: WatchedStore;
  readonly jobId: string;
  files: string[];
  #count = 0;

  constructor(job: Job, generation: number, files: readonly string[]) {
    this.id = newAttemptId(generation, { next: () => `${job.jobId}x${job.attempts++}` });
    this.store = job.store;
    this.jobId = job.jobId;
    this.files = [...files];
  }

  async write(): Promise<void> {
    const object = `${this.jobId}/shared/${this.id}-${this.#count++}`;
    await this.store.put(object, Buffer.from('file'));
    this.files.push(object);
  }

  async snapshot(
    checkpointId: number,
  ): Promise<CheckpointRecord['vertices'][number]['subtasks'][0]> {
    const files = this.files.map((object) => ({ object, offset: 0, length: 4 }));
    const key = `${this.jobId}/chk-${checkpointId}/${this.id}-${this.#count++}-op`;
    await this.store.put(key, Buffer.from('data'));
    const data = { kind: 'object', key, offset: 0, length: 4, crc32: 0 } as const;
    const keyed = [{ backend: 'forst', keyGroups: { start: 0, end: 1 }, data, files }];
    return { operators: { op: { keyed } }, sizeBytes: 4 };
  }
}

/** One coordinator with its attempt; it may be a zombie without knowing. */
interface Run {
  readonly checkpoints: CheckpointStore;
  attempt: Attempt;
  nextId: number;
  /** One checkpoint at a time, and no restart meanwhile: the job master's rule. */
  isBusy: boolean;
}

class Job {
  readonly store: WatchedStore;
  readonly jobId: string;
  readonly runs: Run[] = [];
  readonly random: SeededRandom;
  attempts = 0;
  nowMs = 0;

  constructor(store: WatchedStore, jobId: string, random: SeededRandom) {
    this.store = store;
    this.jobId = jobId;
    this.random = random;
  }

  async takeOver(graceMs: number): Promise<void> {
    const checkpoints = await CheckpointStore.open(this.store, this.jobId, {
      retained: 1 + this.random.int(3),
      graceMs,
      clock: { monotonicMs: () => this.nowMs },
      ids: { next: () => String(coordinators++) },
    });
    const latest = await checkpoints.latest();
    checkpoints.sweep();
    const attempt = new Attempt(this, checkpoints.head.generation, filesOf(latest));
    this.runs.push({
      checkpoints,
      attempt,
      nextId: (latest?.checkpointId ?? 0) + 1,
      isBusy: false,
    });
  }

  /** As after a failure: another attempt from the newest checkpoint. */
  async restart(run: Run): Promise<void> {
    const latest = await run.checkpoints.latest();
    const { attempt } = run;
    run.checkpoints.bury(attempt.id);
    run.attempt = new Attempt(this, run.checkpoints.head.generation, filesOf(latest));
    // The old one does not know yet.
    await attempt.write().catch(() => {});
  }

  async checkpoint({ checkpoints, attempt }: Run, checkpointId: number): Promise<void> {
    const snapshot = await attempt.snapshot(checkpointId);
    this.nowMs++;
    await checkpoints.add({
      version: CHECKPOINT_RECORD_VERSION,
      jobId: this.jobId,
      jobName: this.jobId,
      checkpointId,
      generation: checkpoints.head.generation,
      triggeredAtMs: 0,
      completedAtMs: 0,
      fingerprint: '',
      vertices: [{ id: 'v', operators: [], subtasks: [snapshot] }],
    });
  }
}

const filesOf = (record: CheckpointRecord | undefined): readonly string[] =>
  (record?.vertices ?? []).flatMap(({ subtasks }) =>
    subtasks.flatMap(({ operators }) =>
      (operators['op']?.keyed ?? []).flatMap(({ files }) =>
        (files ?? []).map(({ object }) => object),
      ),
    ),
  );

/** One step of anybody, alive or not; the store may fail it. */
async function step(job: Job, jobs: Job[], random: SeededRandom): Promise<void> {
  const run =
    job.runs.length === 0 ? undefined : job.runs.at(-1 - random.int(Math.min(3, job.runs.length)));
  const choice = random.int(100);
  if (run === undefined || choice < 8) await job.takeOver(random.pick([0, 0, 5]));
  else if (choice < 38) await run.attempt.write();
  else if (choice < 58) run.attempt.files.splice(0, 1 + random.int(2));
  else if (choice < 94)
    await exclusively(run, () =>
      choice < 86 ? job.checkpoint(run, run.nextId++) : job.restart(run),
    );
  else if (jobs.length < 4) {
    const into = `fork${jobs.length}`;
    await forkJob(job.store, { jobId: job.jobId, into, pinId: `${into}-${random.uint32()}` });
    jobs.push(new Job(job.store, into, random));
  }
}

async function exclusively(run: Run, work: () => Promise<void>): Promise<void> {
  if (run.isBusy) return;
  run.isBusy = true;
  try {
    await work();
  } finally {
    run.isBusy = false;
  }
}

async function idle(): Promise<void> {
  for (let turns = 0; turns < 3; turns++)
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
}

/** Pins of forks that never came to be: nobody but a person can tell. */
async function releaseOrphans(store: WatchedStore): Promise<void> {
  const heads = [...store.present.keys()].filter((key) => key.endsWith('/head'));
  const read = (key: string) => decodeHead(store.present.get(key)!, key);
  const used = new Set(heads.flatMap((key) => read(key).origins.map(({ pinId }) => pinId)));
  for (const key of heads)
    for (const { id } of read(key).pins)
      if (!used.has(id)) await releasePin(store, read(key).jobId, id);
}

/** All zombies are quiet; each job takes over once more and drops all that it inherited. */
async function settle(jobs: readonly Job[]): Promise<void> {
  for (const job of jobs) {
    await job.takeOver(0);
    const run = job.runs.at(-1)!;
    run.attempt.files = [];
    for (let i = 0; i < 5; i++) {
      job.nowMs += 100;
      await job.checkpoint(run, run.nextId++);
      await idle();
    }
  }
}

test('no reachable object is ever deleted, and in the end no other is left', async () => {
  let deletes = 0;
  let forks = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SeededRandom(seed);
    const store = new WatchedStore(random.fork('store'));
    const jobs = [new Job(store, 'job', random)];
    const failures: unknown[] = [];
    try {
      for (let i = 0; i < STEPS; i++) {
        const running = Array.from({ length: 1 + random.int(3) }, () =>
          step(random.pick(jobs), jobs, random).catch((error: unknown) => {
            const { kind, code } = error as MillraceError;
            const isExpected =
              kind === 'unavailable' ||
              kind === 'fenced' ||
              code === 'NO_SUCH_JOB' ||
              code === 'NO_SUCH_CHECKPOINT' ||
              code === 'CHECKPOINT_NOT_RETAINED' ||
              code === 'JOB_EXISTS';
            if (!isExpected) failures.push(error);
          }),
        );
        // Some are still under way when the next step begins.
        if (random.chance(0.7)) await Promise.all(running);
      }
      await idle();
      store.isCalm = true;
      await releaseOrphans(store);
      await settle([...jobs].reverse());
      // Pins that forks have released since.
      await settle(jobs);
      const left = [...store.present.keys()].filter((key) => !store.check().has(key));
      assert.deepEqual(left, []);
      assert.deepEqual(failures, []);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    deletes += store.deletes;
    forks += jobs.length - 1;
  }
  assert.ok(deletes > 50 * SEEDS && forks > SEEDS, `${deletes} deletes, ${forks} forks`);
});
