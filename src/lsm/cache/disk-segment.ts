/**
 * A segment of the disk cache: a file that is written once from front to back and can be read again by the next process.
 *
 *   header    magic u32 | version u32 | entriesMax u32 | crc32 of these u32
 *   entries   entriesMax times: file 16 bytes | block + 1 u32, 0 the whole file | position u32 | length u32 | crc32 u32, which starts from
 *             the segment's number
 *   data      extents, as they are stored
 *
 * An entry is written after its extent, so one that verifies names bytes that were written; what is at its place is verified by the blocks'
 * own checksums all the same. Entries end at the first that does not verify.
 */
import { crc32 } from 'node:zlib';
import type { DiskFile, LocalDisk } from '../../base/local-disk.ts';

const MAGIC = 0x4d52_4443;
const VERSION = 1;
const HEADER_BYTES = 16;
const ENTRY_BYTES = 32;
const KEY_BYTES = 16;
const ENTRIES_PER_WRITE = 64;
export const SEGMENT_BYTES_MAX = 0xffff_ffff;
export const WHOLE_FILE = -1;

/** An extent: where the bytes of a file or a block are. */
export interface DiskExtent {
  readonly segment: DiskSegment;
  /** Of the file: 16 characters of one byte each. */
  readonly key: string;
  /** The block's index, or WHOLE_FILE. */
  readonly block: number;
  readonly position: number;
  readonly length: number;
}

const nameOf = (segmentNo: number): string => `segment-${segmentNo}`;

/** Number of the segment with that file name; undefined if it is not one. */
export function segmentNoOf(name: string): number | undefined {
  const digits = /^segment-(\d{1,15})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

export class DiskSegment {
  readonly segmentNo: number;
  readonly file: DiskFile;
  /** Those that were written and recorded. */
  readonly extents: DiskExtent[] = [];
  /** What it takes on disk besides its extents. */
  readonly overheadBytes: number;
  /** Until nothing will be recorded any more. */
  #index: Buffer | undefined;
  #extentsWritten = 0;
  #reserved = 0;
  /** Where the next extent goes. */
  used: number;
  /** Takes no more extents. */
  sealed = false;
  /** Dropped by its owner. */
  gone = false;
  /** Extents that somebody may still ask for, and their bytes. */
  live = 0;
  liveBytes = 0;

  private constructor(segmentNo: number, file: DiskFile, index: Buffer) {
    this.segmentNo = segmentNo;
    this.file = file;
    this.overheadBytes = index.length;
    this.#index = index;
    this.used = index.length;
  }

  /** @throws what the file system throws */
  static create(disk: LocalDisk, segmentNo: number, extentsMax: number): DiskSegment {
    const index = Buffer.alloc(HEADER_BYTES + extentsMax * ENTRY_BYTES);
    index.writeUInt32LE(MAGIC, 0);
    index.writeUInt32LE(VERSION, 4);
    index.writeUInt32LE(extentsMax, 8);
    index.writeUInt32LE(crc32(index.subarray(0, 12), segmentNo >>> 0), 12);
    return new DiskSegment(segmentNo, disk.create(nameOf(segmentNo)), index);
  }

  /** One that was left, sealed; undefined if it is not one of this version: then its file is dropped. */
  static reopen(disk: LocalDisk, segmentNo: number): DiskSegment | undefined {
    const file = disk.open(nameOf(segmentNo));
    const header = Buffer.alloc(HEADER_BYTES);
    const valid =
      file.read(header, 0) &&
      header.readUInt32LE(0) === MAGIC &&
      header.readUInt32LE(4) === VERSION &&
      header.readUInt32LE(12) === crc32(header.subarray(0, 12), segmentNo >>> 0);
    const index = valid
      ? Buffer.alloc(HEADER_BYTES + header.readUInt32LE(8) * ENTRY_BYTES)
      : header;
    // The end of the index may never have been written.
    if (!valid || !file.read(index.subarray(0, HEADER_BYTES + ENTRY_BYTES), 0)) {
      file.drop();
      return undefined;
    }
    file.read(index, 0);
    const segment = new DiskSegment(segmentNo, file, index);
    segment.#recover(index);
    return segment;
  }

  get isFull(): boolean {
    return this.sealed || HEADER_BYTES + (this.#reserved + 1) * ENTRY_BYTES > this.overheadBytes;
  }

  /** A place for an extent. */
  reserve(length: number): number {
    const position = this.used;
    this.used += length;
    this.#reserved++;
    return position;
  }

  /** Notes an extent that has been written. */
  record(extent: DiskExtent): void {
    const index = this.#index;
    if (index === undefined) return;
    const at = HEADER_BYTES + this.extents.length * ENTRY_BYTES;
    index.write(extent.key, at, KEY_BYTES, 'latin1');
    index.writeUInt32LE(extent.block + 1, at + KEY_BYTES);
    index.writeUInt32LE(extent.position, at + KEY_BYTES + 4);
    index.writeUInt32LE(extent.length, at + KEY_BYTES + 8);
    index.writeUInt32LE(checksumOf(index, at, this.segmentNo), at + ENTRY_BYTES - 4);
    this.extents.push(extent);
  }

  /** Whether nothing that is in it, or will be, is worth its space. */
  get isGarbage(): boolean {
    return this.sealed && this.live === 0 && this.extents.length === this.#reserved;
  }

  /** Whether most of it is of no use to anybody. */
  get isMostlyDead(): boolean {
    return this.sealed && this.liveBytes < (this.used - this.overheadBytes) / 2;
  }

  get hasManyUnwritten(): boolean {
    return this.extents.length - this.#extentsWritten >= ENTRIES_PER_WRITE;
  }

  /** Writes the entries that are not on disk yet. */
  async writeEntries(): Promise<void> {
    const count = this.extents.length;
    const index = this.#index;
    if (this.gone || index === undefined || count === this.#extentsWritten) return;
    const from = this.#extentsWritten === 0 ? 0 : HEADER_BYTES + this.#extentsWritten * ENTRY_BYTES;
    this.#extentsWritten = count;
    await this.file.write(index.subarray(from, HEADER_BYTES + count * ENTRY_BYTES), from);
    if (this.sealed && this.#extentsWritten === this.#reserved) this.#index = undefined;
  }

  #recover(index: Buffer): void {
    for (let at = HEADER_BYTES; at < index.length; at += ENTRY_BYTES) {
      if (index.readUInt32LE(at + ENTRY_BYTES - 4) !== checksumOf(index, at, this.segmentNo)) break;
      const position = index.readUInt32LE(at + KEY_BYTES + 4);
      const length = index.readUInt32LE(at + KEY_BYTES + 8);
      this.extents.push({
        segment: this,
        key: index.toString('latin1', at, at + KEY_BYTES),
        block: index.readUInt32LE(at + KEY_BYTES) - 1,
        position,
        length,
      });
      this.used = Math.max(this.used, position + length);
    }
    this.#index = undefined;
    this.#reserved = this.extents.length;
    this.sealed = true;
  }
}

const checksumOf = (index: Buffer, at: number, segmentNo: number): number =>
  crc32(index.subarray(at, at + ENTRY_BYTES - 4), segmentNo >>> 0);
