/**
 * Compactions for whoever has time: tasks, claims and results as objects, so that compactors need nothing but the store.
 *
 *   compaction/<id>/task        what is to be done
 *   compaction/<id>/claim-<n>   the n-th try and who makes it; created if absent, so each number has one owner
 *   compaction/<id>/beat-<n>    a number that the try makes grow while it lives
 *   compaction/<id>/result      created if absent by the first try that is done
 *
 * Invariants
 *  J1  Two tries of one task are waste, never damage: their files have different names, and one result counts.
 *  J2  Nobody judges by another's clock: a try is given up when its beat has not changed for a while of one's own.
 *  J3  The owner of a task deletes its objects, and does not wait for compactors to work: a task that takes too long is withdrawn and
 *      done at home.
 *  J5  What an owner that died has left, compactors delete: a result that nobody has fetched for a while, what is left of a folder without
 *      its task, a task that too many tries have failed at. An owner that lives after all finds no result and does the work at home. The
 *      files that a try wrote are of the job, whose garbage collection knows their attempt.
 *  J4  Listing only finds tasks sooner or later; nothing else depends on it.
 */
import { MillraceError } from '../../base/errors.ts';
import type { Clock, Timers } from '../../base/world.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import {
  checkResult,
  checkTask,
  type CompactionExecutor,
  type CompactionResult,
  type CompactionTask,
  type PrefixLengths,
  runTask,
} from './compaction-task.ts';

const ROOT = 'compaction/';
const POLL_MS = 500;
const BEAT_MS = 2000;
/** J2 */
const SILENCE_MS = 10_000;
/** J5. Owners look for results every POLL_MS. */
const ABANDONED_MS = 60_000;
const TRIES_MAX = 8;

export interface BoardWorld {
  readonly clock: Clock;
  readonly timers: Timers;
}

const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

async function read(store: ObjectStore, key: string, signal?: AbortSignal): Promise<unknown> {
  try {
    return JSON.parse(Buffer.from(await store.get(key, undefined, signal)).toString('utf8'));
  } catch (error) {
    if ((error as { code?: unknown }).code === 'OBJECT_NOT_FOUND') return undefined;
    throw error;
  }
}

function pause(world: BoardWorld, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done);
      timer.cancel();
      resolve();
    };
    const timer = world.timers.after(ms, done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}

/** The owner's side. */
export class RemoteCompaction implements CompactionExecutor {
  readonly #store: ObjectStore;
  readonly #world: BoardWorld;
  readonly #name: string;
  readonly #timeoutMs: number;
  #tasks = 0;

  /** `name` is unique for this owner's life. After `timeoutMs` a task is withdrawn. */
  constructor(params: { store: ObjectStore; world: BoardWorld; name: string; timeoutMs: number }) {
    this.#store = params.store;
    this.#world = params.world;
    this.#name = params.name;
    this.#timeoutMs = params.timeoutMs;
  }

  /** @throws `unavailable` COMPACTION_NOT_DONE: no compactor has done it in time */
  async run(task: CompactionTask, signal: AbortSignal): Promise<CompactionResult> {
    const folder = `${ROOT}${this.#name}-${this.#tasks++}`;
    const { clock } = this.#world;
    await this.#store.put(`${folder}/task`, encode(task), signal);
    try {
      const startedMs = clock.monotonicMs();
      while (!signal.aborted && clock.monotonicMs() - startedMs < this.#timeoutMs) {
        await pause(this.#world, POLL_MS, signal);
        const result = await read(this.#store, `${folder}/result`, signal);
        if (result !== undefined) return checkResult(result, task);
      }
      signal.throwIfAborted();
      throw new MillraceError(
        'unavailable',
        'COMPACTION_NOT_DONE',
        `no compactor has done ${folder} within ${this.#timeoutMs} ms; start one with "millrace compactor", or set state.backend.forst.compaction.mode to thread`,
      );
    } finally {
      // Also what a compactor still writes is garbage then.
      await this.#remove(folder).catch(() => {});
    }
  }

  async close(): Promise<void> {}

  async #remove(folder: string): Promise<void> {
    for await (const { key } of this.#store.list(`${folder}/`)) await this.#store.delete(key);
  }
}

interface Seen {
  readonly beat: string;
  readonly atMs: number;
}

export interface CompactorParams {
  readonly store: ObjectStore;
  readonly world: BoardWorld;
  /** Unique for this process. */
  readonly name: string;
  readonly prefixLengths: PrefixLengths;
  readonly yieldToLoop: () => Promise<void>;
  readonly done?: (folder: string, result: CompactionResult) => void;
  readonly failed: (folder: string, error: unknown) => void;
}

/** A stateless compactor: finds tasks, claims one, runs it, leaves the result. */
export class Compactor {
  readonly #params: CompactorParams;
  /** Beats of others, as this process saw them change (J2). */
  readonly #seen = new Map<string, Seen>();
  /** Folders whose owners may have died, and since when they have looked like that (J5). */
  readonly #abandoned = new Map<string, number>();

  constructor(params: CompactorParams) {
    this.#params = params;
  }

  /** Works until it is told to stop. */
  async serve(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const worked = await this.step(signal).catch((error: unknown) => {
        if (!signal.aborted) this.#params.failed(ROOT, error);
        return false;
      });
      if (!worked) await pause(this.#params.world, POLL_MS, signal);
    }
  }

  /** Does one task, if there is one that nobody does. @returns whether there was */
  async step(signal: AbortSignal): Promise<boolean> {
    const folders = await this.#folders(signal);
    await this.#removeAbandoned(folders, signal);
    for (const [folder, objects] of folders) {
      if (objects.has('result') || !objects.has('task')) continue;
      const claim = await this.#claim(folder, objects, signal);
      if (claim === undefined) continue;
      await this.#work(folder, claim, signal);
      return true;
    }
    return false;
  }

  /** J5 */
  async #removeAbandoned(
    folders: ReadonlyMap<string, ReadonlySet<string>>,
    signal: AbortSignal,
  ): Promise<void> {
    const nowMs = this.#params.world.clock.monotonicMs();
    for (const folder of this.#abandoned.keys())
      if (!folders.has(folder)) this.#abandoned.delete(folder);
    for (const [folder, objects] of folders) {
      if (objects.has('task') && !objects.has('result')) continue;
      const sinceMs = this.#abandoned.get(folder) ?? nowMs;
      this.#abandoned.set(folder, sinceMs);
      if (nowMs - sinceMs >= ABANDONED_MS) await this.#remove(folder, objects, signal);
    }
  }

  /** The task goes last: what is left is found again. */
  async #remove(folder: string, objects: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const names = [...objects].toSorted((a, b) => Number(a === 'task') - Number(b === 'task'));
    for (const name of names) await this.#params.store.delete(`${folder}/${name}`, signal);
    this.#abandoned.delete(folder);
  }

  async #folders(signal: AbortSignal): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    const tasks = new Map<string, Set<string>>();
    for await (const { key } of this.#params.store.list(ROOT, signal)) {
      const slash = key.lastIndexOf('/');
      const folder = key.slice(0, slash);
      const objects = tasks.get(folder) ?? new Set<string>();
      tasks.set(folder, objects.add(key.slice(slash + 1)));
    }
    return tasks;
  }

  /** The number of a try that is ours; undefined if somebody else's lives, or was faster. */
  async #claim(
    folder: string,
    objects: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { store, name } = this.#params;
    const tries = [...objects].flatMap((object) => /^claim-(\d+)$/.exec(object)?.[1] ?? []);
    const last = tries.reduce((most, number) => Math.max(most, Number(number)), 0);
    if (last > 0 && !(await this.#isSilent(`${folder}/beat-${last}`, signal))) return undefined;
    if (last >= TRIES_MAX) {
      await this.#remove(folder, objects, signal);
      return undefined;
    }
    const put = await store.putIfAbsent(`${folder}/claim-${last + 1}`, encode({ name }), signal);
    return put.outcome === 'stored' ? last + 1 : undefined;
  }

  /** J2 */
  async #isSilent(key: string, signal: AbortSignal): Promise<boolean> {
    const beat = JSON.stringify((await read(this.#params.store, key, signal)) ?? null);
    const nowMs = this.#params.world.clock.monotonicMs();
    const seen = this.#seen.get(key);
    if (seen?.beat !== beat) {
      this.#seen.set(key, { beat, atMs: nowMs });
      return false;
    }
    return nowMs - seen.atMs >= SILENCE_MS;
  }

  async #work(folder: string, claim: number, signal: AbortSignal): Promise<void> {
    const { store, prefixLengths, yieldToLoop } = this.#params;
    const heart = this.#beat(`${folder}/beat-${claim}`);
    try {
      const task = checkTask(await read(store, `${folder}/task`, signal), `${folder}/task`);
      const suffix = `.c${claim}`;
      const result = await runTask(task, { store, prefixLengths, suffix, yieldToLoop, signal });
      await store.putIfAbsent(`${folder}/result`, encode(result), signal);
      this.#params.done?.(folder, result);
    } catch (error) {
      if (!signal.aborted) this.#params.failed(folder, error);
    } finally {
      heart.stop();
    }
  }

  #beat(key: string): { stop(): void } {
    const { store, world } = this.#params;
    let beats = 0;
    let timer: { cancel(): void } | undefined;
    let stopped = false;
    const next = (): void => {
      store
        .put(key, encode(++beats))
        .catch(() => {})
        .finally(() => {
          if (!stopped) timer = world.timers.after(BEAT_MS, next);
        })
        .catch(() => {});
    };
    next();
    return {
      stop: () => {
        stopped = true;
        timer?.cancel();
      },
    };
  }
}
