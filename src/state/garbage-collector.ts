/**
 * Deletes what no checkpoint needs any more. Works on heads as they are handed in, at leisure, beside the job.
 *
 * Two ways to find candidates: the records of checkpoints that were dropped from the head (`collect`), and a listing of the job's folder
 * (`sweep`), for what no checkpoint ever named: aborted checkpoints, files that came and went between two, writes of zombies.
 *
 * Invariants
 *  G1  An object is deleted only if no checkpoint in the head names it, none that is pinned, none that was dropped less than the grace period
 *      ago, and it lies in the job's own folder. If any of these records cannot be read, nothing is deleted.
 *  G2  What is unreachable stays so: attempts name only what the checkpoint they started from names, and what they wrote themselves and have
 *      not given up since. So a head that is out of date, of a coordinator that has been replaced, condemns nothing that is needed. The grace
 *      period is for those who still read. Files share an object only if each is part of its tree as soon as it is written.
 *  G3  A sweep deletes only what attempts wrote that can acknowledge nothing any more: those of earlier generations, and those that this
 *      coordinator has replaced before the checkpoint that the head ends with. A listing finds candidates and decides nothing.
 *  G4  A record goes after the objects it names: whoever comes next finds what is left to delete.
 *
 * Cost: a get per record that was not written by this instance, once; a delete per object. A sweep: a listing of the folder.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readVerified } from '../storage/read-verified.ts';
import { type CheckpointRecord, decodeRecord, objectsOf } from './checkpoint-record.ts';
import { type CondemnedCheckpoint, isOwn, type JobHead } from './job-head.ts';
import { ownerOf } from './object-owner.ts';

export interface GarbageCollectorParams {
  readonly store: Pick<ObjectStore, 'get' | 'delete' | 'list'>;
  readonly jobId: string;
  /** How long a dropped checkpoint of this generation is left alone. */
  readonly graceMs: number;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

const PARALLEL_DELETES = 8;

export class GarbageCollector {
  readonly #params: GarbageCollectorParams;
  /** By key of the record: all it names, and itself. Of checkpoints that exist, are pinned or condemned. */
  readonly #named = new Map<string, ReadonlySet<string>>();
  /** Since when this instance knows that a checkpoint is condemned. */
  readonly #since = new Map<string, number>();

  constructor(params: GarbageCollectorParams) {
    this.#params = params;
  }

  /** What a record says that was just written. */
  learn(key: string, record: CheckpointRecord): void {
    this.#named.set(key, new Set([...objectsOf(record), key]));
  }

  /** Deletes the objects of condemned checkpoints; returns the keys of the records whose objects are gone. */
  async collect(head: JobHead, isImmediate: boolean): Promise<ReadonlySet<string>> {
    this.#forget(head);
    const pinned = new Set(head.pins.map(({ key }) => key));
    const due = head.condemned.filter(
      (condemned) => !pinned.has(condemned.key) && (isImmediate || this.#isDue(head, condemned)),
    );
    const gone = new Set<string>();
    if (due.length === 0) return gone;
    const kept = await this.#kept(head, new Set(due.map(({ key }) => key)));
    for (const { key } of due) {
      const named = await this.#namedIfReadable(key);
      // G4
      const objects = [...(named ?? [])].filter((object) => object !== key && !kept.has(object));
      await this.#delete(objects);
      if (named !== undefined) await this.#delete([key]);
      gone.add(key);
    }
    return gone;
  }

  /** Deletes what attempts left behind that are dead (G3) and that nobody names; returns how many objects. */
  async sweep(head: JobHead, dead: ReadonlySet<string>): Promise<number> {
    const { store, jobId, signal } = this.#params;
    const kept = await this.#kept(head, new Set());
    let count = 0;
    let found: string[] = [];
    for await (const { key } of store.list(`${jobId}/`, signal)) {
      const owner = ownerOf(jobId, key);
      if (owner === undefined || kept.has(key)) continue;
      const { generation, attemptId } = owner;
      const isDead =
        generation < head.generation || (attemptId !== undefined && dead.has(attemptId));
      if (isDead) found.push(key);
      if (found.length < PARALLEL_DELETES) continue;
      count += found.length;
      await this.#delete(found);
      found = [];
    }
    await this.#delete(found);
    return count + found.length;
  }

  /** Whether any checkpoint of the head, or that is pinned, names an object like this. */
  async isNamed(head: JobHead, isSought: (key: string) => boolean): Promise<boolean> {
    for (const object of await this.#kept({ ...head, condemned: [] }, new Set()))
      if (isSought(object)) return true;
    return false;
  }

  /** All that the head's checkpoints name, besides those that are due. @throws `data` when a record cannot be read (G1) */
  async #kept(head: JobHead, due: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const kept = new Set<string>();
    for (const { key, checkpointId } of [...head.checkpoints, ...head.pins]) {
      const named = await this.#namedBy(key);
      if (named === undefined) throw recordMissing(key, checkpointId);
      for (const object of named) kept.add(object);
    }
    for (const { key } of head.condemned)
      if (!due.has(key)) for (const object of (await this.#namedBy(key)) ?? []) kept.add(object);
    return kept;
  }

  /** Undefined if there is no such record; of a condemned checkpoint: an earlier attempt to delete got as far as this. */
  async #namedBy(key: string): Promise<ReadonlySet<string> | undefined> {
    const known = this.#named.get(key);
    if (known !== undefined) return known;
    try {
      const { store, signal } = this.#params;
      const record = await readVerified(
        () => store.get(key, undefined, signal),
        (bytes) => decodeRecord(bytes, key),
      );
      this.learn(key, record);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'OBJECT_NOT_FOUND') throw error;
    }
    return this.#named.get(key);
  }

  /** A condemned record that is corrupt names nothing: the sweep of the next generation finds what it named. */
  async #namedIfReadable(key: string): Promise<ReadonlySet<string> | undefined> {
    try {
      return await this.#namedBy(key);
    } catch (error) {
      if (isMillraceError(error) && error.kind === 'data') return undefined;
      throw error;
    }
  }

  async #delete(keys: readonly string[]): Promise<void> {
    const { store, jobId, signal } = this.#params;
    const own = keys.filter((key) => isOwn(jobId, key));
    for (let at = 0; at < own.length; at += PARALLEL_DELETES) {
      signal.throwIfAborted();
      await Promise.all(
        own.slice(at, at + PARALLEL_DELETES).map((key) => store.delete(key, signal)),
      );
    }
  }

  /** Checkpoints dropped by an earlier generation: nobody of today has begun from them. */
  #isDue(head: JobHead, { key, generation }: CondemnedCheckpoint): boolean {
    if (generation < head.generation) return true;
    const { nowMs, graceMs } = this.#params;
    const now = nowMs();
    const since = this.#since.get(key) ?? now;
    this.#since.set(key, since);
    return now - since >= graceMs;
  }

  #forget({ checkpoints, condemned, pins }: JobHead): void {
    const current = new Set([...checkpoints, ...condemned, ...pins].map(({ key }) => key));
    for (const key of this.#named.keys()) if (!current.has(key)) this.#named.delete(key);
    for (const key of this.#since.keys()) if (!current.has(key)) this.#since.delete(key);
  }
}

export const recordMissing = (key: string, checkpointId: number, cause?: unknown): MillraceError =>
  new MillraceError(
    'data',
    'CHECKPOINT_MISSING',
    `checkpoint ${checkpointId} is named by its job's head, but its record ${key} is missing. Nothing was deleted; bring the object back`,
    { details: { key }, cause },
  );
