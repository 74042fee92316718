/**
 * A local disk in memory that can be broken: full (writes fail), read-only (making files fails, too), short of space in the middle of a write
 * (half of it is there, and it fails), failing (reads and writes fail), vanished (nothing works), corrupt (every read has a bit flipped).
 * What was written outlives its owner: `reopen` is the same disk for the next process. `tear` cuts what the last process wrote.
 */
import { MillraceError } from '../base/errors.ts';
import type { DiskFile, LocalDisk } from '../base/local-disk.ts';

interface Contents {
  bytes: Uint8Array;
  length: number;
}

export type DiskTrouble = 'full' | 'readOnly' | 'short' | 'failing' | 'vanished' | 'corrupt';

/** @testing */
export class MemoryDisk implements LocalDisk {
  readonly #files: Map<string, Contents>;
  readonly left: readonly string[];
  /** Writes fail. */
  full = false;
  /** Writes fail, and so does making files. */
  readOnly = false;
  /** Half of each write is done, then it fails. */
  short = false;
  /** Reads and writes fail. */
  failing = false;
  /** Reads and writes fail, and so does making files. */
  vanished = false;
  /** Reads have a bit flipped. */
  corrupt = false;
  /** Writes settle only when it is false again, or `release` is called. */
  held = false;
  readonly #holding: (() => void)[] = [];
  openFiles = 0;
  closed = false;

  constructor(files: Map<string, Contents> = new Map()) {
    this.#files = files;
    this.left = [...files.keys()];
  }

  /** The disk as the next process finds it, whether this one closed it or was killed. */
  reopen(): MemoryDisk {
    const files = [...this.#files].map(([name, { bytes, length }]): [string, Contents] => [
      name,
      { bytes: bytes.slice(), length },
    ]);
    return new MemoryDisk(new Map(files));
  }

  /** What its files hold. */
  get bytes(): number {
    return [...this.#files.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Spoils bytes of every file: `at` picks from its length. */
  spoil(at: (length: number) => number): void {
    for (const { bytes, length } of this.#files.values())
      if (length > 0) bytes[at(length)]! ^= 0x55;
  }

  /** Gives each file what another one has. */
  exchange(): void {
    const names = [...this.#files.keys()];
    const contents = names.map((name) => this.#files.get(name)!);
    names.forEach((name, i) => this.#files.set(name, contents[(i + 1) % contents.length]!));
  }

  /** Cuts every file. */
  tear(lengthOf: (length: number) => number): void {
    for (const contents of this.#files.values()) contents.length = lengthOf(contents.length);
  }

  release(): void {
    this.held = false;
    for (const settle of this.#holding.splice(0)) settle();
  }

  create(name: string): DiskFile {
    if (this.vanished) throw new MillraceError('unavailable', 'DISK_GONE', 'no such device');
    if (this.readOnly) throw new MillraceError('unavailable', 'DISK_READ_ONLY', 'read-only disk');
    this.#files.set(name, { bytes: new Uint8Array(0), length: 0 });
    return this.#open(name);
  }

  open(name: string): DiskFile {
    if (this.vanished) throw new MillraceError('unavailable', 'DISK_GONE', 'no such device');
    return this.#open(name);
  }

  close(): void {
    this.closed = true;
  }

  get #refusesWrites(): boolean {
    return this.full || this.short || this.readOnly || this.failing || this.vanished;
  }

  #open(name: string): DiskFile {
    const contents = this.#files.get(name)!; // `left` names it, or `create` has just made it
    this.openFiles++;
    let ended = false;
    const close = (): void => {
      if (!ended) this.openFiles--;
      ended = true;
    };
    return {
      write: async (data, position) => {
        await (this.held
          ? new Promise<void>((settle) => this.#holding.push(settle))
          : Promise.resolve());
        if (this.short && !ended) put(contents, data.subarray(0, data.length >> 1), position);
        if (this.#refusesWrites) throw new MillraceError('unavailable', 'DISK_FULL', 'no space');
        if (!ended) put(contents, data, position);
      },
      read: (into, position) => {
        if (ended || this.vanished || this.failing || position + into.length > contents.length)
          return false;
        into.set(contents.bytes.subarray(position, position + into.length));
        if (this.corrupt) into[into.length >> 1]! ^= 1;
        return true;
      },
      drop: () => {
        if (!ended && this.#files.get(name) === contents) this.#files.delete(name);
        close();
      },
      close,
    };
  }
}

function put(contents: Contents, data: Uint8Array, position: number): void {
  const end = position + data.length;
  if (contents.bytes.length < end) {
    const grown = new Uint8Array(2 * end);
    grown.set(contents.bytes);
    contents.bytes = grown;
  }
  contents.bytes.set(data, position);
  contents.length = Math.max(contents.length, end);
}
