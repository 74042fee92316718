/**
 * Local disks in the simulated world: folders that outlive processes and have one owner at a time, as `base/real-disk.ts` deals them out. A
 * write takes a while; one that is under way when its process dies does not happen.
 */
import type { DiskFile, LocalDisk, OpenLocalDisk } from '../base/local-disk.ts';
import { MillraceError } from '../base/errors.ts';
import { type DiskTrouble, MemoryDisk } from './memory-disk.ts';
import type { SimNode } from './sim-node.ts';

interface Folder {
  disk: MemoryDisk;
  owner: SimNode | undefined;
}

const WRITE_MS_MAX = 2;

/** One host's. */
export class SimDisks {
  readonly #folders: Folder[] = [];
  #trouble: DiskTrouble | undefined;
  /** Told what disks are used for: a scenario whose disk nobody reads tests nothing. */
  onUse: ((what: 'disk read' | 'disk write refused') => void) | undefined;

  /** From now on, until it is set to undefined. */
  set trouble(trouble: DiskTrouble | undefined) {
    for (const { disk } of this.#folders) {
      if (this.#trouble !== undefined) disk[this.#trouble] = false;
      if (trouble !== undefined) disk[trouble] = true;
    }
    this.#trouble = trouble;
  }

  /** What is on disk that nobody owns now is changed by `change` before the next owner sees it. */
  spoilLeft(change: (disk: MemoryDisk) => void): void {
    for (const { disk, owner } of this.#folders) if (owner === undefined) change(disk);
  }

  /** The disk as a process finds it: the first folder that nobody owns, with what its last owner left. */
  of(node: SimNode): OpenLocalDisk {
    return () => {
      if (this.#trouble === 'vanished')
        throw new MillraceError('unavailable', 'DISK_GONE', 'no such device');
      let folder = this.#folders.find(({ owner }) => owner === undefined);
      if (folder === undefined) {
        folder = { disk: new MemoryDisk(), owner: node };
        this.#folders.push(folder);
      } else folder.disk = folder.disk.reopen();
      if (this.#trouble !== undefined) folder.disk[this.#trouble] = true;
      folder.owner = node;
      const own = folder;
      const release = (): void => {
        if (own.owner === node) own.owner = undefined;
      };
      node.onDeath(release);
      return this.#slowed(folder.disk, node, release);
    };
  }

  #slowed(disk: MemoryDisk, node: SimNode, release: () => void): LocalDisk {
    const file = (inner: DiskFile): DiskFile => ({
      ...inner,
      read: (into, position) => {
        const done = inner.read(into, position);
        if (done) this.onUse?.('disk read');
        return done;
      },
      write: (bytes, position) =>
        new Promise((resolve, reject) => {
          const delayMs = node.random.float(0, WRITE_MS_MAX);
          node.after(delayMs, 'writes to disk', () => {
            inner.write(bytes, position).then(resolve, (error: Error) => {
              this.onUse?.('disk write refused');
              reject(error);
            });
          });
        }),
    });
    return {
      left: disk.left,
      create: (name) => file(disk.create(name)),
      open: (name) => file(disk.open(name)),
      close: () => {
        disk.close();
        release();
      },
    };
  }
}
