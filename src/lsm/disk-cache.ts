/**
 * Blocks on local disk, under a budget: between memory and the object store.
 *
 * Segments are written one after the other; the oldest goes when the budget is used up (FIFO: what is read again comes back through memory).
 * New files are written through whole, as one extent; fetched blocks singly. Nothing here is needed: every read is verified by the
 * block's checksum, a failure of the disk turns the cache off, and whoever misses asks the store.
 *
 * Invariants
 *  D1  A place is in the index only after its bytes were written.
 *  D2  What waits to be written is bounded; what does not fit is not cached.
 *  D3  After the disk has failed once nothing is written any more, and what is read is still verified.
 *
 * Memory: about 100 bytes a block that was fetched singly, a few hundred a file.
 */
import type { DiskFile, LocalDisk } from '../base/local-disk.ts';
import type { BlockAddress, StoredFile } from './block-source.ts';
import { openBlock } from './block-trailer.ts';

const SEGMENT_BYTES = 32 * 1024 * 1024;
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;

export interface DiskCacheParams {
  readonly disk: LocalDisk;
  readonly budgetBytes: number;
  readonly failed: (error: unknown) => void;
}

interface Segment {
  readonly file: DiskFile;
  used: number;
  readonly entries: (() => void)[];
}

interface Place {
  readonly segment: Segment;
  readonly position: number;
}

/** What is cached of one file. */
interface Cached {
  whole: Place | undefined;
  readonly blocks: Map<number, Place>;
}

export class DiskCache {
  readonly #params: DiskCacheParams;
  readonly #files = new Map<string, Cached>();
  /** The same by the file itself, so that a hit makes no name. */
  readonly #opened = new WeakMap<StoredFile, Cached>();
  readonly #segments: Segment[] = [];
  #segmentNo = 0;
  #bytes = 0;
  #queuedBytes = 0;
  #off = false;
  hits = 0;

  constructor(params: DiskCacheParams) {
    this.#params = params;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @hot The verified contents of a block, or undefined. */
  read(file: StoredFile, block: BlockAddress): Uint8Array | undefined {
    const cached = this.#cachedOf(file);
    if (cached === undefined) return undefined;
    const single = cached.blocks.get(block.index);
    const place = single ?? cached.whole;
    if (place === undefined) return undefined;
    const position = single === undefined ? place.position + block.offset : place.position;
    const stored = Buffer.allocUnsafeSlow(block.length);
    if (!place.segment.file.read(stored, position)) {
      this.#drop(cached, block.index);
      return undefined;
    }
    try {
      const contents = openBlock(stored, { object: file.object, offset: position });
      this.hits++;
      return contents;
    } catch {
      // Not what was written: the store has the truth.
      this.#drop(cached, block.index);
      return undefined;
    }
  }

  /** Writes a new file through. `bytes` must stay as they are. */
  putFile(file: StoredFile, bytes: Uint8Array): void {
    this.#put(bytes, (place) => {
      const cached = this.#entry(file);
      cached.whole = place;
      place.segment.entries.push(() => {
        if (cached.whole === place) cached.whole = undefined;
        this.#forgetIfEmpty(file, cached);
      });
    });
  }

  /** Keeps a block that was fetched, as it is stored. */
  putBlock(file: StoredFile, block: BlockAddress, stored: Uint8Array): void {
    const known = this.#cachedOf(file);
    if (known?.whole !== undefined || known?.blocks.has(block.index) === true) return;
    this.#put(stored, (place) => {
      const cached = this.#entry(file);
      cached.blocks.set(block.index, place);
      place.segment.entries.push(() => {
        if (cached.blocks.get(block.index) === place) cached.blocks.delete(block.index);
        this.#forgetIfEmpty(file, cached);
      });
    });
  }

  close(): void {
    this.#off = true;
    for (const segment of this.#segments.splice(0)) segment.file.drop();
    this.#files.clear();
    this.#params.disk.close();
  }

  /** D1, D2 */
  #put(bytes: Uint8Array, written: (place: Place) => void): void {
    if (this.#off || bytes.length > this.#params.budgetBytes / 4) return;
    if (this.#queuedBytes + bytes.length > QUEUE_BYTES_MAX) return;
    let segment: Segment;
    try {
      segment = this.#segmentFor(bytes.length);
    } catch (error) {
      this.#turnOff(error);
      return;
    }
    const position = segment.used;
    segment.used += bytes.length;
    this.#bytes += bytes.length;
    this.#queuedBytes += bytes.length;
    segment.file.write(bytes, position).then(
      () => {
        this.#queuedBytes -= bytes.length;
        if (!this.#off && this.#segments.includes(segment)) written({ segment, position });
      },
      (error: unknown) => {
        this.#queuedBytes -= bytes.length;
        this.#turnOff(error);
      },
    );
  }

  #segmentFor(length: number): Segment {
    const last = this.#segments.at(-1);
    if (last !== undefined && last.used + length <= SEGMENT_BYTES) return last;
    while (this.#segments.length > 0 && this.#bytes + length > this.#params.budgetBytes) {
      const oldest = this.#segments.shift()!;
      this.#bytes -= oldest.used;
      for (const remove of oldest.entries) remove();
      oldest.file.drop();
    }
    const segment = {
      file: this.#params.disk.create(`segment-${this.#segmentNo++}`),
      used: 0,
      entries: [],
    };
    this.#segments.push(segment);
    return segment;
  }

  /** D3 */
  #turnOff(error: unknown): void {
    if (this.#off) return;
    this.#off = true;
    this.#params.failed(error);
  }

  #cachedOf(file: StoredFile): Cached | undefined {
    const known = this.#opened.get(file);
    if (known !== undefined) return known;
    const cached = this.#files.get(nameOf(file));
    if (cached !== undefined) this.#opened.set(file, cached);
    return cached;
  }

  #entry(file: StoredFile): Cached {
    let cached = this.#cachedOf(file);
    if (cached === undefined) {
      cached = { whole: undefined, blocks: new Map() };
      this.#files.set(nameOf(file), cached);
      this.#opened.set(file, cached);
    }
    return cached;
  }

  #forgetIfEmpty(file: StoredFile, cached: Cached): void {
    if (cached.whole !== undefined || cached.blocks.size > 0) return;
    // The entry may be found by other openings of the file: it stays theirs, empty.
    if (this.#files.get(nameOf(file)) === cached) this.#files.delete(nameOf(file));
    this.#opened.delete(file);
  }

  #drop(cached: Cached, block: number): void {
    if (!cached.blocks.delete(block)) cached.whole = undefined;
  }
}

const nameOf = ({ object, offset }: StoredFile): string => `${object}@${offset}`;
