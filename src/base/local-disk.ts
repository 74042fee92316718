/**
 * Local disk as a place for what can be lost: caches. Reads are synchronous, since a page that the operating system has in memory comes in
 * microseconds; writes are not.
 */
export interface LocalDisk {
  /** A new, empty file of that name in a folder of this process's own; it goes when it is dropped or the process ends. */
  create(name: string): DiskFile;
  /** Gives the folder up. */
  close(): void;
}

/** Opens one under that folder, for one owner. @throws what the file system throws when the folder cannot be made */
export type OpenLocalDisk = (folder: string) => LocalDisk;

export interface DiskFile {
  /** Writes at a position. Rejects when the disk is full, read-only or gone. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** @hot Fills `into` from a position; false if it cannot. Never throws. */
  read(into: Uint8Array, position: number): boolean;
  /** Deletes the file. */
  drop(): void;
}
