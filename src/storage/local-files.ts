/**
 * The file system as the local store needs it: each call is one atomic, durable step or a read.
 *
 * What is published was written to a temporary file and synced first, gets its name by `rename` (replace) or `link` (create), and then its
 * folder is synced, as are the parents of new folders. A crash leaves at most a temporary file, `@tmp-<id>`, which nobody reads.
 *
 * Nothing is reached through a symbolic link below the root: the last step of a path is opened with O_NOFOLLOW, and a folder is
 * compared with its real path when it is first used. (Who can write into the root can still swap a folder afterwards; that is not guarded.)
 *
 * Errors: ENOENT and EEXIST are answers, not errors; a name that is both object and folder is `invalid`; the rest (ENOSPC, EIO, EACCES, ...)
 * is `unavailable` LOCAL_STORE_FAILED with the system's code in its details.
 */
import { constants } from 'node:fs';
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rmdir,
  unlink,
} from 'node:fs/promises';
import { resolve } from 'node:path';
import { invalid, isMillraceError, MillraceError } from '../base/errors.ts';
import type { Ids } from '../base/world.ts';

const TEMPORARY_PREFIX = '@tmp-';

/** A file with its name still open: what `publish` and `create` give one to. */
export interface TemporaryFile {
  readonly path: string;
  readonly identity: string;
}

export interface FolderEntry {
  readonly name: string;
  readonly isFolder: boolean;
}

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;

const MISPLACED: ReadonlySet<string | undefined> = new Set(['ENOTDIR', 'EISDIR', 'ENOTEMPTY']);
const FOLLOWS_LINK: ReadonlySet<string | undefined> = new Set(['ELOOP', 'EMLINK']);

/** Waits for a file operation; `answers` are codes that the caller takes as undefined. */
async function attempt<T>(
  what: string,
  operation: Promise<T>,
  answers: readonly string[] = [],
): Promise<T | undefined> {
  try {
    return await operation;
  } catch (cause) {
    if (isMillraceError(cause)) throw cause;
    const code = codeOf(cause);
    if (code !== undefined && answers.includes(code)) return undefined;
    if (FOLLOWS_LINK.has(code))
      throw invalid('SYMBOLIC_LINK_REFUSED', `${what}: a symbolic link lies there`);
    if (MISPLACED.has(code))
      throw invalid(
        'OBJECT_KEY_TAKEN',
        `${what}: a local store cannot hold an object and a folder under one name`,
      );
    throw new MillraceError(
      'unavailable',
      'LOCAL_STORE_FAILED',
      `${what}: ${(cause as Error).message}`,
      { cause, details: { system: code } },
    );
  }
}

interface FileIdentity {
  readonly isFile: boolean;
  readonly size: number;
  readonly identity: string;
}

async function identityOf(file: FileHandle): Promise<FileIdentity> {
  const stat = await file.stat({ bigint: true });
  const { ino, mtimeNs, size } = stat;
  return {
    isFile: stat.isFile(),
    size: Number(size),
    identity: `f${ino.toString(36)}-${mtimeNs.toString(36)}-${size.toString(36)}`,
  };
}

async function readFully(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0)
      throw new MillraceError('data', 'OBJECT_TRUNCATED', 'a file ended while it was read');
    done += bytesRead;
  }
  return bytes;
}

/** Of an open file: its size and what tells it from any other, also after a rename. */
export interface OpenFile {
  readonly size: number;
  readonly identity: string;
  read(offset: number, length: number): Promise<Uint8Array>;
}

export class LocalFiles {
  readonly #root: string;
  readonly #ids: Ids;
  /** Known to exist, and to lie where their names say. */
  readonly #folders = new Set<string>();

  constructor(root: string, ids: Ids) {
    this.#root = resolve(root);
    this.#ids = ids;
  }

  /** Runs `use` on a file; undefined if there is none of that name. Paths are relative to the root, here and below. */
  async withFile<T>(path: string, use: (file: OpenFile) => Promise<T>): Promise<T | undefined> {
    const what = `reading ${path}`;
    if (!(await this.#checkFolder(folderOf(path)))) return undefined;
    const opened = open(this.#absolute(path), constants.O_RDONLY | constants.O_NOFOLLOW);
    const file = await attempt(what, opened, ['ENOENT', 'ENOTDIR']);
    if (file === undefined) return undefined;
    try {
      const { isFile, size, identity } = (await attempt(what, identityOf(file)))!;
      if (!isFile) return undefined;
      return await use({
        size,
        identity,
        read: async (offset, length) => (await attempt(what, readFully(file, offset, length)))!,
      });
    } finally {
      await file.close();
    }
  }

  /** Files and folders in a folder; undefined if there is none. */
  async entries(folder: string): Promise<readonly FolderEntry[] | undefined> {
    if (folder !== '' && !(await this.#checkFolder(folderOf(folder)))) return undefined;
    const listed = readdir(this.#absolute(folder), { withFileTypes: true });
    const entries = await attempt(`listing ${folder}`, listed, ['ENOENT', 'ENOTDIR']);
    if (entries === undefined || !(await this.#checkFolder(folder))) return undefined;
    return entries
      .filter((entry) => entry.isFile() || entry.isDirectory())
      .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
  }

  /** Synced bytes in the folder of `path`, without a name of their own. End it with `publish`, `create` or `drop`. */
  async writeTemporary(path: string, bytes: Uint8Array): Promise<TemporaryFile> {
    const folder = folderOf(path);
    await this.#makeFolder(folder);
    const temporary = join(folder, `${TEMPORARY_PREFIX}${this.#ids.next()}`);
    const what = `storing ${path}`;
    try {
      const file = (await attempt(what, open(this.#absolute(temporary), 'wx')))!;
      try {
        await attempt(what, file.writeFile(bytes));
        await attempt(what, file.sync());
        return { path: temporary, identity: (await attempt(what, identityOf(file)))!.identity };
      } finally {
        await file.close();
      }
    } catch (error) {
      // Perhaps the folder was removed under us: look again next time.
      this.#folders.delete(folder);
      await this.removeFile(temporary).catch(() => {});
      throw error;
    }
  }

  /** Gives the temporary file its name, in place of whatever had it. */
  async publish(temporary: TemporaryFile, path: string): Promise<void> {
    const renamed = rename(this.#absolute(temporary.path), this.#absolute(path));
    await attempt(`storing ${path}`, renamed);
    await this.#sync(folderOf(path));
  }

  /** Gives the temporary file its name, unless the name is taken: then false. */
  async create(temporary: TemporaryFile, path: string): Promise<boolean> {
    return this.alias(temporary.path, path);
  }

  /** A further name for a file, unless that name is taken or there is no such file: then false. */
  async alias(existing: string, path: string): Promise<boolean> {
    const linked = link(this.#absolute(existing), this.#absolute(path)).then(() => true);
    if ((await attempt(`storing ${path}`, linked, ['EEXIST', 'ENOENT'])) !== true) return false;
    await this.#sync(folderOf(path));
    return true;
  }

  /** Idempotent, and right after `publish` and `create` too. */
  async drop(temporary: TemporaryFile): Promise<void> {
    await this.removeFile(temporary.path);
  }

  /** A new empty folder, unless the name is taken: then false. */
  async createFolder(path: string): Promise<boolean> {
    const made = mkdir(this.#absolute(path)).then(() => true);
    if ((await attempt(`creating ${path}`, made, ['EEXIST'])) !== true) return false;
    await this.#sync(folderOf(path));
    return true;
  }

  /** The file of that name, if there is one. */
  async removeFile(path: string): Promise<void> {
    if (!(await this.#checkFolder(folderOf(path)))) return;
    const removed = unlink(this.#absolute(path));
    await attempt(`removing ${path}`, removed, ['ENOENT', 'ENOTDIR', 'EISDIR']);
  }

  /** The empty folder of that name, if there is one. */
  async removeFolder(path: string): Promise<void> {
    await attempt(`removing ${path}`, rmdir(this.#absolute(path)), ['ENOENT']);
  }

  /** The folder and its parents, one by one, so that none is made behind a symbolic link. */
  async #makeFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return;
    const path = this.#absolute(folder);
    const what = `creating folder ${folder}`;
    if (folder === '') {
      if ((await attempt(what, mkdir(path, { recursive: true }))) !== undefined)
        await this.#syncAbsolute(parentOf(path));
    } else {
      await this.#makeFolder(folderOf(folder));
      await attempt(what, mkdir(path), ['EEXIST']);
      // Also if it was there: whoever made it may have died before this.
      await this.#syncAbsolute(parentOf(path));
    }
    await this.#checkFolder(folder);
  }

  /** False if there is none. @throws `invalid` SYMBOLIC_LINK_REFUSED */
  async #checkFolder(folder: string): Promise<boolean> {
    if (this.#folders.has(folder)) return true;
    const missing = ['ENOENT', 'ENOTDIR'];
    const root = await attempt('opening the store', realpath(this.#root), missing);
    if (root === undefined) return false;
    const real = await attempt(`opening ${folder}`, realpath(this.#absolute(folder)), missing);
    if (real === undefined) return false;
    if (real !== (folder === '' ? root : `${root}/${folder}`))
      throw invalid(
        'SYMBOLIC_LINK_REFUSED',
        `${folder} leads to ${real}: objects are not stored through symbolic links`,
      );
    this.#folders.add(folder);
    return true;
  }

  async #sync(folder: string): Promise<void> {
    await this.#syncAbsolute(this.#absolute(folder));
  }

  async #syncAbsolute(path: string): Promise<void> {
    const what = `syncing ${path}`;
    const folder = (await attempt(what, open(path, 'r')))!;
    try {
      await attempt(what, folder.sync());
    } finally {
      await folder.close();
    }
  }

  #absolute(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`;
  }
}

const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const join = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`);
const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';
