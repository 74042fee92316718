/**
 * Where a job's checkpoints are: under `<jobId>/` in an object store.
 *
 *   <jobId>/head                              the job's head
 *   <jobId>/chk-<id>-g<generation>/_metadata  a checkpoint's record
 *   <jobId>/chk-<id>/<attempt>-<n>-<name>     snapshot bytes; the attempt that wrote them is in the name
 *
 * Invariants
 *  C1  A checkpoint exists from the moment a compare-and-set of the head names it; every object it names was durable before.
 *  C2  Only the coordinator whose generation the head carries can change the head; others learn that they are fenced.
 *  C3  Objects are deleted only when no checkpoint in the head names them, by the keys in records, never by listing.
 *  C4  An answer that is lost leaves open whether the head changed: before anything is decided from it, the head is looked at again.
 *
 * Requests per checkpoint: one put per subtask with more than the inline threshold, one for the record, one for the head.
 */
import { crc32 } from 'node:zlib';
import { MillraceError } from '../base/errors.ts';
import type { ETag, ObjectStore } from '../storage/object-store.ts';
import {
  type CheckpointRecord,
  decodeHead,
  decodeRecord,
  emptied,
  encodeHead,
  encodeRecord,
  finished,
  type JobHead,
  objectsOf,
  type RetainedCheckpoint,
  takeOver,
  withCheckpoint,
} from './checkpoint-record.ts';
import type { SnapshotReader, SnapshotWriter, StateHandle } from './snapshot.ts';

/** Flink's execution.checkpointing.data-inline-threshold. */
export const INLINE_THRESHOLD_BYTES = 20 * 1024;

const folderOf = (jobId: string, checkpointId: number, generation: number): string =>
  `${jobId}/chk-${checkpointId}-g${generation}`;

/** Snapshot bytes of one attempt for one checkpoint. */
export class StoreSnapshotWriter implements SnapshotWriter {
  readonly #store: ObjectStore;
  readonly #prefix: string;
  readonly #inlineThreshold: number;
  #objects = 0;
  bytesWritten = 0;

  constructor(
    store: ObjectStore,
    params: {
      jobId: string;
      checkpointId: number;
      attemptId: string;
      inlineThresholdBytes?: number;
    },
  ) {
    this.#store = store;
    this.#prefix = `${params.jobId}/chk-${params.checkpointId}/${params.attemptId}`;
    this.#inlineThreshold = params.inlineThresholdBytes ?? INLINE_THRESHOLD_BYTES;
  }

  async write(name: string, chunks: readonly Uint8Array[]): Promise<StateHandle> {
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    this.bytesWritten += bytes.length;
    if (bytes.length <= this.#inlineThreshold) {
      return { kind: 'inline', base64: Buffer.from(bytes).toString('base64'), crc32: crc32(bytes) };
    }
    const key = `${this.#prefix}-${this.#objects++}-${name}`;
    await this.#store.put(key, bytes);
    return { kind: 'object', key, offset: 0, length: bytes.length, crc32: crc32(bytes) };
  }
}

export class StoreSnapshotReader implements SnapshotReader {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async read(handle: StateHandle): Promise<Uint8Array> {
    const inline = handle.kind === 'inline';
    const bytes = inline
      ? Buffer.from(handle.base64, 'base64')
      : await this.#store
          .get(handle.key, { offset: handle.offset, length: handle.length })
          .catch((cause: unknown) => {
            throw snapshotCorrupt(handle.key, 'cannot be read in full', cause);
          });
    if (crc32(bytes) !== handle.crc32)
      throw snapshotCorrupt(
        inline ? 'in the checkpoint record' : handle.key,
        'does not match its checksum',
      );
    return bytes;
  }
}

function snapshotCorrupt(key: string, what: string, cause?: unknown): unknown {
  const code = (cause as { code?: unknown } | undefined)?.code;
  const kind = (cause as { kind?: unknown } | undefined)?.kind;
  if (cause !== undefined && kind !== 'data' && code !== 'BAD_RANGE') return cause;
  return new MillraceError(
    'data',
    code === 'OBJECT_NOT_FOUND' ? 'SNAPSHOT_MISSING' : 'SNAPSHOT_CORRUPT',
    `snapshot ${key} ${code === 'OBJECT_NOT_FOUND' ? 'is missing' : what}. Nothing was deleted; restore from another retained checkpoint, or bring the object back`,
    {
      details: { key },
      cause,
    },
  );
}

/** The coordinator's side: the head, the records, retention. One instance per generation. */
export class CheckpointStore {
  readonly #store: ObjectStore;
  readonly #headKey: string;
  readonly #retained: number;
  #head: JobHead;
  #etag: ETag;
  /** Out of the head and not yet deleted. */
  #subsumed: readonly RetainedCheckpoint[] = [];

  private constructor(
    store: ObjectStore,
    headKey: string,
    state: { head: JobHead; etag: ETag; retained: number },
  ) {
    this.#store = store;
    this.#headKey = headKey;
    this.#head = state.head;
    this.#etag = state.etag;
    this.#retained = state.retained;
  }

  /** Takes the job over under the next generation. Whoever coordinated it before is fenced from now on. */
  static async open(store: ObjectStore, jobId: string, retained: number): Promise<CheckpointStore> {
    const key = `${jobId}/head`;
    for (;;) {
      const meta = await store.head(key);
      const current = meta === undefined ? undefined : decodeHead(await store.get(key), key);
      const head = takeOver(current, jobId);
      const put =
        meta === undefined
          ? await store.putIfAbsent(key, encodeHead(head))
          : await store.putIfMatch(key, encodeHead(head), meta.etag);
      if (put.outcome === 'stored')
        return new CheckpointStore(store, key, { head, etag: put.etag, retained });
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
      return decodeRecord(await this.#store.get(last.key), last.key);
    } catch (cause) {
      if ((cause as { code?: unknown }).code !== 'OBJECT_NOT_FOUND') throw cause;
      // A newer coordinator may have dropped it a moment ago.
      await this.#refresh();
      throw new MillraceError(
        'data',
        'CHECKPOINT_MISSING',
        `checkpoint ${last.checkpointId} is named by ${this.#headKey}, but its record ${last.key} is missing. Nothing was deleted; bring the object back`,
        { details: { key: last.key }, cause },
      );
    }
  }

  /**
   * Makes the checkpoint exist (C1). Settles when it does.
   * @throws `fenced` COORDINATOR_FENCED (C2); `unavailable`: it may or may not exist, and `latest` tells
   */
  async add(record: CheckpointRecord): Promise<void> {
    const key = `${folderOf(record.jobId, record.checkpointId, record.generation)}/_metadata`;
    await this.#store.put(key, encodeRecord(record));
    const { checkpointId, completedAtMs } = record;
    const checkpoint = { checkpointId, key, completedAtMs };
    const before = this.#head.checkpoints;
    await this.#swap((head) =>
      head.checkpoints.at(-1)?.key === key
        ? head
        : withCheckpoint(head, checkpoint, this.#retained),
    );
    const kept = new Set(this.#head.checkpoints.map((retained) => retained.key));
    this.#subsumed = [...this.#subsumed, ...before.filter((old) => !kept.has(old.key))];
    // The checkpoint exists whatever becomes of the old ones: they are tried again with the next.
    await this.#discard().catch(() => {});
  }

  /** The job is over: a later start finds it finished. */
  async finish(): Promise<void> {
    await this.#swap((head) => (head.status === 'finished' ? head : finished(head)));
  }

  /** Drops all checkpoints, and that the job is finished if it is: a later start begins anew. */
  async reset(): Promise<void> {
    const before = this.#head.checkpoints;
    await this.#swap((head) =>
      head.status === 'running' && head.checkpoints.length === 0 ? head : emptied(head),
    );
    this.#subsumed = [...this.#subsumed, ...before];
    await this.#discard().catch(() => {});
  }

  /** Changes the head by compare-and-set; `change` returns its argument when there is nothing left to do. */
  async #swap(change: (head: JobHead) => JobHead): Promise<void> {
    for (;;) {
      const next = change(this.#head);
      if (next === this.#head) return;
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
      // Changed by ourselves, with an answer that was lost, or by a newer coordinator.
      await this.#refresh();
    }
  }

  /** C4. @throws `fenced` COORDINATOR_FENCED when a newer coordinator has the job */
  async #refresh(): Promise<void> {
    const meta = await this.#store.head(this.#headKey);
    if (meta?.etag === this.#etag) return;
    const { generation, jobId } = this.#head;
    const found =
      meta === undefined
        ? undefined
        : decodeHead(await this.#store.get(this.#headKey), this.#headKey);
    if (meta === undefined || found?.generation !== generation) {
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

  /** C3 */
  async #discard(): Promise<void> {
    if (this.#subsumed.length === 0) return;
    const kept = new Set<string>();
    for (const { key } of this.#head.checkpoints)
      for (const object of objectsOf(decodeRecord(await this.#store.get(key), key)))
        kept.add(object);
    for (const checkpoint of this.#subsumed) {
      const { key } = checkpoint;
      // Gone already when an earlier attempt got as far as this and lost its answer.
      if ((await this.#store.head(key)) !== undefined) {
        for (const object of objectsOf(decodeRecord(await this.#store.get(key), key)))
          if (!kept.has(object)) await this.#store.delete(object);
        await this.#store.delete(key);
      }
      this.#subsumed = this.#subsumed.filter((other) => other !== checkpoint);
    }
  }
}
