/**
 * Which tables to merge next: a pure decision over a version.
 *
 * Flushes gather in level 0 as runs that may overlap. Below, each level is one sorted run, LEVEL_FACTOR times as large as the one above.
 * When level 0 has `level0RunsMax` runs they are merged together with what they overlap in level 1; when a level is beyond its size, the
 * one of its tables that overlaps least below goes down.
 *
 * Amplification, as limits: a read looks into at most level0RunsMax + levels runs (filters leave about one of them); space is at most
 * 1 + 1/LEVEL_FACTOR of what lives, plus level 0; a byte is written at most once to level 0 and about LEVEL_FACTOR / 2 + 1 times per
 * level below (O'Neil et al. 1996; the leveled scheme of LevelDB).
 *
 * Before anything is merged: tables whose entries have all expired go as whole files; a table that overlaps nothing below moves down by
 * its metadata alone.
 */
import { compareKeys } from '../key-order.ts';
import type { TableMeta } from '../table-meta.ts';
import type { SortedRun, TreeVersion } from '../tree-version.ts';

export interface CompactionOptions {
  /** Runs in level 0 that start a compaction. Default 4. */
  readonly level0RunsMax: number;
  /** Runs in level 0 at which writers wait. Default 16. */
  readonly level0RunsStop: number;
  /** Size of level 1. Default 64 MiB. */
  readonly level1Bytes: number;
  /** Default 10. */
  readonly levelFactor: number;
  /** Output files are cut at this size. Default 16 MiB. */
  readonly fileBytes: number;
}

export const COMPACTION_DEFAULTS: CompactionOptions = {
  level0RunsMax: 4,
  level0RunsStop: 16,
  level1Bytes: 64 << 20,
  levelFactor: 10,
  fileBytes: 16 << 20,
};

export interface CompactionJob {
  readonly kind: 'merge' | 'move' | 'drop';
  readonly reason: string;
  /** Tables that leave, newest run first, in key order within a run. */
  readonly inputs: readonly SortedRun[];
  /** Where the result goes. */
  readonly level: number;
  /** Nothing older lies under the inputs: deletes and expired entries may go, operands may be folded into values. */
  readonly bottom: boolean;
}

/** The next job; undefined if there is none. `busy`: ids of tables that a running job has. */
export function pickCompaction(
  version: TreeVersion,
  options: CompactionOptions,
  nowMs: number,
  busy: ReadonlySet<string> = new Set(),
): CompactionJob | undefined {
  return (
    pickExpired(version, nowMs, busy) ??
    pickLevel0(version, options, busy) ??
    pickLevel(version, options, busy)
  );
}

/** How much writers have to hold back. */
export function stallOf(version: TreeVersion, options: CompactionOptions): 'none' | 'stop' {
  return level0Of(version).length >= options.level0RunsStop ? 'stop' : 'none';
}

/** Bytes that a level may have. */
function levelLimit(level: number, { level1Bytes, levelFactor }: CompactionOptions): number {
  return level1Bytes * levelFactor ** (level - 1);
}

const level0Of = ({ runs }: TreeVersion): readonly SortedRun[] =>
  runs.filter(({ level }) => level === 0);

const levelAt = ({ runs }: TreeVersion, level: number): readonly TableMeta[] =>
  runs.find((run) => run.level === level)?.tables ?? [];

const bytesOf = (tables: readonly TableMeta[]): number =>
  tables.reduce((sum, { length }) => sum + length, 0);

function pickExpired(
  version: TreeVersion,
  nowMs: number,
  busy: ReadonlySet<string>,
): CompactionJob | undefined {
  for (const [i, { level, tables }] of version.runs.entries()) {
    for (const table of tables) {
      if (table.maxExpiryMs > nowMs || busy.has(table.id)) continue;
      // What it hides would come back.
      if (version.runs.slice(i + 1).some((older) => overlapping(older.tables, table).length > 0))
        continue;
      return {
        kind: 'drop',
        reason: 'every entry has expired',
        inputs: [{ level, tables: [table] }],
        level,
        bottom: true,
      };
    }
  }
  return undefined;
}

/** All of level 0, with what it overlaps in level 1. */
function pickLevel0(
  version: TreeVersion,
  { level0RunsMax }: CompactionOptions,
  busy: ReadonlySet<string>,
): CompactionJob | undefined {
  const runs = level0Of(version);
  if (runs.length < level0RunsMax) return undefined;
  const flushed = runs.flatMap(({ tables }) => tables);
  const below = levelAt(version, 1);
  // Also what lies between two flushes: an output file may reach across it.
  const touched = below.filter((table) => meet(table, boundsOf(flushed)));
  if ([...flushed, ...touched].some(({ id }) => busy.has(id))) return undefined;
  const inputs = touched.length === 0 ? runs : [...runs, { level: 1, tables: touched }];
  return {
    kind: 'merge',
    reason: `level 0 has ${runs.length} runs`,
    inputs,
    level: 1,
    bottom: isBottom(version, 1, [...flushed, ...touched]),
  };
}

function pickLevel(
  version: TreeVersion,
  options: CompactionOptions,
  busy: ReadonlySet<string>,
): CompactionJob | undefined {
  for (const { level, tables } of version.runs) {
    if (level === 0 || bytesOf(tables) <= levelLimit(level, options)) continue;
    const below = levelAt(version, level + 1);
    const job = cheapest(tables, below, busy);
    if (job === undefined) continue;
    const reason = `level ${level} is larger than ${levelLimit(level, options)} bytes`;
    const bottom = isBottom(version, level + 1, [job.table, ...job.touched]);
    const upper = { level, tables: [job.table] };
    // Range deletes of a table reach what is below only by merging.
    if (job.touched.length === 0 && !(bottom && job.table.deletes + job.table.rangeDeletes > 0))
      return { kind: 'move', reason, inputs: [upper], level: level + 1, bottom };
    const inputs =
      job.touched.length === 0 ? [upper] : [upper, { level: level + 1, tables: job.touched }];
    return { kind: 'merge', reason, inputs, level: level + 1, bottom };
  }
  return undefined;
}

/** The table whose move rewrites least for its size. */
function cheapest(
  tables: readonly TableMeta[],
  below: readonly TableMeta[],
  busy: ReadonlySet<string>,
): { readonly table: TableMeta; readonly touched: readonly TableMeta[] } | undefined {
  let best: { table: TableMeta; touched: readonly TableMeta[]; cost: number } | undefined;
  for (const table of tables) {
    const touched = overlapping(below, table);
    if (busy.has(table.id) || touched.some(({ id }) => busy.has(id))) continue;
    const cost = bytesOf(touched) / table.length;
    if (best === undefined || cost < best.cost) best = { table, touched, cost };
  }
  return best;
}

function isBottom(version: TreeVersion, level: number, tables: readonly TableMeta[]): boolean {
  return version.runs
    .filter((run) => run.level > level)
    .every((run) => tables.every((table) => overlapping(run.tables, table).length === 0));
}

function boundsOf(tables: readonly TableMeta[]): Pick<TableMeta, 'smallest' | 'largest'> {
  let { smallest, largest } = tables[0]!;
  for (const table of tables) {
    if (compareKeys(table.smallest, smallest) < 0) smallest = table.smallest;
    if (compareKeys(table.largest, largest) > 0) largest = table.largest;
  }
  return { smallest, largest };
}

const overlapping = (
  tables: readonly TableMeta[],
  { smallest, largest }: TableMeta,
): readonly TableMeta[] => tables.filter((table) => meet(table, { smallest, largest }));

const meet = (
  a: Pick<TableMeta, 'smallest' | 'largest'>,
  b: Pick<TableMeta, 'smallest' | 'largest'>,
): boolean => compareKeys(a.smallest, b.largest) <= 0 && compareKeys(b.smallest, a.largest) <= 0;
