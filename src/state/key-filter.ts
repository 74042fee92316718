/**
 * Says of most keys that they are not in a set, without looking for them: a counting filter with one hash, for the few keys that wait
 * among the many that do not. A key that it does not know costs a multiplication and a read of a typed array.
 */
const SLOTS = 1 << 14;

export class KeyFilter {
  readonly #counts = new Uint16Array(SLOTS);

  add(id: unknown): void {
    this.#counts[slotOf(id)]!++;
  }

  remove(id: unknown): void {
    this.#counts[slotOf(id)]!--;
  }

  /** @hot bench/aec.ts. False: certainly not in the set. */
  mayHave(id: unknown): boolean {
    return this.#counts[slotOf(id)] !== 0;
  }
}

/** @hot Of texts, four places and the length: the others rarely tell keys apart. */
function slotOf(id: unknown): number {
  if (typeof id === 'number') return Math.imul(id | 0, 0x9e37_79b1) >>> 18;
  const text = typeof id === 'string' ? id : String(id);
  const { length } = text;
  const last = length - 1;
  let hash = length;
  hash = Math.imul(hash, 31) + text.charCodeAt(0);
  hash = Math.imul(hash, 31) + text.charCodeAt(length >> 1);
  hash = Math.imul(hash, 31) + text.charCodeAt(last - 1);
  hash = Math.imul(hash, 31) + text.charCodeAt(last);
  return Math.imul(hash, 0x9e37_79b1) >>> 18;
}
