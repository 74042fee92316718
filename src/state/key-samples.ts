/**
 * Which keys are processed most, by samples: the space-saving summary of Metwally, Agrawal and El Abbadi (2005). A key that makes up more than
 * one in `KEYS_MAX` samples is always in it; a count is never too low by more than the smallest one.
 *
 * Samples are taken once a batch, so a record costs nothing. A sample of a new key takes the place of a rarest one, which is sought from where
 * the last was found: mostly a few steps, since counts only grow until `age`.
 */

const KEYS_MAX = 128;

interface Sampled {
  readonly id: unknown;
  readonly key: unknown;
  count: number;
}

export interface KeySample {
  readonly key: unknown;
  readonly samples: number;
}

export class KeySamples {
  readonly #byId = new Map<unknown, Sampled>();
  #sampled: Sampled[] = [];
  /** No count is smaller. */
  #least = 0;
  /** Where the next of `#least` is sought. */
  #hand = 0;
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
    if (this.#sampled.length < KEYS_MAX) {
      this.#least = 0;
      this.#put(this.#sampled.length, { id, key, count: 1 });
      return;
    }
    const at = this.#rarest();
    const rarest = this.#sampled[at]!;
    this.#byId.delete(rarest.id);
    // Its successor inherits its count.
    this.#put(at, { id, key, count: rarest.count + 1 });
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
    this.#least = 0;
    for (const sampled of this.#sampled) {
      sampled.count = Math.floor(sampled.count / 2);
      if (sampled.count === 0) this.#byId.delete(sampled.id);
    }
    this.#sampled = [...this.#byId.values()];
  }

  #put(at: number, sampled: Sampled): void {
    this.#sampled[at] = sampled;
    this.#byId.set(sampled.id, sampled);
  }

  /** Where one with the smallest count is. */
  #rarest(): number {
    for (let looked = 0; looked < KEYS_MAX; looked++) {
      const at = this.#hand;
      this.#hand = (at + 1) % KEYS_MAX;
      if (this.#sampled[at]!.count === this.#least) return at;
    }
    this.#least = this.#sampled.reduce((least, { count }) => Math.min(least, count), Infinity);
    return this.#rarest();
  }
}
