/**
 * The real local disk: the folder `cache-<n>` with the lowest n that nobody owns, under a given one.
 *
 * Owning a folder is holding an exclusive lock on the SQLite file `owner` in it, which the kernel gives back when the process ends, even by
 * a kill, and which holds between threads, processes and containers that share the disk. What an owner left is the next one's. Folders
 * that nobody has owned for a day go.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  write,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { DiskFile, LocalDisk } from './local-disk.ts';
import { MillraceError } from './errors.ts';

const OWNERS_MAX = 1024;
const ABANDONED_MS = 24 * 60 * 60 * 1000;
const OWNER = 'owner';

/** @throws what the file system throws when the folder cannot be made; `unavailable` DISK_OWNED when all its parts have owners */
export function realDisk(folder: string): LocalDisk {
  mkdirSync(folder, { recursive: true });
  for (let n = 0; n < OWNERS_MAX; n++) {
    const own = `${folder}/cache-${n}`;
    mkdirSync(own, { recursive: true });
    const lock = tryLock(own);
    if (lock === undefined) continue;
    utimesSync(`${own}/${OWNER}`, new Date(), new Date());
    removeAbandoned(folder, own);
    return diskIn(own, lock);
  }
  throw new MillraceError(
    'unavailable',
    'DISK_OWNED',
    `all ${OWNERS_MAX} caches in ${folder} are in use; give each group of workers a folder of its own`,
  );
}

function diskIn(own: string, lock: DatabaseSync): LocalDisk {
  return {
    left: readdirSync(own).filter((name) => !name.startsWith(OWNER)),
    create: (name) => openFile(`${own}/${name}`, 'w+'),
    open: (name) => openFile(`${own}/${name}`, 'r'),
    close: () => lock.close(),
  };
}

function tryLock(own: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(`${own}/${OWNER}`);
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch {
    // Locked by another owner.
    lock.close();
    return undefined;
  }
}

function removeAbandoned(folder: string, own: string): void {
  const nowMs = statSync(`${own}/${OWNER}`).mtimeMs;
  for (const name of readdirSync(folder)) {
    const other = `${folder}/${name}`;
    if (!/^cache-\d+$/.test(name) || other === own) continue;
    try {
      if (nowMs - statSync(`${other}/${OWNER}`).mtimeMs < ABANDONED_MS) continue;
      const lock = tryLock(other);
      if (lock === undefined) continue;
      // Emptied under the lock, not removed: somebody may be about to lock it.
      for (const left of readdirSync(other))
        if (!left.startsWith(OWNER)) rmSync(`${other}/${left}`, { force: true });
      lock.close();
    } catch {
      // Another process is tidying up, too.
    }
  }
}

function openFile(path: string, flags: 'r' | 'w+'): DiskFile {
  const descriptor = openSync(path, flags);
  let ended = false;
  let writing = 0;
  const closeIfDone = (): void => {
    if (ended && writing === 0) closeSync(descriptor);
  };
  const end = (): void => {
    if (ended) return;
    ended = true;
    closeIfDone();
  };
  return {
    write: (bytes, position) =>
      new Promise((resolve, reject) => {
        if (ended) {
          resolve();
          return;
        }
        writing++;
        write(descriptor, bytes, 0, bytes.length, position, (error, written) => {
          writing--;
          closeIfDone();
          if (error !== null) reject(error);
          else if (written < bytes.length) reject(new RangeError(`${path}: a short write`));
          else resolve();
        });
      }),
    read: (into, position) => {
      if (ended) return false;
      try {
        return readSync(descriptor, into, 0, into.length, position) === into.length;
      } catch {
        return false;
      }
    },
    drop: () => {
      if (ended) return;
      try {
        unlinkSync(path);
      } catch {
        // Somebody has cleaned up: the file is gone, which is what was wanted.
      }
      end();
    },
    close: end,
  };
}
