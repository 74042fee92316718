/** Which changes of the stream the first reading of the tables has seen already. */
import { MillraceError } from '../../src/base/errors.ts';
import { parseLsn } from './lsn.ts';
import type { Segment } from './postgres-split.ts';
import { compareKeys, type Key, type SourceTable } from './source-table.ts';
import { parseSnapshot, sees, type Visibility } from './visible-transactions.ts';

interface ReadSegment {
  readonly upTo: Key | null;
  readonly visibility: Visibility;
}

export class SeenRows {
  readonly #tables: readonly SourceTable[];
  readonly #segments: readonly (readonly ReadSegment[])[];
  /** Transactions that commit behind it were seen by nobody. */
  readonly #upTo: bigint;

  constructor(tables: readonly SourceTable[], segments: readonly (readonly Segment[])[]) {
    this.#tables = tables;
    this.#segments = segments.map((of) =>
      of.map(({ upTo, snapshot }) => ({ upTo, visibility: parseSnapshot(snapshot) })),
    );
    this.#upTo = segments
      .flat()
      .map(({ lsn }) => parseLsn(lsn))
      .reduce((a, b) => (a > b ? a : b), 0n);
  }

  /** True once the stream has come so far that nothing more is left out. */
  isPast(lsn: bigint): boolean {
    return lsn >= this.#upTo;
  }

  hasSeen(table: number, key: Key, xid: number): boolean {
    for (const { upTo, visibility } of this.#segments[table] ?? [])
      if (upTo === null || compareKeys(this.#tables[table]!, key, upTo) <= 0)
        return sees(visibility, xid);
    return false;
  }

  /** A truncation concerns all rows, which were seen before it or after it. @throws `data` PG_TRUNCATED_WHILE_READ */
  hasSeenAll(table: number, xid: number): boolean {
    const seen = (this.#segments[table] ?? []).map(({ visibility }) => sees(visibility, xid));
    if (seen.every((one) => !one)) return false;
    if (seen.every((one) => one)) return true;
    throw new MillraceError(
      'data',
      'PG_TRUNCATED_WHILE_READ',
      'a table was truncated between two parts of its first reading; start the source without its state',
      { details: { permanent: true } },
    );
  }
}
