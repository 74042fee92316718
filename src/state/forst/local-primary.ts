/**
 * Working files on local disk, uploaded when a checkpoint names them (what RocksDB with incremental checkpoints is to Flink): the store that
 * the trees of one worker write to and read from.
 *
 * A file is written to local disk alone; what compaction merges away before a checkpoint never costs a request. With a changelog it is
 * uploaded as it is written, so that a checkpoint finds it there. Files of a restored checkpoint are read where they are, by ranges, and
 * fetched whole in the background from their first use on.
 *
 * Invariants
 *  P1  A checkpoint's handle is acknowledged after `upload` has settled for every file it names (F2 holds for the object store).
 *  P2  A local file goes when no tree and no snapshot under way has named it for a while (`sweep`), and with the worker.
 *  P3  Local disk is no place for what has to last: what it loses since the last checkpoint is what a restart replays. A disk that refuses a
 *      file is done without: the file goes to the object store at once.
 */
import { crc32 } from 'node:zlib';
import { internal, MillraceError } from '../../base/errors.ts';
import type { DiskFile, LocalDisk } from '../../base/local-disk.ts';
import { ForwardingStore } from '../../storage/forwarding-store.ts';
import type { ByteRange, ConditionalPut, ObjectStore } from '../../storage/object-store.ts';

const DOWNLOADS_MAX = 4;
/** Sweeps that a file outlives its last name by: reads that began before may still be under way. */
const SWEEPS_KEPT = 3;

interface LocalFile {
  readonly file: DiskFile;
  readonly length: number;
  readonly crc: number;
  /** The object store has it. */
  stored: boolean;
  uploading: Promise<void> | undefined;
  /** A tree has named it, now or earlier. */
  named: boolean;
  sweepsUnnamed: number;
}

export class LocalPrimary extends ForwardingStore {
  readonly #disk: LocalDisk;
  readonly #log: (message: string, error: unknown) => void;
  readonly #uploadsAtOnce: boolean;
  readonly #files = new Map<string, LocalFile>();
  readonly #writing = new Set<string>();
  readonly #downloads = new Set<string>();
  readonly #abort = new AbortController();
  #names = 0;

  constructor(params: {
    disk: LocalDisk;
    remote: ObjectStore;
    log: (message: string, error: unknown) => void;
    /** A file counts as written when its upload has ended. Default false. */
    uploadsAtOnce?: boolean;
  }) {
    super(params.remote);
    this.#disk = params.disk;
    this.#log = params.log;
    this.#uploadsAtOnce = params.uploadsAtOnce === true;
    // What a worker before this one left is in the checkpoints, or lost.
    for (const name of params.disk.left) params.disk.open(name).drop();
  }

  /** Bytes on local disk, and those of them that the object store does not have. */
  get usage(): { readonly bytes: number; readonly bytesNotStored: number } {
    let bytes = 0;
    let bytesNotStored = 0;
    for (const { length, stored } of this.#files.values()) {
      bytes += length;
      if (!stored) bytesNotStored += length;
    }
    return { bytes, bytesNotStored };
  }

  /** To local disk, and on from there if that is wanted: then an upload that fails is left to the checkpoint (P1). */
  override async putIfAbsent(
    key: string,
    bytes: Uint8Array,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    if (this.#files.has(key) || this.#writing.has(key)) return { outcome: 'conflict' };
    this.#writing.add(key);
    try {
      await this.#keep(key, bytes, false);
      if (this.#uploadsAtOnce) await this.#upload(key).catch(() => {});
      return { outcome: 'stored', etag: key };
    } catch (error) {
      this.#log('local disk refuses a file of forst, which goes to the object store', error);
      return await this.inner.putIfAbsent(key, bytes, signal);
    } finally {
      this.#writing.delete(key);
    }
  }

  /** @throws `unavailable` LOCAL_FILE_LOST */
  override async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const local = this.#files.get(key);
    if (local === undefined) {
      this.#fetch(key);
      return this.inner.get(key, range, signal);
    }
    const into = new Uint8Array(range?.length ?? local.length);
    if (local.file.read(into, range?.offset ?? 0)) return into;
    if (local.stored) return this.inner.get(key, range, signal);
    throw fileLost(key, 'cannot be read');
  }

  /** P1 */
  async upload(keys: Iterable<string>): Promise<void> {
    await Promise.all([...new Set(keys)].map((key) => this.#upload(key)));
  }

  /** P2. `named`: everything that trees and snapshots under way name. */
  sweep(named: ReadonlySet<string>): void {
    for (const [key, local] of this.#files) {
      if (named.has(key)) {
        local.named = true;
        local.sweepsUnnamed = 0;
      } else if (
        local.named &&
        local.uploading === undefined &&
        ++local.sweepsUnnamed > SWEEPS_KEPT
      ) {
        this.#files.delete(key);
        local.file.drop();
      }
    }
  }

  /** Gives local disk up; the object store is its owner's. */
  override async close(): Promise<void> {
    this.#abort.abort();
    for (const { file } of this.#files.values()) file.drop();
    this.#files.clear();
    this.#disk.close();
  }

  async #keep(key: string, bytes: Uint8Array, stored: boolean): Promise<void> {
    const file = this.#disk.create(`f${this.#names++}`);
    try {
      await file.write(bytes, 0);
    } catch (error) {
      file.drop();
      throw error;
    }
    // Its owner may have closed it meanwhile.
    if (this.#abort.signal.aborted) return file.drop();
    this.#files.set(key, {
      file,
      length: bytes.length,
      crc: crc32(bytes),
      stored,
      uploading: undefined,
      named: stored,
      sweepsUnnamed: 0,
    });
  }

  async #upload(key: string): Promise<void> {
    const local = this.#files.get(key);
    // What is not here is there: restored, or refused by local disk.
    if (local === undefined || local.stored) return;
    local.uploading ??= this.#store(key, local).finally(() => {
      local.uploading = undefined;
    });
    await local.uploading;
  }

  async #store(key: string, local: LocalFile): Promise<void> {
    const bytes = new Uint8Array(local.length);
    if (!local.file.read(bytes, 0)) throw fileLost(key, 'cannot be read');
    if (crc32(bytes) !== local.crc) throw fileLost(key, 'is not what was written');
    const { outcome } = await this.inner.putIfAbsent(key, bytes);
    // An upload that seemed to fail may have happened.
    if (outcome === 'conflict' && Buffer.compare(await this.inner.get(key), bytes) !== 0)
      throw internal('FILE_EXISTS', `object ${key} exists already; it was not written over`);
    local.stored = true;
  }

  /** The whole object, in the background; whoever reads meanwhile reads ranges. */
  #fetch(key: string): void {
    const { signal } = this.#abort;
    if (signal.aborted || this.#downloads.has(key) || this.#downloads.size >= DOWNLOADS_MAX) return;
    this.#downloads.add(key);
    this.inner
      .get(key, undefined, signal)
      .then((bytes) => this.#keep(key, bytes, true))
      // Then it is read from the object store, and fetched again at its next use.
      .catch(() => {})
      .finally(() => this.#downloads.delete(key))
      .catch(() => {});
  }
}

const fileLost = (key: string, how: string): MillraceError =>
  new MillraceError(
    'unavailable',
    'LOCAL_FILE_LOST',
    `the local copy of ${key} ${how}, and no checkpoint has it yet; the task goes back to the last checkpoint. Check the disk under state.backend.forst.local-dir`,
    { details: { key } },
  );
