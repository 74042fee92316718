/** What is stored in checkpoints of a source of changes. Places in the log are text. */
import type { JsonValue } from '../../src/base/json.ts';
import type { SourceSplit } from '../../src/connector/source.ts';
import type { Key } from './source-table.ts';

/** A slot and the tables that are read by it. */
export interface PostgresSplit {
  readonly slot: string;
  readonly tables: readonly string[];
  /** Of the server that has the slot: places in the log of another one mean nothing. */
  readonly system: string;
  /** Where the slot's stream begins. */
  readonly startLsn: string;
  readonly snapshot: boolean;
}

/**
 * Rows of a table up to a key, all read in one snapshot of the server. A table has one for each time that its reading was begun or gone on with.
 */
export interface Segment {
  /** The last key; null: to the end of the table. */
  readonly upTo: Key | null;
  readonly snapshot: string;
  /** Transactions that commit behind this place are not in the snapshot. */
  readonly lsn: string;
}

export type PostgresPosition =
  | {
      readonly phase: 'snapshot';
      /** Which table is being read. */
      readonly table: number;
      /** The last key that was delivered, and in which snapshot; null: none yet. */
      readonly after: { readonly key: Key; readonly snapshot: string; readonly lsn: string } | null;
      /** By table; of the one that is being read without the last one. */
      readonly segments: readonly (readonly Segment[])[];
    }
  | {
      readonly phase: 'stream';
      /** Every transaction that ends up to here was delivered. */
      readonly lsn: string;
      /** Of the transaction that commits there this many changes were delivered too. */
      readonly within: { readonly commitLsn: string; readonly changes: number } | null;
      /** As long as they matter. */
      readonly segments: readonly (readonly Segment[])[];
    };

export const asSourceSplit = (split: PostgresSplit): SourceSplit => ({
  id: split.slot,
  data: { ...split },
});

export const postgresSplitOf = (data: JsonValue): PostgresSplit => data as unknown as PostgresSplit; // made by asSourceSplit

/** Where a split begins when it has no position. */
export const positionOf = (
  position: JsonValue | undefined,
  { snapshot, startLsn }: PostgresSplit,
): PostgresPosition => {
  if (position !== undefined) return position as unknown as PostgresPosition; // made by ChangesReader
  return snapshot
    ? { phase: 'snapshot', table: 0, after: null, segments: [] }
    : { phase: 'stream', lsn: startLsn, within: null, segments: [] };
};
