/**
 * A job's checkpoints: the coordinator's side. The head, the records, retention. One instance per generation.
 *
 *   <jobId>/head                              the job's head
 *   <jobId>/chk-<id>-g<generation>/_metadata  a checkpoint's record
 *
 * Invariants
 *  C1  A checkpoint exists from the moment a compare-and-set of the head names it; every object it names was durable before.
 *  C2  Only the coordinator that the head names can add or drop checkpoints; others learn that they are fenced. Pins are
 *      registered and released by anybody, in the same object: whichever change comes second sees the first.
 *  C3  Objects are deleted by the rules of `garbage-collector.ts`. A checkpoint leaves the list and is condemned in one compare-and-set:
 *      whoever dies in between leaves to the next coordinator what is still to be deleted.
 *  C4  An answer that is lost leaves open whether the head changed: before anything is decided from it, the head is looked at again.
 *
 * Requests per checkpoint: one put for the record, one for the head; a delete for each object that it makes garbage.
 */
import type { Clock, Ids } from '../base/world.ts';
import type { ETag, ObjectStore } from '../storage/object-store.ts';
import { readVerified } from '../storage/read-verified.ts';
import { MillraceError } from '../base/errors.ts';
import { type CheckpointRecord, decodeRecord, encodeRecord } from './checkpoint-record.ts';
import { GarbageCollector, recordMissing } from './garbage-collector.ts';
import {
  emptied,
  encodeHead,
  finished,
  headKeyOf,
  isOwn,
  type JobHead,
  newHead,
  type Origin,
  type Pin,
  pinned,
  readHeadAt,
  type RestoredFrom,
  restoredFrom,
  type RetainedCheckpoint,
  takeOver,
  withCheckpoint,
  without,
} from './job-head.ts';
import { releasePin } from './pins.ts';

export interface CheckpointStoreOptions {
  /** For the coordinator's own id. */
  readonly ids: Pick<Ids, 'next'>;
  /** Checkpoints that exist at a time. */
  readonly retained: number;
  /** How long what a dropped checkpoint named is left alone. Default 0. */
  readonly graceMs?: number;
  readonly clock?: Pick<Clock, 'monotonicMs'>;
  /** Told what kept garbage from being deleted; it is tried again. */
  readonly log?: (message: string, error: unknown) => void;
}

/** A pin to be on a checkpoint from the moment on in which it exists. */
export type PinRequest = Pick<Pin, 'id' | 'owner'>;

/** Completed checkpoints between two sweeps. */
const SWEEP_EVERY = 64;

export class CheckpointStore {
  readonly #store: ObjectStore;
  readonly #headKey: string;
  readonly #options: CheckpointStoreOptions;
  readonly #collector: GarbageCollector;
  readonly #closing = new AbortController();
  #head: JobHead;
  #etag: ETag;
  /** Attempts of this generation that can acknowledge nothing any more. */
  #dead: ReadonlySet<string> = new Set();
  /** Condemned, and their objects deleted; to be struck off the head when it changes next. */
  #collected = new Set<string>();
  #untilSweep = SWEEP_EVERY;
  /** The last checkpoint that was to be added, however it ended. */
  #adding: Promise<void> = Promise.resolve();
  #cleaning: Promise<void> | undefined;

  private constructor(
    store: ObjectStore,
    state: { head: JobHead; etag: ETag },
    options: CheckpointStoreOptions,
  ) {
    const { jobId } = state.head;
    this.#store = store;
    this.#headKey = headKeyOf(jobId);
    this.#head = state.head;
    this.#etag = state.etag;
    this.#options = options;
    this.#collector = new GarbageCollector({
      store,
      jobId,
      graceMs: options.graceMs ?? 0,
      nowMs: () => options.clock?.monotonicMs() ?? 0,
      signal: this.#closing.signal,
    });
  }

  /**
   * Takes the job over under the next generation. Whoever coordinated it before is fenced from now on.
   * @throws `data` if the head cannot be read, or is missing while objects of the job are there
   */
  static async open(
    store: ObjectStore,
    jobId: string,
    options: CheckpointStoreOptions,
  ): Promise<CheckpointStore> {
    const key = headKeyOf(jobId);
    const coordinator = options.ids.next();
    for (;;) {
      const meta = await store.head(key);
      if (meta === undefined) await checkIsNew(store, jobId);
      const current = meta === undefined ? newHead(jobId) : await readHeadAt(store, key);
      const head = takeOver(current, coordinator);
      const put =
        meta === undefined
          ? await store.putIfAbsent(key, encodeHead(head))
          : await store.putIfMatch(key, encodeHead(head), meta.etag);
      if (put.outcome === 'stored')
        return new CheckpointStore(store, { head, etag: put.etag }, options);
    }
  }

  get head(): JobHead {
    return this.#head;
  }

  /**
   * The newest checkpoint that exists now, also if its creator never heard of it (C4).
   * @throws `data` naming the object if it cannot be read; an older one is never taken silently. `fenced` COORDINATOR_FENCED (C2)
   */
  async latest(): Promise<CheckpointRecord | undefined> {
    await this.#refresh();
    const last = this.#head.checkpoints.at(-1);
    if (last === undefined) return undefined;
    try {
      return await readVerified(
        () => this.#store.get(last.key),
        (bytes) => decodeRecord(bytes, last.key),
      );
    } catch (cause) {
      if ((cause as { code?: unknown }).code !== 'OBJECT_NOT_FOUND') throw cause;
      // A newer coordinator may have dropped it a moment ago.
      await this.#refresh();
      throw recordMissing(last.key, last.checkpointId, cause);
    }
  }

  /**
   * Makes the checkpoint exist (C1). Settles when it does; what it makes garbage is deleted afterwards.
   * @throws `fenced` COORDINATOR_FENCED (C2); `unavailable`: it may or may not exist, and `latest` tells
   */
  add(record: CheckpointRecord, pin?: PinRequest): Promise<void> {
    const adding = this.#add(record, (head, checkpoint) =>
      pin === undefined ? head : pinned(head, { ...pin, ...checkpoint }),
    );
    this.#adding = adding.catch(() => {});
    return adding;
  }

  /** Makes a savepoint the job's newest checkpoint; `restored` says which, so that a later start goes on instead of beginning there again. */
  restore(record: CheckpointRecord, restored: RestoredFrom, origin?: Origin): Promise<void> {
    return this.#add(record, (head) => restoredFrom(head, restored, origin));
  }

  async #add(
    record: CheckpointRecord,
    and: (head: JobHead, checkpoint: RetainedCheckpoint) => JobHead,
  ): Promise<void> {
    const { jobId, checkpointId, generation, completedAtMs } = record;
    const key = `${jobId}/chk-${checkpointId}-g${generation}/_metadata`;
    await this.#store.put(key, encodeRecord(record));
    const checkpoint = { checkpointId, key, completedAtMs };
    await this.#swap((head) =>
      head.checkpoints.at(-1)?.key === key
        ? head
        : and(
            withCheckpoint(without(head, this.#collected), checkpoint, this.#options.retained),
            checkpoint,
          ),
    );
    this.#collector.learn(key, record);
    this.#untilSweep--;
    const isSweepDue = this.#untilSweep <= 0;
    if (isSweepDue) this.#untilSweep = SWEEP_EVERY;
    this.#clean(isSweepDue);
  }

  /** The attempt was replaced: nothing that it acknowledges from now on counts. */
  bury(attemptId: string): void {
    this.#dead = new Set([...this.#dead, attemptId]);
  }

  /** Deletes in the background what earlier generations left behind. */
  sweep(): void {
    this.#clean(true);
  }

  /** The job is over: a later start finds it finished. */
  async finish(): Promise<void> {
    await this.#swap((head) => (head.status === 'finished' ? head : finished(head)));
  }

  /** Drops all checkpoints, and that the job is finished if it is: a later start begins anew. */
  async reset(): Promise<void> {
    await this.#swap((head) =>
      head.status === 'running' && head.checkpoints.length === 0 ? head : emptied(head),
    );
    await this.#cleanAtEnd();
  }

  /** Deletes what is left of a job that has finished. Of others nothing any more: it is condemned in the head. */
  async close(): Promise<void> {
    // After this the job's folder is as it will stay: whoever waited for the job may look at it.
    await this.#adding;
    if (this.#head.status === 'finished' && this.#head.condemned.length > 0)
      await this.#cleanAtEnd();
    this.#closing.abort();
    await this.#cleaning;
  }

  /** One at a time: what comes due meanwhile is found by the next. */
  #clean(isSweep: boolean): void {
    if (this.#cleaning !== undefined || this.#closing.signal.aborted) {
      if (isSweep) this.#untilSweep = 0;
      return;
    }
    // G3: the head ends with the checkpoint that was just added, and these were dead before.
    const [head, dead] = [this.#head, this.#dead];
    const clean = async (): Promise<void> => {
      await this.#collect(head, false);
      if (isSweep) await this.#collector.sweep(head, dead);
      await this.#releaseOrigins(head);
    };
    this.#cleaning = this.#tolerate(clean).finally(() => {
      this.#cleaning = undefined;
    });
  }

  /** No task reads any more: there is nobody to have grace for. */
  async #cleanAtEnd(): Promise<void> {
    await this.#cleaning;
    await this.#tolerate(async () => {
      await this.#collect(this.#head, true);
      await this.#swap((head) => without(head, this.#collected));
    });
  }

  async #collect(head: JobHead, isImmediate: boolean): Promise<void> {
    for (const key of await this.#collector.collect(head, isImmediate)) this.#collected.add(key);
    const condemned = new Set(this.#head.condemned.map(({ key }) => key));
    for (const key of this.#collected) if (!condemned.has(key)) this.#collected.delete(key);
  }

  /**
   * Lets go of other jobs' checkpoints when nothing that we have or that others have pinned here names anything of anybody else: what an
   * origin's checkpoint names may in turn be its own origin's, which our pin keeps it from letting go.
   */
  async #releaseOrigins(head: JobHead): Promise<void> {
    if (head.origins.length === 0) return;
    if (await this.#collector.isNamed(head, (key) => !isOwn(head.jobId, key))) return;
    for (const { jobId, pinId } of head.origins) await releasePin(this.#store, jobId, pinId);
    await this.#swap((now) => (now.origins.length === 0 ? now : { ...now, origins: [] }));
  }

  /** The checkpoint exists whatever becomes of the garbage: it is tried again with the next. */
  async #tolerate(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#closing.signal.aborted)
        this.#options.log?.('garbage could not be deleted; it is tried again', error);
    }
  }

  /** Changes the head by compare-and-set; `change` returns its argument when there is nothing left to do. */
  async #swap(change: (head: JobHead) => JobHead): Promise<void> {
    for (;;) {
      const before = this.#head;
      const next = change(before);
      if (next === before) return;
      try {
        const put = await this.#store.putIfMatch(this.#headKey, encodeHead(next), this.#etag);
        if (put.outcome === 'stored') {
          this.#head = next;
          this.#etag = put.etag;
          return;
        }
      } catch (failure) {
        await this.#refresh();
        if (change(this.#head) === this.#head) return;
        throw failure;
      }
      // Changed by ourselves, with an answer that was lost, by whoever pins a checkpoint, or by a newer coordinator.
      await this.#refresh();
    }
  }

  /** C4. @throws `fenced` COORDINATOR_FENCED when a newer coordinator has the job */
  async #refresh(): Promise<void> {
    const meta = await this.#store.head(this.#headKey);
    if (meta?.etag === this.#etag) return;
    const { generation, coordinator, jobId } = this.#head;
    const found = meta === undefined ? undefined : await readHeadAt(this.#store, this.#headKey);
    if (meta === undefined || found === undefined || found.coordinator !== coordinator) {
      throw new MillraceError(
        'fenced',
        'COORDINATOR_FENCED',
        `generation ${generation} of job ${jobId} was replaced by a newer coordinator`,
        { details: { jobId, generation } },
      );
    }
    this.#head = found;
    this.#etag = meta.etag;
  }
}

/** A job without a head has nothing: with objects but no head it has lost it, and must not begin anew as if it had never run. */
async function checkIsNew(store: ObjectStore, jobId: string): Promise<void> {
  for await (const { key } of store.list(`${jobId}/`)) {
    // It may have been made a moment ago.
    if ((await store.head(headKeyOf(jobId))) !== undefined) return;
    throw new MillraceError(
      'data',
      'JOB_HEAD_MISSING',
      `${headKeyOf(jobId)} is missing, but ${key} is there. Nothing was deleted; bring the head back, or delete the folder ${jobId}/ to begin anew`,
      { details: { key: headKeyOf(jobId), found: key } },
    );
  }
}
