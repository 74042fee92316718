/**
 * Writes the files of all trees of one worker. Small files that come at about the same time, as at a checkpoint, share one object:
 * requests grow with workers, not with states or subtasks. Large ones have objects of their own.
 *
 *   <jobId>/shared/<attempt>-<n>                 one file; the attempt that wrote it is in the name; n counts the worker's files
 *   <jobId>/shared/pack-<attempt>-<incarnation>-<n>
 *                                                small files of one worker and generation, named after one of the attempts; the
 *                                                incarnation is unique for a worker's life
 */
import type { Timers } from '../../base/world.ts';
import { createObject, type TableFiles, type WrittenFile } from '../../lsm/table-files.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { generationOf } from '../object-owner.ts';

/** A pack is written when it has grown to this, or when nothing more has come for a while. */
const PACK_BYTES = 4 * 1024 * 1024;
const LINGER_MS = 2;
const PACK = 'pack-';

/** Whether an object holds files of several trees. */
export const isPack = (object: string): boolean => object.includes(`/shared/${PACK}`);

interface Waiting {
  readonly bytes: Uint8Array;
  readonly done: PromiseWithResolvers<WrittenFile>;
}

export class PackedFiles {
  readonly #store: Pick<ObjectStore, 'putIfAbsent'>;
  readonly #timers: Pick<Timers, 'after'>;
  readonly #prefix: string;
  readonly #incarnation: string;
  /** Whose file came last into the pack. */
  #attemptId = '';
  readonly #packBelowBytes: number;
  #packs = 0;
  /** Over all attempts and trees: a name is used once. */
  #files = 0;
  #compactions = 0;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #timer: { cancel(): void } | undefined;

  constructor(params: {
    store: Pick<ObjectStore, 'putIfAbsent'>;
    timers: Pick<Timers, 'after'>;
    jobId: string;
    incarnation: string;
    /** Files from here on get an object of their own. */
    packBelowBytes: number;
  }) {
    this.#packBelowBytes = params.packBelowBytes;
    this.#store = params.store;
    this.#timers = params.timers;
    this.#prefix = `${params.jobId}/shared/`;
    this.#incarnation = params.incarnation;
  }

  /** The files that an attempt's trees write out: each is part of its tree as soon as it is written. */
  ofAttempt(attemptId: string): TableFiles {
    return {
      write: (bytes) =>
        bytes.length < this.#packBelowBytes
          ? this.#pack(attemptId, bytes)
          : this.#create(attemptId, bytes),
    };
  }

  /**
   * Outputs of compactions. They have objects of their own: a pack could be given up with its other files before the output that is in it
   * is adopted, and a later checkpoint would name what has been deleted.
   */
  ofCompaction(attemptId: string): TableFiles {
    return { write: (bytes) => this.#create(`${attemptId}-c`, bytes) };
  }

  async #create(name: string, bytes: Uint8Array): Promise<WrittenFile> {
    const id = `${name}-${this.#files++}`;
    const object = `${this.#prefix}${id}`;
    await createObject(this.#store, object, bytes);
    return { id, object, offset: 0 };
  }

  /** What the keys of a compaction's files begin with, if it runs elsewhere for that attempt. */
  compactionOutput(attemptId: string): string {
    return `${this.#prefix}${attemptId}-x${this.#compactions++}`;
  }

  #pack(attemptId: string, bytes: Uint8Array): Promise<WrittenFile> {
    const done = Promise.withResolvers<WrittenFile>();
    this.#timer?.cancel();
    this.#timer = undefined;
    // Whether a pack is garbage is told by the generation in its name.
    if (this.#waiting.length > 0 && generationOf(attemptId) !== generationOf(this.#attemptId))
      this.#writePack();
    this.#attemptId = attemptId;
    this.#waiting.push({ bytes, done });
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= PACK_BYTES) this.#writePack();
    else this.#timer = this.#timers.after(LINGER_MS, () => this.#writePack());
    return done.promise;
  }

  #writePack(): void {
    const files = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#timer = undefined;
    const name = `${PACK}${this.#attemptId}-${this.#incarnation}-${this.#packs++}`;
    const object = `${this.#prefix}${name}`;
    const all = Buffer.concat(files.map(({ bytes }) => bytes));
    const stored = createObject(this.#store, object, all);
    stored.then(
      () => {
        let offset = 0;
        for (const [i, { bytes, done }] of files.entries()) {
          done.resolve({ id: `${name}.${i}`, object, offset });
          offset += bytes.length;
        }
      },
      (error: unknown) => {
        for (const { done } of files) done.reject(error);
      },
    );
  }
}
