/**
 * Objects in a local folder, for any number of processes at once.
 *
 * A plain object is one file under its key. An object that was ever changed by `putIfMatch` is a chain of versions in a folder beside it,
 * from which point on the file itself means nothing:
 *
 *   <key>@/0     the file as it was when the chain began, a second name of it
 *   <key>@/<n>   version n: a file, or an empty folder if that version is a deletion
 *
 * Compare-and-set without locks, so that a killed process leaves nothing behind that blocks others. The highest version is the object.
 * Whoever creates version n + 1, by `link` or `mkdir`, which fail if the name is taken, has changed version n.
 *  L1  The chain begins in one step, the link to version 0: a plain put before it is what version 0 holds, one after it sees the chain and
 *      goes into it. (A plain put that races both another one and the first compare-and-set may be seen, replaced, and seen again.)
 *  L2  Version n is removed only after version n + VERSIONS_KEPT exists, and version 0 never. So the highest is always there, and
 *      a writer that was overtaken, and creates a version that others had made and removed before, finds a far higher one: then
 *      it cannot tell whether its change was ever current, and says so (`unavailable`).
 *  L3  Versions only grow, over deletions too: an etag is never used twice.
 *
 * Cost of a put: the bytes, two syncs. Of a read: one lookup more than the file's. Independent of how many objects a folder holds.
 * `@` is in no key, so versions and temporary files are no objects.
 */
import { MillraceError } from '../base/errors.ts';
import type { Ids } from '../base/world.ts';
import { LocalFiles, type OpenFile } from './local-files.ts';
import { checkKey, checkPrefix, checkRange, isKey, objectNotFound } from './object-key.ts';
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from './object-store.ts';

/** How far a writer may fall behind between its look and its link and still know what became of it. */
const VERSIONS_KEPT = 8;

/** Where the bytes of an object are now. */
type Current =
  | { readonly kind: 'plain' }
  | { readonly kind: 'version'; readonly version: number; readonly deleted: boolean };

const CONFLICT: ConditionalPut = { outcome: 'conflict' };

const chainOf = (key: string): string => `${key}@`;

export class LocalStore implements ObjectStore {
  readonly #files: LocalFiles;

  /** `root` is made when the first object is stored. */
  constructor(root: string, ids: Ids) {
    this.#files = new LocalFiles(root, ids);
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkKey(key);
    const bytes = await this.#use(key, signal, (file) => {
      if (range !== undefined) checkRange(key, range, file.size);
      return file.read(range?.offset ?? 0, range?.length ?? file.size);
    });
    if (bytes === undefined) throw objectNotFound(key);
    return bytes;
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    checkKey(key);
    return this.#use(key, signal, async ({ size }, etag) => ({ key, size, etag }));
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    checkKey(key);
    signal?.throwIfAborted();
    if ((await this.#current(key)).kind === 'plain') {
      const temporary = await this.#files.writeTemporary(key, bytes);
      try {
        await this.#files.publish(temporary, key);
      } finally {
        await this.#files.drop(temporary);
      }
      if (await this.#isOrigin(key, temporary.identity)) return temporary.identity;
    }
    for (;;) {
      signal?.throwIfAborted();
      const put = await this.#append(key, bytes, versionOf(await this.#current(key)));
      if (put.outcome === 'stored') return put.etag;
    }
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    checkKey(key);
    for (;;) {
      signal?.throwIfAborted();
      const current = await this.#current(key);
      if (current.kind === 'version')
        return current.deleted ? this.#append(key, bytes, current.version) : CONFLICT;
      const temporary = await this.#files.writeTemporary(key, bytes);
      try {
        const created = await this.#files.create(temporary, key);
        if (created && (await this.#isOrigin(key, temporary.identity)))
          return { outcome: 'stored', etag: temporary.identity };
        // Taken, unless a chain began meanwhile: then that decides.
        if (!created && (await this.#current(key)).kind === 'plain') return CONFLICT;
      } finally {
        await this.#files.drop(temporary);
      }
    }
  }

  async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    checkKey(key);
    signal?.throwIfAborted();
    if ((await this.#current(key)).kind === 'plain') {
      if ((await this.#identityOf(key)) !== etag) return CONFLICT;
      await this.#files.createFolder(chainOf(key));
      await this.#files.alias(key, versionPath(key, 0));
    }
    const current = await this.#current(key);
    if (current.kind === 'plain' || current.deleted) return CONFLICT;
    const isMatch =
      current.version === 0
        ? (await this.#identityOf(versionPath(key, 0))) === etag
        : etag === etagOf(current.version);
    return isMatch ? this.#append(key, bytes, current.version) : CONFLICT;
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    checkKey(key);
    signal?.throwIfAborted();
    if ((await this.#current(key)).kind === 'plain') await this.#files.removeFile(key);
    for (;;) {
      const current = await this.#current(key);
      if (current.kind === 'plain' || current.deleted) return;
      const path = versionPath(key, current.version + 1);
      if (!(await this.#files.createFolder(path))) continue;
      if (!isOvertaken(await this.#versions(key), current.version)) return;
    }
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    checkPrefix(prefix);
    const keys = new Set<string>();
    await this.#collect(prefix.slice(0, Math.max(0, prefix.lastIndexOf('/'))), prefix, keys);
    for (const key of [...keys].sort()) {
      const meta = await this.head(key, signal);
      if (meta !== undefined) yield meta;
    }
  }

  async close(): Promise<void> {}

  /** Creates the version after `version`, of which the caller knows that it was the highest. */
  async #append(key: string, bytes: Uint8Array, version: number): Promise<ConditionalPut> {
    const temporary = await this.#files.writeTemporary(key, bytes);
    try {
      if (!(await this.#files.create(temporary, versionPath(key, version + 1)))) return CONFLICT;
    } finally {
      await this.#files.drop(temporary);
    }
    const versions = await this.#versions(key);
    if (isOvertaken(versions, version)) {
      throw new MillraceError(
        'unavailable',
        'LOCAL_STORE_OVERTAKEN',
        `object ${key} was changed many times while this change was under way; whether it ever took effect is unknown`,
        { details: { key } },
      );
    }
    for (const [old, deleted] of versions) {
      if (old === 0 || old > version + 1 - VERSIONS_KEPT) continue;
      if (deleted) await this.#files.removeFolder(versionPath(key, old));
      else await this.#files.removeFile(versionPath(key, old));
    }
    return { outcome: 'stored', etag: etagOf(version + 1) };
  }

  /** Version numbers, and whether each is a deletion. */
  async #versions(key: string): Promise<ReadonlyMap<number, boolean>> {
    const entries = (await this.#files.entries(chainOf(key))) ?? [];
    return new Map(
      entries
        .filter(({ name }) => /^\d+$/.test(name))
        .map(({ name, isFolder }) => [Number(name), isFolder]),
    );
  }

  async #current(key: string): Promise<Current> {
    const versions = await this.#versions(key);
    if (versions.size === 0) return { kind: 'plain' };
    const version = Math.max(...versions.keys());
    return { kind: 'version', version, deleted: versions.get(version)! };
  }

  /** Runs `use` on the object's file; undefined if there is no such object. */
  async #use<T>(
    key: string,
    signal: AbortSignal | undefined,
    use: (file: OpenFile, etag: ETag) => Promise<T>,
  ): Promise<T | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      const current = await this.#current(key);
      if (current.kind === 'version' && current.deleted) return undefined;
      const version = versionOf(current);
      const path = current.kind === 'plain' ? key : versionPath(key, version);
      const used = await this.#files.withFile(path, async (file) => ({
        value: await use(file, version === 0 ? file.identity : etagOf(version)),
      }));
      if (used !== undefined) return used.value;
      // A version that was there and is gone has been superseded many times over: look again.
      if (current.kind === 'plain') return undefined;
    }
  }

  #identityOf(path: string): Promise<string | undefined> {
    return this.#files.withFile(path, async ({ identity }) => identity);
  }

  /** L1: whether a file that got the object's name counts: there is no chain, or it began with this file. */
  async #isOrigin(key: string, identity: string): Promise<boolean> {
    if ((await this.#current(key)).kind === 'plain') return true;
    return (await this.#identityOf(versionPath(key, 0))) === identity;
  }

  async #collect(folder: string, prefix: string, keys: Set<string>): Promise<void> {
    for (const { name, isFolder } of (await this.#files.entries(folder)) ?? []) {
      const isChain = isFolder && name.endsWith('@');
      // Temporary files, and whatever else somebody has put there, are no objects.
      if (!isKey(isChain ? name.slice(0, -1) : name)) continue;
      const key = `${folder === '' ? '' : `${folder}/`}${isChain ? name.slice(0, -1) : name}`;
      if (!key.startsWith(prefix.slice(0, key.length))) continue;
      if (isFolder && !isChain) await this.#collect(key, prefix, keys);
      else if (key.startsWith(prefix)) keys.add(key);
    }
  }
}

/** L2 */
const isOvertaken = (versions: ReadonlyMap<number, boolean>, version: number): boolean =>
  Math.max(...versions.keys()) > version + VERSIONS_KEPT;

const versionPath = (key: string, version: number): string => `${chainOf(key)}/${version}`;
const versionOf = (current: Current): number => (current.kind === 'plain' ? 0 : current.version);
const etagOf = (version: number): ETag => `v${version}`;
