/**
 * Where the tree's blocks come from: memory, local disk, object store, in this order.
 *
 * A stored file is a range of an object, since small files of one worker share an object. Files are immutable and their names are never
 * used again, so a cached block can be wrong only by corruption, and every block carries its checksum.
 *
 * Invariants
 *  S1  A block is handed out only after its checksum was verified, on its way into memory, wherever it came from.
 *  S2  Losing every cache at any moment costs requests, never an answer.
 *  S3  One block is fetched by one request at a time, however many readers wait for it.
 *
 * Implementation: `cache/caching-block-source.ts`; tests may use anything that reads.
 */

/** A file of the tree, opened: `fileNo` is unique in the process and never used again. */
export interface StoredFile {
  readonly fileNo: number;
  readonly object: string;
  /** Where the file starts in the object. */
  readonly offset: number;
  readonly length: number;
}

/** A block of a file, by its place among the file's blocks and in the file. */
export interface BlockAddress {
  readonly index: number;
  /** From the start of the file. */
  readonly offset: number;
  /** With its checksum. */
  readonly length: number;
}

export interface BlockRead {
  readonly file: StoredFile;
  readonly block: BlockAddress;
}

export interface ReadOptions {
  /** False for scans and compaction: what they read does not push out what is hot. */
  readonly fill: boolean;
  readonly signal?: AbortSignal;
}

/** Where the tail of a file begins and ends, which holds its index and filter. Addressed like a block, but without a trailer of its own. */
export const TAIL_BLOCK = 2 ** 20 - 1;

/** An open file whose index and filter are in memory. */
export interface TailHolder {
  /** Set by whoever reads them; cleared by the budget's hand as it comes by. */
  tailUsed: boolean;
  /** They are needed no more, or their memory is: whoever still reads them has them until then. */
  dropTail(): void;
}

/** Indexes and filters of open files: part of the same budgets as blocks. */
export interface Tails {
  /** Whether local disk has it. */
  isOnDisk(file: StoredFile, tail: BlockAddress): boolean;
  /** From local disk, as it was written there; not verified. */
  read(file: StoredFile, tail: BlockAddress): Uint8Array | undefined;
  /** One that was fetched, for local disk. `bytes` must stay as they are. */
  write(file: StoredFile, tail: BlockAddress, bytes: Uint8Array): void;
  /** It takes so much memory from now on, until it is dropped. */
  hold(holder: TailHolder, bytes: number): void;
  /** It was dropped by its owner. */
  release(holder: TailHolder): void;
}

export interface Admission {
  readonly memory: readonly BlockAddress[];
  readonly disk: readonly BlockAddress[];
}

export interface BlockSource {
  /**
   * @hot The block's contents without its trailer, if memory or local disk has it; undefined if it has to be fetched. Never waits for the
   * network; a read of local disk (tens of microseconds) may block. `fill` false: what comes from disk does not go into memory.
   */
  resident(file: StoredFile, block: BlockAddress, fill?: boolean): Uint8Array | undefined;
  /**
   * The blocks' contents, in the order asked for. Adjacent blocks of one file come in one request, requests go in parallel.
   * @throws `data` BLOCK_CORRUPT naming the object and the offset; `unavailable` from the store
   */
  read(reads: readonly BlockRead[], options: ReadOptions): Promise<readonly Uint8Array[]>;
  /**
   * A file that has just been written goes to local disk, all of it; `ifRoom`: if nothing has to leave for it. @returns whether it does: then
   * `bytes` must stay as they are
   */
  admitFile(file: StoredFile, bytes: Uint8Array, ifRoom: boolean): boolean;
  /** What of a file that has just been written, and whose bytes these are, goes to memory and to local disk. */
  admitBlocks(file: StoredFile, bytes: Uint8Array, admission: Admission): void;
  /** This opening of the file is no longer read. `superseded`: nobody will open it again, as far as can be told; default false. */
  forget(file: StoredFile, superseded?: boolean): void;
  /** The blocks of that file that memory holds, the hottest first, at most `limit`: what a checkpoint lists as hot. */
  hotBlocks(file: StoredFile, limit: number): readonly number[];
  /** The blocks of that file on local disk that somebody has asked for. */
  blocksOnDisk(file: StoredFile): readonly number[];
  /** Absent: indexes and filters stay, whatever they take. */
  readonly tails?: Tails;
  close(): Promise<void>;
}
