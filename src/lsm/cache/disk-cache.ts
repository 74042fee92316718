/**
 * Blocks on local disk, under a budget: between memory and the object store.
 *
 * Segments are written one after the other; when space runs out the oldest is emptied: blocks in it that were read since they came are
 * written again, the rest goes (FIFO with a second chance). Before the oldest come segments more than half of which belongs to files that
 * compaction has replaced: all that lives in those is written again. New files are written through whole, large ones in a segment of their
 * own, which goes with its file; single blocks share segments. What a process leaves is found again by the next owner of the folder.
 * Nothing here is needed: whoever misses asks the store.
 *
 * Invariants
 *  D1  A place is in the index only after its bytes were written; what is read is verified by the block's checksum every time.
 *  D2  What waits to be written is bounded; what does not fit is not cached. `bytes` never exceeds the budget.
 *  D3  After the disk has failed once nothing is written any more, and what is read is still verified.
 *  D4  Files are known by a hash of object, offset and length; objects are immutable and their names never used again.
 *
 * Memory: about 100 bytes a block that was fetched singly, a few hundred a file.
 */
import { createHash } from 'node:crypto';
import type { LocalDisk } from '../../base/local-disk.ts';
import { type BlockAddress, type StoredFile, TAIL_BLOCK } from '../block-source.ts';
import { openBlock } from '../block-trailer.ts';
import {
  type DiskExtent,
  DiskSegment,
  SEGMENT_BYTES_MAX,
  segmentNoOf,
  WHOLE_FILE,
} from './disk-segment.ts';

const SEGMENT_BYTES = 16 * 1024 * 1024;
/** A file of at least this part of a segment gets a segment of its own, which goes with it. */
const OWN_SEGMENT_SHARE = 1 / 16;
/** Smaller blocks than these on average leave some of a segment unused. */
const BYTES_PER_EXTENT = 4096;
/** Memory of what waits to be written; a single file may be larger. */
const QUEUE_BYTES_MAX = 16 * 1024 * 1024;
/** Blocks that are saved from the oldest segment whenever something is written. */
const SAVED_PER_WRITE = 4;

export interface DiskCacheParams {
  readonly disk: LocalDisk;
  readonly budgetBytes: number;
  readonly failed: (error: unknown) => void;
}

/** What is cached of one file. */
interface Cached {
  whole: DiskExtent | undefined;
  /** Blocks that have a place of their own; undefined: not here, although the whole file may be. */
  readonly blocks: Map<number, DiskExtent | undefined>;
  /** Blocks that were read since they came, or were saved. */
  readonly used: Map<number, BlockAddress>;
}

export class DiskCache {
  readonly #params: DiskCacheParams;
  readonly #segmentBytes: number;
  readonly #files = new Map<string, Cached>();
  readonly #keys = new WeakMap<StoredFile, string>();
  /** How many openings of a file there are, as far as they have come by. */
  readonly #openings = new Map<string, number>();
  /** Oldest first. */
  readonly #segments: DiskSegment[] = [];
  /** Where extents go that have no segment of their own. */
  #current: DiskSegment | undefined;
  readonly #writing = new Set<Promise<void>>();
  #segmentNo = 0;
  /** The segment that is being emptied, and what may be worth saving in it. */
  #leaving: { readonly segment: DiskSegment; readonly saves: (() => void)[] } | undefined;
  #saving = false;
  #bytes = 0;
  #queuedBytes = 0;
  #off = false;
  hits = 0;
  corrupt = 0;
  /** Writes that were left out because too many waited. */
  skipped = 0;

  constructor(params: DiskCacheParams) {
    this.#params = params;
    this.#segmentBytes = Math.max(
      4096,
      Math.min(SEGMENT_BYTES, Math.floor(params.budgetBytes / 8)),
    );
    this.#recover();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the disk has failed. */
  get isOff(): boolean {
    return this.#off;
  }

  /** @hot The verified contents of a block, or undefined. `use` false: looks without making it worth keeping. */
  read(file: StoredFile, block: BlockAddress, use = true): Uint8Array | undefined {
    const cached = this.#files.get(this.#keyOf(file));
    if (cached === undefined) return undefined;
    const stored = readPlace(cached, block);
    if (stored === undefined) return undefined;
    try {
      const contents = openBlock(stored, { object: file.object, offset: block.offset });
      this.hits++;
      if (use && !cached.used.has(block.index)) cached.used.set(block.index, block);
      return contents;
    } catch {
      // Not what was written: the store has the truth.
      this.corrupt++;
      cached.blocks.set(block.index, undefined);
      return undefined;
    }
  }

  has(file: StoredFile, place: BlockAddress): boolean {
    const cached = this.#files.get(this.#keyOf(file));
    return cached !== undefined && placeOf(cached, place.index) !== undefined;
  }

  /** The bytes at that place as they were written, not verified. */
  readStored(file: StoredFile, place: BlockAddress): Uint8Array | undefined {
    const cached = this.#files.get(this.#keyOf(file));
    return cached === undefined ? undefined : readPlace(cached, place);
  }

  /** Whether so much can be taken in without pushing anything out. */
  hasRoom(length: number): boolean {
    return this.#bytes + length + 2 * this.#segmentBytes <= this.#params.budgetBytes;
  }

  /** Blocks of a file that were fetched, or read since they came. */
  hotBlocks(file: StoredFile): readonly number[] {
    const cached = this.#files.get(this.#keyOf(file));
    if (cached === undefined) return [];
    const hot = new Set(cached.used.keys());
    for (const [block, extent] of cached.blocks) if (extent !== undefined) hot.add(block);
    hot.delete(TAIL_BLOCK);
    return [...hot];
  }

  /** Writes a new file through. @returns whether it is being written: then `bytes` must stay as they are */
  putFile(file: StoredFile, bytes: Uint8Array): boolean {
    return this.#put(this.#keyOf(file), WHOLE_FILE, bytes);
  }

  /** Keeps a block that was fetched, as it is stored. `stored` must stay as it is. */
  putBlock(file: StoredFile, block: BlockAddress, stored: Uint8Array): void {
    const key = this.#keyOf(file);
    const known = this.#files.get(key);
    if (known !== undefined && placeOf(known, block.index) !== undefined) return;
    this.#put(key, block.index, stored);
  }

  /** An opening of the file ends. `superseded`: if it was the last one, nobody will ask for the file again. */
  forget(file: StoredFile, superseded: boolean): void {
    const key = this.#keyOf(file);
    this.#keys.delete(file);
    const others = this.#openings.get(key)! - 1;
    if (others > 0) {
      this.#openings.set(key, others);
      return;
    }
    this.#openings.delete(key);
    const cached = superseded ? this.#files.get(key) : undefined;
    if (cached === undefined) return;
    const extents = [cached.whole, ...cached.blocks.values()];
    for (const extent of extents) {
      if (extent === undefined) continue;
      this.#unpublish(extent);
      if (extent.segment.isGarbage) this.#dropSegment(extent.segment);
    }
  }

  /** What is cached stays for the next owner. */
  async close(): Promise<void> {
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing);
    this.#off = true;
    for (const segment of this.#segments.splice(0)) segment.file.close();
    this.#files.clear();
    this.#bytes = 0;
    this.#params.disk.close();
  }

  #recover(): void {
    const { disk, budgetBytes } = this.#params;
    const numbers = disk.left.map(segmentNoOf).filter((no) => no !== undefined);
    for (const no of numbers.toSorted((a, b) => b - a)) {
      this.#segmentNo = Math.max(this.#segmentNo, no + 1);
      try {
        const segment = DiskSegment.reopen(disk, no);
        if (segment === undefined) continue;
        if (this.#bytes + segment.used > budgetBytes) {
          segment.file.drop();
          continue;
        }
        this.#bytes += segment.used;
        this.#segments.unshift(segment);
      } catch {
        // It cannot be opened: as good as gone.
      }
    }
    for (const segment of this.#segments)
      for (const extent of segment.extents) this.#publish(extent);
  }

  /** D1, D2 */
  #put(key: string, block: number, bytes: Uint8Array): boolean {
    const { length } = bytes;
    if (this.#off || length > this.#params.budgetBytes / 4 || length > SEGMENT_BYTES_MAX / 2)
      return false;
    if (this.#queuedBytes > 0 && this.#queuedBytes + length > QUEUE_BYTES_MAX) {
      this.skipped++;
      return false;
    }
    const ownsSegment = block === WHOLE_FILE && length >= OWN_SEGMENT_SHARE * this.#segmentBytes;
    const segment = ownsSegment ? this.#newSegment(1) : this.#sharedSegment(length);
    if (segment === undefined || !this.#makeRoom(length, segment)) return false;
    const position = segment.reserve(length);
    if (ownsSegment) segment.sealed = true;
    this.#bytes += length;
    this.#queuedBytes += length;
    this.#track(this.#write({ segment, key, block, position, length }, bytes));
    this.#saveSome();
    return true;
  }

  async #write(extent: DiskExtent, bytes: Uint8Array): Promise<void> {
    const { segment, position, length } = extent;
    await segment.file.write(bytes, position).finally(() => {
      this.#queuedBytes -= length;
    });
    if (segment.gone) return;
    segment.record(extent);
    this.#publish(extent);
    if (this.#queuedBytes === 0 || segment.sealed || segment.hasManyUnwritten)
      await segment.writeEntries();
  }

  #track(write: Promise<void>): void {
    const ended = write
      .catch((error: unknown) => this.#turnOff(error))
      .finally(() => this.#writing.delete(ended));
    this.#writing.add(ended);
  }

  #publish(extent: DiskExtent): void {
    const { key, block } = extent;
    let cached = this.#files.get(key);
    if (cached === undefined) {
      cached = { whole: undefined, blocks: new Map(), used: new Map() };
      this.#files.set(key, cached);
    }
    const before = block === WHOLE_FILE ? cached.whole : cached.blocks.get(block);
    if (before !== undefined) retire(before);
    extent.segment.live++;
    extent.segment.liveBytes += extent.length;
    if (block === WHOLE_FILE) cached.whole = extent;
    else cached.blocks.set(block, extent);
  }

  /** The segment for what has none of its own; undefined if the disk fails. */
  #sharedSegment(length: number): DiskSegment | undefined {
    const current = this.#current;
    if (current !== undefined && !current.gone && !current.isFull)
      if (current.used + length <= this.#segmentBytes) return current;
    this.#sealCurrent();
    const extentsMax = Math.max(16, Math.ceil(this.#segmentBytes / BYTES_PER_EXTENT));
    this.#current = this.#newSegment(extentsMax);
    return this.#current;
  }

  #sealCurrent(): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    current.sealed = true;
    this.#track(current.writeEntries());
  }

  #newSegment(extentsMax: number): DiskSegment | undefined {
    try {
      const segment = DiskSegment.create(this.#params.disk, this.#segmentNo++, extentsMax);
      this.#segments.push(segment);
      this.#bytes += segment.used;
      return segment;
    } catch (error) {
      this.#turnOff(error);
      return undefined;
    }
  }

  /** D2: drops segments until so much fits in `keep`; false if it never will. */
  #makeRoom(length: number, keep: DiskSegment): boolean {
    const { budgetBytes } = this.#params;
    while (this.#bytes + length > budgetBytes) {
      const victim = this.#leaving?.segment ?? this.#victim(keep);
      if (victim === undefined) return false;
      this.#dropSegment(victim);
    }
    // Begin early enough to be done when the space is needed.
    if (
      this.#leaving === undefined &&
      this.#bytes + length + 2 * this.#segmentBytes > budgetBytes
    ) {
      const next = this.#victim(keep);
      // What is saved from it must not go back into it.
      if (next === this.#current) this.#sealCurrent();
      if (next !== undefined) this.#leaving = { segment: next, saves: this.#savesOf(next) };
    }
    return true;
  }

  #victim(keep: DiskSegment): DiskSegment | undefined {
    return (
      this.#segments.find((one) => one !== keep && one.isMostlyDead) ??
      this.#segments.find((one) => one !== keep)
    );
  }

  /** What is worth saving of a segment, as work that saves it. */
  #savesOf(segment: DiskSegment): (() => void)[] {
    if (segment.isMostlyDead)
      return segment.extents.map((extent) => () => this.#moveExtent(extent));
    const saves: (() => void)[] = [];
    for (const key of new Set(segment.extents.map(({ key }) => key))) {
      const cached = this.#files.get(key);
      if (cached === undefined) continue;
      for (const address of cached.used.values())
        if (placeOf(cached, address.index)?.segment === segment)
          saves.push(() => this.#save(key, cached, address));
    }
    return saves;
  }

  #saveSome(): void {
    if (this.#saving || this.#leaving === undefined) return;
    this.#saving = true;
    for (const save of this.#leaving.saves.splice(-SAVED_PER_WRITE)) save();
    this.#saving = false;
  }

  /** Writes a block of the segment that is leaving again. */
  #save(key: string, cached: Cached, address: BlockAddress): void {
    if (!cached.used.delete(address.index)) return;
    const stored = readPlace(cached, address);
    if (stored !== undefined) this.#put(key, address.index, stored);
  }

  /** Writes a block again, if it is still the one to be read. */
  #moveExtent(extent: DiskExtent): void {
    const { segment, key, block, position, length } = extent;
    if (block === WHOLE_FILE || this.#files.get(key)?.blocks.get(block) !== extent) return;
    const stored = Buffer.allocUnsafeSlow(length);
    if (segment.file.read(stored, position)) this.#put(key, block, stored);
  }

  #dropSegment(segment: DiskSegment): void {
    if (segment.gone) return;
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    if (this.#leaving?.segment === segment) this.#leaving = undefined;
    segment.gone = true;
    this.#bytes -= segment.used;
    for (const extent of segment.extents) this.#unpublish(extent);
    segment.file.drop();
  }

  #unpublish(extent: DiskExtent): void {
    const cached = this.#files.get(extent.key);
    if (cached === undefined) return;
    const { blocks, used } = cached;
    if (extent.block === WHOLE_FILE) {
      if (cached.whole !== extent) return;
      cached.whole = undefined;
      retire(extent);
      for (const [block, own] of blocks) if (own === undefined) blocks.delete(block);
      for (const block of used.keys()) if (!blocks.has(block)) used.delete(block);
    } else if (blocks.get(extent.block) === extent) {
      blocks.delete(extent.block);
      used.delete(extent.block);
      retire(extent);
    }
    if (cached.whole === undefined && blocks.size === 0) this.#files.delete(extent.key);
  }

  /** D3 */
  #turnOff(error: unknown): void {
    if (this.#off) return;
    this.#off = true;
    this.#params.failed(error);
  }

  /** D4 */
  #keyOf(file: StoredFile): string {
    let key = this.#keys.get(file);
    if (key === undefined) {
      const name = `${file.offset} ${file.length} ${file.object}`;
      key = createHash('sha256').update(name).digest().toString('latin1', 0, 16);
      this.#keys.set(file, key);
      this.#openings.set(key, (this.#openings.get(key) ?? 0) + 1);
    }
    return key;
  }
}

function retire({ segment, length }: DiskExtent): void {
  segment.live--;
  segment.liveBytes -= length;
}

/** @hot */
function placeOf(cached: Cached, block: number): DiskExtent | undefined {
  const { blocks } = cached;
  return blocks.size > 0 && blocks.has(block) ? blocks.get(block) : cached.whole;
}

/** @hot */
function readPlace(cached: Cached, block: BlockAddress): Uint8Array | undefined {
  const extent = placeOf(cached, block.index);
  if (extent === undefined) return undefined;
  const position = extent.block === WHOLE_FILE ? extent.position + block.offset : extent.position;
  const stored = Buffer.allocUnsafeSlow(block.length);
  if (extent.segment.file.read(stored, position)) return stored;
  cached.blocks.set(block.index, undefined);
  return undefined;
}
