/** What a tree says of one key: a value, operands on top of it, both, or nothing. */
import { ENTRY } from './table-meta.ts';
import { operandsOf } from './memtable.ts';

const NONE: readonly Uint8Array[] = [];

export class Lookup {
  /** The value at the bottom; undefined if there is none. */
  base: Uint8Array | undefined = undefined;
  /** Lists of operands, newest list first. */
  #lists: Uint8Array[] | undefined = undefined;
  /** Of the newest entry. */
  expiryMs = Number.POSITIVE_INFINITY;
  #seen = false;

  /** Takes an entry of the next older source. @returns true when nothing older matters */
  take(kind: number, value: Uint8Array, expiryMs: number): boolean {
    if (!this.#seen) {
      this.#seen = true;
      this.expiryMs = expiryMs;
    }
    switch (kind) {
      case ENTRY.put:
        this.base = value;
        return true;
      case ENTRY.delete:
        return true;
      case ENTRY.putMerge:
        this.#push(value);
        return true;
      default:
        this.#push(value);
        return false;
    }
  }

  #push(list: Uint8Array): void {
    if (this.#lists === undefined) this.#lists = [list];
    else this.#lists.push(list);
  }

  /** Whether there is a value or an operand. */
  get exists(): boolean {
    return this.base !== undefined || this.#lists !== undefined;
  }

  /** Operands on top of `base`, oldest first. */
  operands(): readonly Uint8Array[] {
    if (this.#lists === undefined) return NONE;
    return this.#lists.toReversed().flatMap(operandsOf);
  }
}
