/**
 * Which keys are processed most, by samples: the space-saving summary of Metwally, Agrawal and El Abbadi (2005). A key that makes up more than
 * one in `KEYS_MAX` samples is always in it; a count is never too low by more than the smallest one.
 *
 * Samples are taken once a batch, so a record costs nothing.
 */

const KEYS_MAX = 128;

interface Sampled {
  readonly key: unknown;
  count: number;
}

export interface KeySample {
  readonly key: unknown;
  readonly samples: number;
}

export class KeySamples {
  readonly #byId = new Map<unknown, Sampled>();
  #total = 0;

  /** All samples since the last `age`, and half of those before, and so on. */
  get total(): number {
    return this.#total;
  }

  /** `id`: what a Map tells the key by. */
  add(id: unknown, key: unknown): void {
    this.#total++;
    const known = this.#byId.get(id);
    if (known !== undefined) {
      known.count++;
      return;
    }
    let count = 1;
    if (this.#byId.size >= KEYS_MAX) count += this.#dropRarest();
    this.#byId.set(id, { key, count });
  }

  /** Those with the most samples, most first; keys that were sampled once say nothing. */
  hottest(limit: number): readonly KeySample[] {
    return [...this.#byId.values()]
      .filter(({ count }) => count > 1)
      .toSorted((a, b) => b.count - a.count)
      .slice(0, limit)
      .map(({ key, count }) => ({ key, samples: count }));
  }

  /** What was sampled so far counts half from now on. */
  age(): void {
    this.#total = Math.floor(this.#total / 2);
    for (const [id, sampled] of this.#byId) {
      sampled.count = Math.floor(sampled.count / 2);
      if (sampled.count === 0) this.#byId.delete(id);
    }
  }

  /** Its count, which its successor inherits. */
  #dropRarest(): number {
    let rarest: unknown;
    let least = Number.POSITIVE_INFINITY;
    for (const [id, { count }] of this.#byId) if (count < least) [rarest, least] = [id, count];
    this.#byId.delete(rarest);
    return least;
  }
}
