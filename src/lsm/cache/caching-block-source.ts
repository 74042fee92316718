/**
 * Blocks from memory, local disk and the object store, in this order. One per worker; all its trees share the budgets.
 *
 * Owns the memory cache, the disk cache and the requests under way. Does not own the store.
 *
 * Invariants (besides S1-S3 of `block-source.ts`)
 *  B1  A block is in `#arriving` from the moment its request is made until it has ended; whoever asks meanwhile waits for that request.
 *  B2  A request is aborted when nobody waits for it any more, and by nothing else; a reader that leaves does not disturb the others.
 *  B3  A block from the store that fails its checksum is read once more, alone; if that fails too, its readers get BLOCK_CORRUPT.
 *
 * Requests: blocks of one file whose gap is at most 64 KiB share one, up to 1 MiB; 32 at a time.
 */
import { copyOf } from '../../base/bytes.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type {
  Admission,
  BlockAddress,
  BlockRead,
  BlockSource,
  ReadOptions,
  StoredFile,
} from '../block-source.ts';
import { openBlock } from '../block-trailer.ts';
import type { DiskCache } from './disk-cache.ts';
import { missingOr } from '../open-table.ts';
import { BlockCache, BLOCKS_PER_FILE_MAX } from './block-cache.ts';
import { type BlockRequest, coalesce, type CoalesceLimits } from './coalesce.ts';
import { OpenTails } from './open-tails.ts';
import { RequestSlots } from './request-slots.ts';

export interface CachingOptions extends CoalesceLimits {
  readonly requestsMax: number;
}

export const CACHING_DEFAULTS: CachingOptions = {
  gapBytesMax: 64 << 10,
  requestBytesMax: 1 << 20,
  requestsMax: 32,
};

export interface CachingBlockSourceParams {
  readonly store: ObjectStore;
  /** Of blocks in memory, with the indexes and filters of open files. */
  readonly memoryBytes: number;
  /** Of these, for blocks at most. Default all. */
  readonly blocksMax?: number;
  readonly disk?: DiskCache | undefined;
  readonly options?: Partial<CachingOptions>;
}

/** Counts since the source was opened. */
export interface BlockMetrics {
  memoryHits: number;
  diskHits: number;
  /** Blocks that had to come from the store. */
  misses: number;
  /** Reads that found their block already under way. */
  joined: number;
  requests: number;
  bytesFetched: number;
  /** Of the blocks that were asked for: the rest of what was fetched lay between them. */
  bytesWanted: number;
  /** Blocks from the store that failed their checksum. */
  corrupt: number;
}

const keyOf = (fileNo: number, block: number): number => fileNo * BLOCKS_PER_FILE_MAX + block;

class Flight {
  readonly request: BlockRequest;
  readonly contents = new Map<number, Uint8Array>();
  readonly abort = new AbortController();
  arrived: Promise<void> = Promise.resolve();
  waiting = 0;
  fill = false;
  ended = false;

  constructor(request: BlockRequest) {
    this.request = request;
  }
}

export class CachingBlockSource implements BlockSource {
  readonly #store: ObjectStore;
  readonly #memory: BlockCache;
  readonly #disk: DiskCache | undefined;
  readonly #options: CachingOptions;
  readonly #slots: RequestSlots;
  readonly #arriving = new Map<number, Flight>();
  readonly tails: OpenTails;
  readonly metrics: BlockMetrics = {
    memoryHits: 0,
    diskHits: 0,
    misses: 0,
    joined: 0,
    requests: 0,
    bytesFetched: 0,
    bytesWanted: 0,
    corrupt: 0,
  };

  constructor({ store, memoryBytes, blocksMax, disk, options }: CachingBlockSourceParams) {
    this.#store = store;
    this.#memory = new BlockCache(memoryBytes, blocksMax);
    this.#disk = disk;
    this.#options = { ...CACHING_DEFAULTS, ...options };
    this.#slots = new RequestSlots(this.#options.requestsMax);
    this.tails = new OpenTails(this.#memory, disk);
  }

  /** Blocks in memory. */
  get bytes(): number {
    return this.#memory.bytes;
  }

  /** Of its memory, what nothing is in. */
  get spareBytes(): number {
    return Math.max(0, this.#memory.budgetBytes - this.#memory.pinnedBytes - this.#memory.bytes);
  }

  /** Whether requests wait for others to end. */
  get isBusy(): boolean {
    return this.#slots.waiting > 0;
  }

  /** @hot */
  resident(file: StoredFile, block: BlockAddress, fill = true): Uint8Array | undefined {
    const contents = this.#memory.get(file.fileNo, block.index, fill);
    if (contents !== undefined) {
      this.metrics.memoryHits++;
      return contents;
    }
    if (this.#disk === undefined) return undefined;
    const cached = this.#disk.read(file, block, fill);
    if (cached === undefined) return undefined;
    this.metrics.diskHits++;
    if (fill) this.#memory.insert(file.fileNo, block.index, cached);
    return cached;
  }

  async read(
    reads: readonly BlockRead[],
    { fill, signal }: ReadOptions,
  ): Promise<readonly Uint8Array[]> {
    signal?.throwIfAborted();
    const contents: (Uint8Array | undefined)[] = [];
    const flights = new Set<Flight>();
    const missing: BlockRead[] = [];
    for (const read of reads) {
      const { file, block } = read;
      const known = this.resident(file, block, fill);
      contents.push(known);
      if (known !== undefined) continue;
      const flight = this.#arriving.get(keyOf(file.fileNo, block.index));
      if (flight === undefined) missing.push(read);
      else {
        this.metrics.joined++;
        flights.add(flight);
      }
    }
    for (const request of coalesce(missing, this.#options)) flights.add(this.#depart(request));
    await this.#await(flights, fill, signal);
    return reads.map(({ file, block }, i) => {
      const known = contents[i];
      if (known !== undefined) return known;
      for (const { request, contents } of flights)
        if (request.file.fileNo === file.fileNo && contents.has(block.index))
          return contents.get(block.index)!;
      return this.resident(file, block)!; // unreachable: every missing block is in a flight
    });
  }

  admitFile(file: StoredFile, bytes: Uint8Array, ifRoom: boolean): boolean {
    const disk = this.#disk;
    if (disk === undefined || (ifRoom && !disk.hasRoom(bytes.length))) return false;
    return disk.putFile(file, bytes);
  }

  admitBlocks(file: StoredFile, bytes: Uint8Array, { memory, disk }: Admission): void {
    for (const block of disk) {
      const { offset, length } = block;
      // A block that waits to be written must not keep its file.
      this.#disk?.putBlock(file, block, copyOf(bytes, offset, offset + length));
    }
    for (const { index, offset, length } of memory) {
      const stored = copyOf(bytes, offset, offset + length);
      const place = { object: file.object, offset: file.offset + offset };
      this.#memory.insert(file.fileNo, index, openBlock(stored, place), true);
    }
  }

  forget(file: StoredFile, superseded = false): void {
    this.#memory.dropFile(file.fileNo);
    this.#disk?.forget(file, superseded);
  }

  hotBlocks(file: StoredFile, limit: number): readonly number[] {
    return this.#memory.hotBlocks(file.fileNo, limit);
  }

  blocksOnDisk(file: StoredFile): readonly number[] {
    return this.#disk?.hotBlocks(file) ?? [];
  }

  async close(): Promise<void> {
    const flights = new Set(this.#arriving.values());
    for (const flight of flights) flight.abort.abort();
    await Promise.allSettled([...flights].map(({ arrived }) => arrived));
    this.#memory.clear();
    await this.#disk?.close();
  }

  /** B1 */
  #depart(request: BlockRequest): Flight {
    const flight = new Flight(request);
    for (const { index } of request.blocks)
      this.#arriving.set(keyOf(request.file.fileNo, index), flight);
    this.metrics.misses += request.blocks.length;
    flight.arrived = this.#slots
      .run(() => this.#fetch(flight), flight.abort.signal)
      .finally(() => this.#land(flight));
    return flight;
  }

  #land(flight: Flight): void {
    if (flight.ended) return;
    flight.ended = true;
    const { file, blocks } = flight.request;
    for (const { index } of blocks) {
      const key = keyOf(file.fileNo, index);
      if (this.#arriving.get(key) === flight) this.#arriving.delete(key);
    }
  }

  /** B2 */
  async #await(flights: ReadonlySet<Flight>, fill: boolean, signal?: AbortSignal): Promise<void> {
    if (flights.size === 0) return;
    for (const flight of flights) {
      flight.waiting++;
      flight.fill ||= fill;
    }
    try {
      await unlessAborted(Promise.all([...flights].map(({ arrived }) => arrived)), signal);
    } finally {
      for (const flight of flights) {
        if (--flight.waiting > 0 || flight.ended) continue;
        // Nobody may join what is about to be aborted.
        this.#land(flight);
        flight.arrived.catch(() => {});
        flight.abort.abort(signal?.reason);
      }
    }
  }

  async #fetch(flight: Flight): Promise<void> {
    const { file, blocks, start, end } = flight.request;
    const { signal } = flight.abort;
    const bytes = await this.#get(file, start, end - start, signal);
    for (const block of blocks) {
      this.metrics.bytesWanted += block.length;
      const at = block.offset - start;
      // A block that stays must not keep its neighbours; one that only passes may.
      const alone = blocks.length === 1 && bytes.buffer.byteLength === bytes.length;
      const stored =
        alone || !flight.fill
          ? bytes.subarray(at, at + block.length)
          : copyOf(bytes, at, at + block.length);
      const opened = await this.#open(file, block, stored, signal);
      flight.contents.set(block.index, opened.contents);
      if (!flight.fill) continue;
      this.#memory.insert(file.fileNo, block.index, opened.contents);
      this.#disk?.putBlock(file, block, opened.stored);
    }
  }

  /** B3 */
  async #open(
    file: StoredFile,
    block: BlockAddress,
    stored: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ readonly contents: Uint8Array; readonly stored: Uint8Array }> {
    const place = { object: file.object, offset: file.offset + block.offset };
    try {
      return { contents: openBlock(stored, place), stored };
    } catch {
      this.metrics.corrupt++;
    }
    const again = await this.#get(file, block.offset, block.length, signal);
    return { contents: openBlock(again, place), stored: again };
  }

  async #get(
    file: StoredFile,
    start: number,
    length: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    this.metrics.requests++;
    try {
      const range = { offset: file.offset + start, length };
      const bytes = await this.#store.get(file.object, range, signal);
      this.metrics.bytesFetched += length;
      return bytes;
    } catch (cause) {
      throw missingOr(cause, file.object);
    }
  }
}

/** What `work` settles with, or the signal's reason if that comes first. */
async function unlessAborted(work: Promise<unknown>, signal?: AbortSignal): Promise<void> {
  if (signal === undefined) {
    await work;
    return;
  }
  const { promise, reject } = Promise.withResolvers<never>();
  const leavers = leaversOf(signal);
  leavers.add(reject);
  try {
    await Promise.race([work, promise]);
  } finally {
    leavers.delete(reject);
  }
}

/** Who leaves when a signal is aborted. One listener for all: thousands may read under one signal, and each added takes a look at all others. */
const leaving = new WeakMap<AbortSignal, Set<(reason: unknown) => void>>();

function leaversOf(signal: AbortSignal): Set<(reason: unknown) => void> {
  const known = leaving.get(signal);
  if (known !== undefined) return known;
  const leavers = new Set<(reason: unknown) => void>();
  leaving.set(signal, leavers);
  const leave = (): void => {
    for (const reject of leavers) reject(signal.reason);
  };
  signal.addEventListener('abort', leave, { once: true });
  return leavers;
}
