/** Keys and values of the state benchmarks: 16 and 64 bytes, spread over the key space, seeded. */

/** The i-th key, at `at` in `out`: an avalanche of i, then i. */
export function writeKey(out: Buffer, at: number, i: number): void {
  let h = Math.imul(i ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35) >>> 0;
  h ^= h >>> 13;
  out.writeUInt32BE(h >>> 0, at);
  out.writeUInt32BE(Math.imul(h, 0x27d4eb2f) >>> 0, at + 4);
  out.writeUInt32BE(0, at + 8);
  out.writeUInt32BE(i, at + 12);
}

export function keyAt(i: number): Buffer {
  const key = Buffer.allocUnsafeSlow(16);
  writeKey(key, 0, i);
  return key;
}

/** Draws from a Zipf distribution over [0, n) by rejection inversion (Hörmann and Derflinger 1996), exponent 0.99. */
export class Zipf {
  readonly #n: number;
  readonly #s = 0.99;
  readonly #hMin: number;
  readonly #hMax: number;
  #state: number;

  constructor(n: number, seed: number) {
    this.#n = n;
    this.#state = seed >>> 0;
    this.#hMin = this.#h(1.5) - 1;
    this.#hMax = this.#h(n + 0.5);
  }

  uniform(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state / 4294967296;
  }

  next(): number {
    for (;;) {
      const u = this.#hMax + this.uniform() * (this.#hMin - this.#hMax);
      const x = this.#inverse(u);
      const k = Math.min(this.#n, Math.max(1, Math.round(x)));
      if (k - x <= 0.5 || u >= this.#h(k + 0.5) - k ** -this.#s) {
        // Ranks are scattered over the keys: hot ones do not share blocks by their numbers.
        return Math.imul(k, 0x9e3779b1) >>> 0;
      }
    }
  }

  #h(x: number): number {
    return (x ** (1 - this.#s) - 1) / (1 - this.#s);
  }

  #inverse(u: number): number {
    return (1 + u * (1 - this.#s)) ** (1 / (1 - this.#s));
  }
}
