/**
 * Objects in a local folder.
 *
 * A plain object is one file. Publishing is atomic: bytes go to a temporary file, are synced, and then get their name by
 * `rename` (put) or `link` (create), after which the folder is synced. A crash leaves at most a temporary file.
 *
 * Compare-and-set without locks, so that a killed process leaves nothing behind that blocks others: an object that is changed by
 * `putIfMatch` is a chain of version files `<name>@<version>`. The highest version is the object. A writer creates the next
 * version by `link`, which fails if it exists, and then looks again: if a still higher one is there it has lost.
 *  L1  The newest version is never deleted, so a stale writer always finds one higher than its own.
 *  L2  Versions below the newest are removed by the writer that superseded them.
 * The etag is the version ('0' for a plain file's first state plus its identity).
 */
import { constants } from 'node:fs';
import { link, mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { MillraceError } from '../base/errors.ts';
import type { Ids } from '../base/world.ts';
import { checkKey, checkRange, objectNotFound } from './object-key.ts';
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

const TEMPORARY = '.tmp-';

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;

/** Runs a file operation, turning failures of the disk into `unavailable`. */
async function guard<T>(what: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'EEXIST') throw cause;
    throw new MillraceError(
      'unavailable',
      'LOCAL_STORE_FAILED',
      `${what}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

export class LocalStore implements ObjectStore {
  readonly #root: string;
  readonly #ids: Ids;
  readonly #folders = new Set<string>();

  /** `root` is made when the first object is stored. */
  constructor(root: string, ids: Ids) {
    this.#root = root;
    this.#ids = ids;
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkKey(key);
    signal?.throwIfAborted();
    const path = await this.#currentPath(key);
    try {
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        const { size } = await file.stat();
        const wanted = range ?? { offset: 0, length: size };
        checkRange(key, wanted, size);
        const bytes = new Uint8Array(wanted.length);
        let done = 0;
        while (done < wanted.length) {
          const { bytesRead } = await file.read(
            bytes,
            done,
            wanted.length - done,
            wanted.offset + done,
          );
          if (bytesRead === 0)
            throw new MillraceError(
              'data',
              'OBJECT_TRUNCATED',
              `object ${key} ended while it was read`,
              { details: { key } },
            );
          done += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'EISDIR') throw objectNotFound(key);
      throw error;
    }
  }

  async head(key: string): Promise<ObjectMeta | undefined> {
    checkKey(key);
    try {
      const path = await this.#currentPath(key);
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        const stat = await file.stat();
        return stat.isFile() ? { key, size: stat.size, etag: this.#etagOf(path, stat) } : undefined;
      } finally {
        await file.close();
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    checkKey(key);
    signal?.throwIfAborted();
    if ((await this.#versions(key)).length > 0) return this.#replaceVersion(key, bytes);
    const temporary = await this.#writeTemporary(key, bytes);
    await guard(`storing ${key}`, rename(temporary, this.#path(key)));
    await this.#syncFolder(key);
    return (await this.head(key))!.etag;
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    checkKey(key);
    signal?.throwIfAborted();
    if ((await this.#versions(key)).length > 0) return { outcome: 'conflict' };
    const stored = await this.#create(key, this.#path(key), bytes);
    return stored
      ? { outcome: 'stored', etag: (await this.head(key))!.etag }
      : { outcome: 'conflict' };
  }

  async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    checkKey(key);
    signal?.throwIfAborted();
    const current = await this.head(key);
    if (current === undefined || current.etag !== etag) return { outcome: 'conflict' };
    const version = versionOf(etag) + 1;
    if (!(await this.#create(key, this.#versionPath(key, version), bytes)))
      return { outcome: 'conflict' };
    const versions = await this.#versions(key);
    if (versions.some((other) => other > version)) {
      // L1: a stale writer that re-created an old, already removed version.
      await rm(this.#versionPath(key, version), { force: true });
      return { outcome: 'conflict' };
    }
    for (const old of versions)
      if (old < version) await rm(this.#versionPath(key, old), { force: true });
    await rm(this.#path(key), { force: true });
    return { outcome: 'stored', etag: `v${version}` };
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    for (const version of await this.#versions(key))
      await rm(this.#versionPath(key, version), { force: true });
    await guard(`deleting ${key}`, rm(this.#path(key), { force: true }));
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    const slash = prefix.lastIndexOf('/');
    const folder = slash === -1 ? '' : prefix.slice(0, slash);
    if (folder !== '') checkKey(folder);
    for (const key of (await this.#keysUnder(folder)).sort()) {
      signal?.throwIfAborted();
      if (!key.startsWith(prefix)) continue;
      const meta = await this.head(key);
      if (meta !== undefined) yield meta;
    }
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    return `${this.#root}/${key}`;
  }

  #versionPath(key: string, version: number): string {
    return `${this.#path(key)}@${version}`;
  }

  #etagOf(
    path: string,
    stat: { readonly ino: number; readonly mtimeMs: number; readonly size: number },
  ): ETag {
    const version = /@(\d+)$/.exec(path)?.[1];
    return version === undefined
      ? `f${stat.ino.toString(36)}-${Math.round(stat.mtimeMs * 1000).toString(36)}-${stat.size}`
      : `v${version}`;
  }

  async #versions(key: string): Promise<number[]> {
    const name = key.slice(key.lastIndexOf('/') + 1);
    try {
      const entries = await readdir(this.#folderOf(key));
      return entries
        .filter((entry) => entry.startsWith(`${name}@`))
        .map((entry) => Number(entry.slice(name.length + 1)));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
  }

  async #currentPath(key: string): Promise<string> {
    const versions = await this.#versions(key);
    return versions.length === 0 ? this.#path(key) : this.#versionPath(key, Math.max(...versions));
  }

  async #replaceVersion(key: string, bytes: Uint8Array): Promise<ETag> {
    for (;;) {
      const current = await this.head(key);
      const put =
        current === undefined
          ? await this.putIfAbsent(key, bytes)
          : await this.putIfMatch(key, bytes, current.etag);
      if (put.outcome === 'stored') return put.etag;
    }
  }

  /** Publishes under `path` unless something is there. */
  async #create(key: string, path: string, bytes: Uint8Array): Promise<boolean> {
    const temporary = await this.#writeTemporary(key, bytes);
    try {
      await guard(`storing ${key}`, link(temporary, path));
      await this.#syncFolder(key);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    } finally {
      await unlink(temporary);
    }
  }

  async #writeTemporary(key: string, bytes: Uint8Array): Promise<string> {
    const folder = this.#folderOf(key);
    if (!this.#folders.has(folder)) {
      await guard(`creating ${folder}`, mkdir(folder, { recursive: true }));
      this.#folders.add(folder);
    }
    const path = `${folder}/${TEMPORARY}${this.#ids.next()}`;
    try {
      await guard(`storing ${key}`, this.#writeSynced(path, bytes));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') this.#folders.delete(folder);
      await rm(path, { force: true });
      throw error;
    }
    return path;
  }

  async #writeSynced(path: string, bytes: Uint8Array): Promise<void> {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #syncFolder(key: string): Promise<void> {
    const folder = await open(this.#folderOf(key), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  #folderOf(key: string): string {
    const path = this.#path(key);
    return path.slice(0, path.lastIndexOf('/'));
  }

  async #keysUnder(folder: string): Promise<string[]> {
    const path = folder === '' ? this.#root : this.#path(folder);
    try {
      const entries = await readdir(path, { recursive: true, withFileTypes: true });
      const keys = entries
        .filter((entry) => entry.isFile() && !entry.name.startsWith(TEMPORARY))
        .map((entry) =>
          `${entry.parentPath}/${entry.name}`.slice(this.#root.length + 1).replace(/@\d+$/, ''),
        );
      return [...new Set(keys)];
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

const versionOf = (etag: ETag): number => (etag.startsWith('v') ? Number(etag.slice(1)) : 0);
