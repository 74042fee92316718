/**
 * Local disk as a place for what can be lost: caches. Reads are synchronous, since a page that the operating system has in memory comes in
 * microseconds; writes are not.
 */
export interface LocalDisk {
  /** Names of the files that the last owner of this folder left. */
  readonly left: readonly string[];
  /** A new, empty file of that name, in place of one that is there. @throws what the file system throws */
  create(name: string): DiskFile;
  /** One of those that were left, to be read. @throws what the file system throws */
  open(name: string): DiskFile;
  /** Gives the folder up: the next owner finds what is in it. */
  close(): void;
}

/**
 * Takes a folder under that folder which nobody owns, with what its last owner left. Ownership ends with the process, however it ends.
 * @throws what the file system throws when there is none and none can be made
 */
export type OpenLocalDisk = (folder: string) => LocalDisk;

export interface DiskFile {
  /** Writes at a position; nothing happens to a file that was dropped. Rejects when the disk is full, read-only or gone. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** @hot Fills `into` from a position; false if it cannot. Never throws. */
  read(into: Uint8Array, position: number): boolean;
  /** Deletes the file. */
  drop(): void;
  /** Ends its use; it stays. Writes under way must have settled. */
  close(): void;
}
