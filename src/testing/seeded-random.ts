/**
 * Reproducible randomness: sfc32 (Doty-Humphrey, PractRand), 128 bits of state, seeded through splitmix32.
 *
 * `fork(label)` gives a stream of its own that depends on the seed and the label only: drawing more from one stream does not move
 * another, so a change in one part of a scenario leaves the rest of its history in place.
 */
import { invalid } from '../base/errors.ts';
import type { Random } from '../base/world.ts';

const TWO_POW_32 = 4294967296;

/** FNV-1a over UTF-16 code units; spreads seeds and labels, guards nothing. */
export function hashText(text: string, start = 0x811c9dc5): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

function splitmix32(state: number): () => number {
  let a = state | 0;
  return () => {
    a = (a + 0x9e3779b9) | 0;
    let z = a ^ (a >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return (z ^ (z >>> 15)) | 0;
  };
}

/** A seeded stream of random numbers. */
export class SeededRandom implements Random {
  readonly seed: number;
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    const mix = splitmix32(this.seed);
    this.#a = mix();
    this.#b = mix();
    this.#c = mix();
    for (let i = 0; i < 12; i++) this.uint32();
  }

  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  next(): number {
    return this.uint32() / TWO_POW_32;
  }

  /** Uniform integer in [0, below). */
  int(below: number): number {
    if (!(below >= 1)) throw invalid('BAD_RANDOM_RANGE', `no integer lies in [0, ${below})`);
    return Math.floor(this.next() * below);
  }

  /** Uniform integer in [least, most]. */
  between(least: number, most: number): number {
    return least + this.int(most - least + 1);
  }

  /** Uniform in [from, to). */
  float(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(from.length)]!; // int throws on an empty list
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }

  fork(label: string): SeededRandom {
    return new SeededRandom(hashText(label, this.seed ^ 0x811c9dc5));
  }
}
