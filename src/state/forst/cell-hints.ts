/**
 * The cells that were found last, by key ids that are numbers, in front of the map of all: a batch's records look for a cell when they are
 * prepared and again when they are processed, and hot keys more often.
 *
 * A slot holds whatever cell came last; cells say themselves for which key and namespace they are. The owner forgets a cell here when it
 * leaves the cache. Cost: an array of `SLOTS` references for each state.
 */
import type { ForstCell } from './forst-cell.ts';

/** A power of two, about two batches of records. */
const SLOTS = 2048;

export class CellHints {
  readonly #cells = new Array<ForstCell | undefined>(SLOTS).fill(undefined);

  /** @hot bench/nexmark/bench.ts */
  find(keyId: unknown, namespaceId: unknown): ForstCell | undefined {
    if (typeof keyId !== 'number') return undefined;
    const cell = this.#cells[keyId & (SLOTS - 1)];
    return cell !== undefined && cell.keyId === keyId && cell.namespaceId === namespaceId
      ? cell
      : undefined;
  }

  /** @hot bench/nexmark/bench.ts */
  keep(cell: ForstCell): void {
    const { keyId } = cell;
    if (typeof keyId === 'number') this.#cells[keyId & (SLOTS - 1)] = cell;
  }

  forget(cell: ForstCell): void {
    const { keyId } = cell;
    if (typeof keyId !== 'number') return;
    if (this.#cells[keyId & (SLOTS - 1)] === cell) this.#cells[keyId & (SLOTS - 1)] = undefined;
  }
}
