/**
 * Bloom filter over key fingerprints (Bloom 1970; double hashing after Kirsch and Mitzenmacher 2006).
 *
 * Layout:  bits, a multiple of 8 | probes u8
 * Ten bits and six probes a key give about one false positive in a hundred and twenty.
 */

const BITS_PER_KEY = 10;
const PROBES = 6;

/** Of so many keys, all of which are still to be added. */
export function emptyFilter(count: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(8, Math.ceil((count * BITS_PER_KEY) / 8)) + 1);
  bytes[bytes.length - 1] = PROBES;
  return bytes;
}

/** @hot Adds the fingerprints from `start` to `end` (exclusive). */
export function addToFilter(
  filter: Uint8Array,
  fingerprints: Uint32Array,
  start: number,
  end: number,
): void {
  const bits = (filter.length - 1) * 8;
  for (let i = start; i < end; i++) {
    let h = fingerprints[i]!;
    const step = ((h >>> 17) | (h << 15)) >>> 0;
    for (let probe = 0; probe < PROBES; probe++) {
      const bit = h % bits;
      filter[bit >>> 3]! |= 1 << (bit & 7);
      h = (h + step) >>> 0;
    }
  }
}

/** @hot False means that the key is certainly not there. */
export function mayContain(filter: Uint8Array, keyFingerprint: number): boolean {
  const bits = (filter.length - 1) * 8;
  const probes = filter[filter.length - 1]!;
  let h = keyFingerprint;
  const step = ((h >>> 17) | (h << 15)) >>> 0;
  for (let probe = 0; probe < probes; probe++) {
    const bit = h % bits;
    if ((filter[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;
    h = (h + step) >>> 0;
  }
  return true;
}
