/** The real local disk: a fresh folder under a given one, removed at the end; what a killed process leaves is removed by the next. */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  unlinkSync,
  write,
} from 'node:fs';
import { threadId } from 'node:worker_threads';
import type { DiskFile, LocalDisk } from './local-disk.ts';

/** @throws what the file system throws when the folder cannot be made */
export function realDisk(folder: string): LocalDisk {
  mkdirSync(folder, { recursive: true });
  removeAbandoned(folder);
  const own = `${folder}/${process.pid}-${threadId}`;
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own);
  const remove = (): void => rmSync(own, { recursive: true, force: true });
  process.on('exit', remove);
  return {
    create: (name) => openFile(`${own}/${name}`),
    close: () => {
      process.off('exit', remove);
      remove();
    },
  };
}

/** Folders are named after processes; those of processes that are gone are nobody's. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = Number(/^(\d+)-\d+$/.exec(name)?.[1]);
    if (Number.isInteger(pid) && pid !== process.pid && !isAlive(pid))
      rmSync(`${folder}/${name}`, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}

function openFile(path: string): DiskFile {
  const descriptor = openSync(path, 'w+');
  let dropped = false;
  let writing = 0;
  const close = (): void => {
    if (dropped && writing === 0) closeSync(descriptor);
  };
  return {
    write: (bytes, position) =>
      new Promise((resolve, reject) => {
        writing++;
        write(descriptor, bytes, 0, bytes.length, position, (error, written) => {
          writing--;
          close();
          if (error !== null) reject(error);
          else if (written < bytes.length) reject(new RangeError(`${path}: a short write`));
          else resolve();
        });
      }),
    read: (into, position) => {
      if (dropped) return false;
      try {
        return readSync(descriptor, into, 0, into.length, position) === into.length;
      } catch {
        return false;
      }
    },
    drop: () => {
      if (dropped) return;
      dropped = true;
      try {
        unlinkSync(path);
      } catch {
        // Somebody has cleaned up: the file is gone, which is what was wanted.
      }
      close();
    },
  };
}
