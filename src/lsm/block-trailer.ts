/**
 * What every block ends with:  contents | compression u8 | crc32 u32 of contents and compression, little-endian.
 */
import { crc32, inflateRawSync, zstdDecompressSync } from 'node:zlib';
import { MillraceError } from '../base/errors.ts';

export const TRAILER_BYTES = 5;

/** How a block's contents are stored. Numbers are part of the format. */
export const COMPRESSION = { none: 0, deflate: 1, zstd: 2 } as const;

/** Adds the trailer in place: `bytes[0..length)` are the contents, `bytes` has room for TRAILER_BYTES more. */
export function sealBlock(bytes: Uint8Array, length: number, compression: number): void {
  bytes[length] = compression;
  const sum = crc32(bytes.subarray(0, length + 1));
  bytes[length + 1] = sum;
  bytes[length + 2] = sum >>> 8;
  bytes[length + 3] = sum >>> 16;
  bytes[length + 4] = sum >>> 24;
}

/** Verified contents of a stored block. `place` is for the error alone. @throws `data` BLOCK_CORRUPT */
export function openBlock(
  stored: Uint8Array,
  place: { readonly object: string; readonly offset: number },
): Uint8Array {
  const length = stored.length - TRAILER_BYTES;
  if (length < 0) throw corrupt(place, 'is too short');
  const sum =
    (stored[length + 1]! |
      (stored[length + 2]! << 8) |
      (stored[length + 3]! << 16) |
      (stored[length + 4]! << 24)) >>>
    0;
  if (crc32(stored.subarray(0, length + 1)) !== sum)
    throw corrupt(place, 'does not match its checksum');
  const contents = stored.subarray(0, length);
  switch (stored[length]) {
    case COMPRESSION.none:
      return contents;
    case COMPRESSION.deflate:
      return inflateRawSync(contents);
    case COMPRESSION.zstd:
      return zstdDecompressSync(contents);
    default:
      throw corrupt(place, `has compression ${stored[length]!}, which this release does not know`);
  }
}

function corrupt(place: { readonly object: string; readonly offset: number }, what: string) {
  return new MillraceError(
    'data',
    'BLOCK_CORRUPT',
    `the block at ${place.offset} of ${place.object} ${what}. Nothing was deleted; restore from another retained checkpoint, or from a copy of this object`,
    { details: { object: place.object, offset: place.offset } },
  );
}
